//! The intake: what other services ask of the ledger by messages, and what they are told.
//!
//! ```text
//! user.signup             ┐                        ┌─▶ Ledger (the front door, under keys of its own)
//! transaction.completed   ├─▶ stream INTAKE ─pull─▶ taker
//! transaction.failed      ┘        ▲               └─▶ intake_transactions, intake_letters (Postgres)
//!                                  └── replayed ─┐                      │ with each change
//! wallet.transactionFinalized ◀─ OUTCOMES ◀──── publisher ◀─── intake_outcomes
//! ```
//!
//! | file | does |
//! |---|---|
//! | `contract` | the messages, as other services see them |
//! | `read` | a message as it came: what it asks for, and what of it may be kept |
//! | `taken` | a message in hand, and what becomes of it |
//! | `taker` | the consumers that all workers share |
//! | `desk` | what deals with messages |
//! | `signups`, `transactions` | a batch of each kind |
//! | `row` | a transaction as it lies in its table, and what is to be done next |
//! | `commands` | what is asked of the ledger for it, and what the answers mean |
//! | `step` | what becomes of it then |
//! | `store` | the two statements of a batch |
//! | `letters` | the dead letters: messages that came to nothing |
//! | `publisher` | what leaves, by one process at a time: |
//! | `outcomes` | what other services are told |
//! | `replays` | letters that are sent again |
//! | `sweep` | has delivered anew what lies behind a consumer once a nats-server was killed |
//!
//! **Each transaction takes effect once**, however often its messages come and whoever dies on the way:
//! its row and its keys in the ledger are the same each time, and a message is acknowledged when all
//! that it asks for is committed. **Whichever of completed and failed comes first**, in the end the money
//! is where it should be: see [`row`]. **One message tells each outcome**, see [`outcomes`].
//!
//! What is decided here, where the messages do not say:
//!
//! | | |
//! |---|---|
//! | a user | is the wallet of that id, which must be theirs or nobody's; no money opens one |
//! | a currency | is that of the wallet that the money comes from, or of a top-up goes to |
//! | what the ledger refuses | (no money, frozen, closed, oneself, other currency) has failed, for good |
//! | a failure of what has failed or was refused | does nothing, and tells nothing again |
//! | a reversal that is refused | is a dead letter; the transaction stays completed until a replay succeeds |
//! | an unknown user | is waited for ([`Patience::users`]), and then a dead letter |
//! | the same id with other contents | is a dead letter that says what differs; the first one counts |
//!
//! Personal data: of a signup only the user's id is read. What is not understood is kept field by field
//! (see [`read`]), and what was dealt with leaves the stream.
//!
//! Bounds: [`taker::BATCHES`] batches of [`taker::BATCH`] messages in hand, [`read::MAX_BODY`] bytes of
//! one, [`Patience`] for what cannot be now.

mod commands;
pub mod contract;
mod desk;
pub mod letters;
pub(crate) mod outcomes;
pub mod publisher;
pub mod read;
mod replays;
mod row;
mod signups;
mod step;
mod store;
mod sweep;
mod taken;
pub mod taker;
mod transactions;

use std::time::Duration;

use florin_domain::{Currency, RequestedAmount};

use crate::nats::stream::StreamSettings;
use crate::operations::Retries;

pub use publisher::Publisher;
pub use taker::Taker;

/// The channel that is notified when there is something to publish.
const CHANNEL: &str = "florin_intake";

/// How long the server waits for an acknowledgement: longer than the ledger is waited for, twice, and no
/// longer than others wait for what somebody had in hand who died. A message that comes too early is
/// found dealt with.
const ACK_WAIT: Duration = Duration::from_secs(15);

/// For how long JetStream knows a message by its `Nats-Msg-Id`, if its sender gave it one. Nothing here
/// depends on it.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(60);

/// How messages are taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What a wallet opens with; empty if there is none.
    pub initial: Option<RequestedAmount>,
    /// What it holds.
    pub currency: Currency,
    /// How many messages wait in the stream at most. Beyond it, it takes no more, and the sender is told.
    pub max_messages: i64,
    /// How long what cannot be now is tried.
    pub patience: Patience,
}

impl Settings {
    /// Some minutes at full speed: half a gigabyte at the usual size of a message.
    pub const MAX_MESSAGES: i64 = 1_000_000;

    /// How the stream is kept: what was asked waits for as long as it takes.
    pub fn stream(&self, ledger: &StreamSettings) -> StreamSettings {
        StreamSettings {
            replicas: ledger.replicas,
            max_age: Duration::ZERO,
            max_bytes: -1,
            max_messages: Some(self.max_messages),
            duplicate_window: DUPLICATE_WINDOW,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            initial: None,
            currency: Currency::USD,
            max_messages: Self::MAX_MESSAGES,
            patience: Patience::USUAL,
        }
    }
}

/// How long what cannot be now is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a user who is unknown.
    pub users: Retries,
    /// With a ledger that comes to no outcome.
    pub ledger: Retries,
}

impl Patience {
    /// A quarter of an hour for a user, whose signup may come by another way than their money; half an
    /// hour with the ledger. While Postgres is away nothing is tried, and nothing counts. All messages of
    /// a transaction count together: one that was sent three times waits for a third of that.
    pub const USUAL: Self = Self {
        users: Retries {
            max_attempts: 65,
            backoff: (Duration::from_millis(500), Duration::from_secs(15)),
        },
        ledger: Retries::USUAL,
    };
}

//! Operations: commands whose clients do not wait for the outcome.
//!
//! ```text
//! POST ─▶ desk ─▶ operations (Postgres) ─due─▶ publisher ─▶ stream OPERATIONS ─pull─▶ carrier ─▶ Ledger
//!  202 ◀─┘             ▲                                                              │
//!                      └──────────── claimed, saved: one statement a batch ───────────┘
//! ```
//!
//! | file | does |
//! |---|---|
//! | `stored` | a command as JSON, and back |
//! | `desk` | takes commands in, many in one commit; shows what became of them |
//! | `row` | an operation as it lies in its table |
//! | `publisher` | sends a message for every operation that is due, by one process at a time |
//! | `carrier` | claims what the messages name, submits it, saves what became of it |
//! | `claim` | the two statements of a batch |
//! | `retry` | when an attempt is the last one, and how long to wait before the next |
//! | `letters` | the dead letters: operations that came to no outcome |
//!
//! **Every 202 ends in one outcome.** The row is committed before the answer, and all that follows
//! begins from it. A message only says where to look: one that is lost is sent again after
//! [`publisher::REPUBLISH_AFTER`], and one too many finds nothing to claim. An operation is submitted
//! under the client's key, or under one of its own, so that it takes effect once however often it is
//! tried.
//!
//! Bounds: [`desk::MAX_OPEN`] operations that have not ended, [`desk::MAX_WAITING`] that wait to be
//! taken in by a process; a worker has [`carrier::BATCHES`] batches of [`carrier::BATCH`] in its hands.

pub mod carrier;
mod claim;
pub mod desk;
pub mod letters;
pub mod publisher;
pub mod retry;
mod row;
mod stored;

pub use carrier::Carrier;
pub use desk::OperationDesk;
pub use publisher::Publisher;
pub use retry::Retries;
pub(crate) use row::corrupt;
pub use row::{Operation, State, Verdict};

/// The channel that is notified when an operation is to be published.
const CHANNEL: &str = "florin_operations";

//! One partition: a queue, and one writer that owns its state and its connection.
//!
//! ```text
//! Job ─queue─▶ gathered ─decide─▶ Draft ─append─▶ journal ─▶ answers
//! ```
//!
//! | file | does |
//! |---|---|
//! | `queue` | what waits, bounded in commands |
//! | `writer` | appends one batch after the other, takes the conflict path |
//! | `gathered` | the jobs behind the append in flight, decided as they come |
//! | `state` | the head, the bounded caches, what other processes wrote, and a way back |
//! | `draft` | the events of a batch, chained on the head they were decided on |
//! | `decide` | each job's part of the draft |
//! | `answers` | what is told to whoever waits, sent behind the next append |
//! | `transfer` | the saga's steps, for as long as the wallets live in this partition |
//!
//! While an append is in flight the next jobs gather, so a batch is as large as the load makes it and
//! a lone command waits for nobody. Bounds: [`queue::MAX_QUEUE`] commands wait, [`MAX_BATCH`] go
//! together, or a whole bulk more.

mod answers;
mod decide;
mod draft;
mod gathered;
mod queue;
mod state;
mod transfer;
mod writer;

use std::sync::Arc;

use florin_domain::{Amount, Metadata, Owner, Refusal, TransferId, WalletId};
use tokio::sync::oneshot;

use crate::audit::Origin;
use crate::command::{Answer, Command, Key, Leg, SubmitError, WalletState};
use crate::fingerprint::Fingerprint;
use crate::journal::TransferRecord;

pub use queue::Depth;
pub(crate) use queue::{Jobs, Queue, Room};
pub(crate) use writer::{Writer, WriterParts};

/// How many commands are decided and appended together: what one append carries within some tens of
/// milliseconds, so that a batch never holds up the next one for long. An atomic bulk is not divided:
/// the one that reaches the bound may go beyond it.
pub(crate) const MAX_BATCH: usize = 1024;

/// Something for a partition's writer to do.
pub(crate) struct Job {
    pub(crate) task: Task,
    pub(crate) reply: Reply,
}

impl Job {
    /// How much of a bound it takes.
    pub(crate) fn commands(&self) -> usize {
        match &self.task {
            Task::All(group) => group.submissions.len(),
            Task::Submit(_)
            | Task::Credit(_)
            | Task::Settle { .. }
            | Task::Read(_)
            | Task::Unfinished => 1,
        }
    }
}

/// What to do.
pub(crate) enum Task {
    /// A client's command.
    Submit(Submission),
    /// Commands of a client of which all take effect or none.
    All(Group),
    /// The credit of a transfer that another partition drives.
    Credit(CreditLeg),
    /// What became of the credit of a transfer that this partition drives.
    Settle { transfer: TransferId, credit: Result<Leg, Refusal> },
    /// The wallet as of now.
    Read(WalletId),
    /// The transfers that this partition drives and that have not ended.
    Unfinished,
}

/// A client's command with its key.
pub(crate) struct Submission {
    pub(crate) command: Command,
    pub(crate) key: Option<(Key, Fingerprint)>,
    pub(crate) expected_version: Option<u64>,
    pub(crate) expected_owner: Option<Owner>,
    pub(crate) origin: Origin,
}

/// The commands of an atomic bulk, under one key.
pub(crate) struct Group {
    /// Each has the key of the whole, which its events tell.
    pub(crate) submissions: Vec<Submission>,
    pub(crate) key: Option<(Key, Fingerprint)>,
}

/// One side of a transfer, for the partition of its target.
#[derive(Clone)]
pub(crate) struct CreditLeg {
    pub(crate) transfer: TransferId,
    pub(crate) from: WalletId,
    pub(crate) to: WalletId,
    pub(crate) amount: Amount,
    pub(crate) metadata: Option<Metadata>,
    /// What is kept with every event of the transfer.
    pub(crate) event_metadata: Arc<str>,
}

/// Where the answer goes. A receiver that has gone away is nobody's concern: the command stands.
pub(crate) enum Reply {
    Answer(oneshot::Sender<Result<Answer, SubmitError>>),
    Wallet(oneshot::Sender<Result<Option<WalletState>, SubmitError>>),
    Transfers(oneshot::Sender<Result<Vec<TransferRecord>, SubmitError>>),
}

impl Reply {
    /// Says that there will be no answer.
    pub(crate) fn fail(self, error: SubmitError) {
        // Whether anybody still listens makes no difference here, nor below.
        match self {
            Self::Answer(reply) => drop(reply.send(Err(error))),
            Self::Wallet(reply) => drop(reply.send(Err(error))),
            Self::Transfers(reply) => drop(reply.send(Err(error))),
        }
    }
}

/// A transfer that this partition debited and whose target lives in another one.
pub(crate) struct Pending {
    pub(crate) transfer: TransferRecord,
    /// Who waits, and what to tell them if it takes longer than they wait.
    pub(crate) waiting: Option<(oneshot::Sender<Result<Answer, SubmitError>>, Answer)>,
}

//! One partition: a queue, and one writer that owns its state and its connection.
//!
//! ```text
//! Job ─queue─▶ gathered ─decide─▶ Draft ─append─▶ journal ─▶ answers
//! ```
//!
//! | file | does |
//! |---|---|
//! | `writer` | appends one batch after the other, takes the conflict path |
//! | `gathered` | the jobs behind the append in flight, decided as they come |
//! | `state` | the head, the bounded caches, what other processes wrote, and a way back |
//! | `draft` | the events of a batch, chained on the head they were decided on |
//! | `decide` | each job's part of the draft |
//! | `answers` | what is told to whoever waits, sent behind the next append |
//! | `transfer` | the saga's steps, for as long as the wallets live in this partition |
//!
//! While an append is in flight the next jobs gather, so a batch is as large as the load makes it and
//! a lone command waits for nobody. Bounds: [`MAX_QUEUE`] jobs wait, [`MAX_BATCH`] go together.

mod answers;
mod decide;
mod draft;
mod gathered;
mod state;
mod transfer;
mod writer;

use std::sync::Arc;

use florin_domain::{Amount, Metadata, Refusal, TransferId, WalletId};
use tokio::sync::{mpsc, oneshot};

use crate::command::{Answer, Command, Key, Leg, SubmitError, WalletState};
use crate::fingerprint::Fingerprint;
use crate::journal::TransferRecord;

pub(crate) use writer::{Writer, WriterParts};

/// How many jobs wait for one partition. At 20,000 commands a second that is a fifth of a second;
/// beyond it a client is told to come back rather than kept waiting.
pub(crate) const MAX_QUEUE: usize = 4096;

/// How many jobs are decided and appended together: what one append carries within a few
/// milliseconds, so that a batch never holds up the next one for long.
pub(crate) const MAX_BATCH: usize = 1024;

/// Something for a partition's writer to do.
pub(crate) struct Job {
    pub(crate) task: Task,
    pub(crate) reply: Reply,
}

/// What to do.
pub(crate) enum Task {
    /// A client's command.
    Submit(Submission),
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
    pub(crate) traceparent: Option<Arc<str>>,
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

/// The queue of a partition.
#[derive(Clone)]
pub(crate) struct Queue(mpsc::Sender<Job>);

impl Queue {
    /// A queue and its far end.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Job>) {
        let (sender, receiver) = mpsc::channel(MAX_QUEUE);
        (Self(sender), receiver)
    }

    /// Queues a client's job, or says that the queue is full.
    pub(crate) fn offer(&self, job: Job) -> Result<(), SubmitError> {
        self.0.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Unavailable,
        })
    }

    /// Queues the ledger's own job, however long that takes: it was accepted once already.
    pub(crate) async fn send(&self, job: Job) -> Result<(), SubmitError> {
        self.0.send(job).await.map_err(|_| SubmitError::Unavailable)
    }
}

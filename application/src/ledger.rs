//! The front door: every command of every kind comes in here, and nothing else appends.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use florin_domain::{Owner, TransferId, WalletId, partition_of};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::command::{Answer, Key, Request, RequestId, SubmitError, TransferState, WalletState};
use crate::fingerprint::Fingerprint;
use crate::journal::{Journal, KeyRecord};
use crate::observer::Observer;
use crate::partition::{Depth, Job, Queue, Reply, Submission, Task, Writer, WriterParts};
use crate::saga::Driver;
use crate::snapshots::Snapshots;

/// How long a client waits for an outcome. A journal that answers at all answers in milliseconds.
pub(crate) const SUBMIT_WAIT: Duration = Duration::from_secs(10);

/// How a ledger behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether incoming money opens a wallet that was never opened.
    pub auto_open: bool,
    /// How many wallets are held in memory, over all partitions.
    pub cached_wallets: usize,
}

impl Settings {
    /// How many wallets are held in memory when nobody says otherwise: about 30 MB.
    pub const CACHED_WALLETS: usize = 100_000;
}

impl Default for Settings {
    fn default() -> Self {
        Self { auto_open: true, cached_wallets: Self::CACHED_WALLETS }
    }
}

/// A running ledger. Cheap to clone; its writers end with the last clone.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    journal: Arc<dyn Journal>,
    observer: Arc<dyn Observer>,
    queues: Vec<Queue>,
    partitions: u32,
    _tasks: JoinSet<()>,
}

impl Ledger {
    /// Starts a writer for each partition, and resumes the transfers that were left unfinished.
    pub fn open(journal: Arc<dyn Journal>, clock: Arc<dyn Clock>, settings: &Settings) -> Self {
        Self::open_observed(journal, clock, settings, Arc::new(()))
    }

    /// The same, while somebody measures.
    pub fn open_observed(
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        settings: &Settings,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let partitions = journal.partitions();
        let (queues, receivers): (Vec<_>, Vec<_>) = (0..partitions).map(|_| Queue::new()).unzip();
        let driver = Arc::new(Driver::new(queues.clone()));
        let mut tasks = JoinSet::new();
        let (snapshots, saving) = Snapshots::new(Arc::clone(&journal));
        tasks.spawn(saving);
        let share = settings.cached_wallets / partitions.max(1) as usize;
        for (partition, jobs) in (0..partitions).zip(receivers) {
            let writer = Writer::new(WriterParts {
                partition,
                partitions,
                auto_open: settings.auto_open,
                max_wallets: NonZeroUsize::new(share).unwrap_or(NonZeroUsize::MIN),
                journal: journal.partition(partition),
                jobs,
                clock: Arc::clone(&clock),
                driver: Arc::clone(&driver),
                snapshots: snapshots.clone(),
                observer: Arc::clone(&observer),
            });
            tasks.spawn(writer.run());
        }
        // Within one partition transfers end in the append that begins them.
        if partitions > 1 {
            tasks.spawn(driver.resume(clock));
        }
        Self { inner: Arc::new(Inner { journal, observer, queues, partitions, _tasks: tasks }) }
    }

    /// Carries a command to its outcome.
    ///
    /// # Errors
    /// [`SubmitError`] when it came to none.
    pub async fn submit(&self, request: Request) -> Result<Answer, SubmitError> {
        let kind = request.command.kind();
        let partition = self.partition_of(request.command.wallet());
        let submission = Task::Submit(Submission::of(request));
        let answer = self.ask(partition, submission, Reply::Answer).await;
        self.observer().answered(kind, &answer);
        answer
    }

    /// How many commands wait, by partition. It outlives the ledger, whose queues are then empty.
    pub fn depths(&self) -> Vec<Depth> {
        self.inner.queues.iter().map(Queue::depth).collect()
    }

    pub(crate) fn observer(&self) -> &dyn Observer {
        &*self.inner.observer
    }

    /// The wallet as of now, whichever process wrote last; `None` when it was never opened.
    ///
    /// # Errors
    /// [`SubmitError::Busy`] and [`SubmitError::Unavailable`].
    pub async fn wallet(&self, id: &WalletId) -> Result<Option<WalletState>, SubmitError> {
        self.ask(self.partition_of(id), Task::Read(id.clone()), Reply::Wallet).await
    }

    /// The transfer as of now; `None` when it is not on record.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`].
    pub async fn transfer(&self, id: TransferId) -> Result<Option<TransferState>, SubmitError> {
        match self.inner.journal.transfer(id).await {
            Ok(record) => Ok(record.and_then(|record| record.state())),
            Err(cause) => {
                tracing::warn!(%cause, "transfer not read");
                Err(SubmitError::Unavailable)
            }
        }
    }

    /// What is on record for a wallet's key; without a wallet, for a key of requests to open one without
    /// saying which, or else of atomic bulks, in the name of the owner; `None` if nothing is.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`].
    pub async fn key(
        &self,
        wallet: Option<&WalletId>,
        owner: Option<&Owner>,
        request_id: RequestId,
    ) -> Result<Option<KeyRecord>, SubmitError> {
        let keys = match wallet {
            Some(wallet) => vec![Key::of_wallet(wallet, request_id)],
            None => {
                vec![Key::of_opening(owner, request_id.clone()), Key::of_bulk(owner, request_id)]
            }
        };
        for key in keys {
            let record = self.inner.journal.key(&key).await.map_err(|cause| {
                tracing::warn!(%cause, "key not read");
                SubmitError::Unavailable
            })?;
            if record.is_some() {
                return Ok(record);
            }
        }
        Ok(None)
    }

    pub(crate) async fn ask<T>(
        &self,
        partition: u32,
        task: Task,
        reply: impl FnOnce(oneshot::Sender<Result<T, SubmitError>>) -> Reply,
    ) -> Result<T, SubmitError> {
        let (sender, receiver) = oneshot::channel();
        self.queue(partition)?.offer(Job { task, reply: reply(sender) })?;
        match timeout(SUBMIT_WAIT, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(SubmitError::Unavailable),
        }
    }

    pub(crate) fn queue(&self, partition: u32) -> Result<&Queue, SubmitError> {
        self.inner.queues.get(partition as usize).ok_or(SubmitError::Unavailable)
    }

    pub(crate) fn partitions(&self) -> u32 {
        self.inner.partitions
    }

    /// Where a wallet lies.
    pub(crate) fn partition_of(&self, wallet: &WalletId) -> u32 {
        partition_of(wallet, self.inner.partitions)
    }
}

impl Submission {
    pub(crate) fn of(request: Request) -> Self {
        let Request { command, request_id, expected_version, expected_owner, origin } = request;
        let owner = expected_owner.as_ref();
        let key =
            request_id.map(|id| (Key::of_command(&command, owner, id), Fingerprint::of(&command)));
        Self { command, key, expected_version, expected_owner, origin }
    }
}

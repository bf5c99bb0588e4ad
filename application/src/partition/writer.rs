//! The writer of one partition: gathers, decides, appends, answers.
//!
//! | the journal says | the writer |
//! |---|---|
//! | appended | commits the draft to its state and answers everyone |
//! | the head has moved | locks the partition, takes in what others wrote, decides again |
//! | a key is kept already | reads the keys of the batch, decides again |
//! | (a keyed job comes to a conflict) | reads its key: an earlier outcome goes before the conflict |
//! | it rejects the batch | tries the jobs one by one, so that only the culprit fails |
//! | it is not available | answers "unavailable", forgets what it knew, backs off |
//!
//! A batch that writes nothing (reads, refusals without a key) is true only of the present head, so
//! the head is compared before anyone is answered.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use florin_domain::{TransferId, WalletId, partition_of};
use tokio::sync::mpsc;

use super::answers::Answers;
use super::decide::{Context, Decided};
use super::draft::Draft;
use super::state::State;
use super::transfer::Rules;
use super::{Job, MAX_BATCH, Task};
use crate::clock::Clock;
use crate::command::{Command, Key, SubmitError};
use crate::journal::{
    AppendError, Batch, JournalError, KeptKey, PartitionJournal, Tail, TransferRecord, WalletRecord,
};
use crate::saga::Driver;
use crate::snapshots::Snapshots;

/// How often a batch is decided again before its clients are told to come back. Each round follows
/// a key found or a lock taken, so three are the most that ordinary contention needs.
const MAX_ROUNDS: usize = 8;

/// The first and the longest wait between attempts to reach the journal.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What a writer is made of.
pub(crate) struct WriterParts {
    pub(crate) partition: u32,
    pub(crate) partitions: u32,
    pub(crate) auto_open: bool,
    pub(crate) max_wallets: NonZeroUsize,
    pub(crate) journal: Box<dyn PartitionJournal>,
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) driver: Arc<Driver>,
    pub(crate) snapshots: Snapshots,
}

pub(crate) struct Writer {
    parts: WriterParts,
    state: State,
    /// Whether `state` is true as of its head. Not so at the start and after an outage.
    is_current: bool,
    backoff: Option<Duration>,
    /// To the last batch that was appended, until they are sent.
    answers: Option<Answers>,
}

/// Why a batch came to nothing.
enum Failure {
    Unavailable(JournalError),
    Rejected(Box<dyn std::error::Error + Send + Sync>),
    Contended,
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Unavailable(_) => Self::Unavailable(error),
            // What cannot be read stays so: only the jobs that need it may fail.
            JournalError::Corrupt(cause) => Self::Rejected(cause),
        }
    }
}

impl Writer {
    pub(crate) fn new(parts: WriterParts) -> Self {
        let state = State::new(parts.max_wallets);
        Self { parts, state, is_current: false, backoff: None, answers: None }
    }

    /// Works until the queue is closed.
    pub(crate) async fn run(mut self) {
        self.warm_up().await;
        let mut jobs = Vec::with_capacity(MAX_BATCH);
        loop {
            self.take_waiting(&mut jobs);
            if jobs.is_empty() {
                // Nothing goes on behind which the answers could be sent.
                self.send_answers();
                if self.parts.jobs.recv_many(&mut jobs, MAX_BATCH).await == 0 {
                    return;
                }
            }
            self.process(mem::take(&mut jobs)).await;
        }
    }

    /// Takes the jobs that wait already, as many as go together.
    fn take_waiting(&mut self, jobs: &mut Vec<Job>) {
        while jobs.len() < MAX_BATCH
            && let Ok(job) = self.parts.jobs.try_recv()
        {
            jobs.push(job);
        }
    }

    /// Sends the answers to the batch before; no other wait than that for an append may hold them up.
    fn send_answers(&mut self) {
        if let Some(answers) = self.answers.take() {
            answers.send();
        }
    }

    /// Connects, and runs what every batch runs, so that the first client does not wait for it. A
    /// journal that is away is met again by the first batch.
    async fn warm_up(&mut self) {
        if self.look().await.is_ok() {
            let _ = self.parts.journal.load_wallets(&[]).await;
        }
    }

    /// Takes in what was written before, or while the journal was away.
    async fn look(&mut self) -> Result<(), JournalError> {
        if !self.is_current {
            let tail = self.parts.journal.catch_up(self.state.head.position).await?;
            self.catch_up(tail).await?;
            self.is_current = true;
        }
        Ok(())
    }

    async fn process(&mut self, jobs: Vec<Job>) {
        let settled = self.settle(&jobs).await;
        // Where it failed before its append, the answers to the batch before still wait.
        self.send_answers();
        match settled {
            Ok((draft, decided)) => {
                self.recovered();
                self.answers = Some(self.commit(draft, jobs, decided));
            }
            Err(Failure::Contended) => fail(jobs, &SubmitError::Busy),
            Err(Failure::Rejected(cause)) if jobs.len() == 1 => {
                self.forget().await;
                tracing::error!(partition = self.parts.partition, %cause, "command rejected");
                fail(jobs, &SubmitError::Rejected);
            }
            Err(Failure::Rejected(_)) => {
                self.forget().await;
                for job in jobs {
                    Box::pin(self.process(vec![job])).await;
                }
            }
            Err(Failure::Unavailable(cause)) => {
                fail(jobs, &SubmitError::Unavailable);
                self.back_off(&cause).await;
            }
        }
    }

    /// Decides the jobs and appends what follows, on a head that both agree on.
    async fn settle(&mut self, jobs: &[Job]) -> Result<(Draft, Vec<Decided>), Failure> {
        self.look().await?;
        let (mut found, mut asked) = (HashMap::new(), HashSet::new());
        for _ in 0..MAX_ROUNDS {
            let (draft, decided) = self.draft(jobs, &found).await?;
            let unsure: Vec<Key> =
                draft.unkept.iter().filter(|key| asked.insert((*key).clone())).cloned().collect();
            if self.find_keys(&unsure, &mut found).await? {
                continue;
            }
            if draft.batch.is_empty() {
                self.send_answers();
                let tail = self.parts.journal.catch_up(self.state.head.position).await?;
                if tail.head.position == self.state.head.position {
                    self.parts.journal.release().await;
                    return Ok((draft, decided));
                }
                self.catch_up(tail).await?;
                continue;
            }
            match self.append(&draft.batch).await {
                Ok(()) => return Ok((draft, decided)),
                Err(AppendError::Moved) => {
                    let tail = self.parts.journal.lock(self.state.head.position).await?;
                    self.catch_up(tail).await?;
                }
                Err(AppendError::KeyTaken) => {
                    let keys: Vec<Key> =
                        draft.batch.keys.iter().map(|kept| kept.key.clone()).collect();
                    self.find_keys(&keys, &mut found).await?;
                }
                Err(AppendError::Rejected(cause)) => return Err(Failure::Rejected(cause)),
                Err(AppendError::Unavailable(cause)) => return Err(cause.into()),
            }
        }
        self.parts.journal.release().await;
        Err(Failure::Contended)
    }

    /// Sends the batch to the journal and, while that works, the answers to the batch before.
    async fn append(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let mut appending = self.parts.journal.append(batch);
        let at_once = futures::poll!(&mut appending);
        // Not by `send_answers`: the append borrows the writer's journal.
        if let Some(answers) = self.answers.take() {
            answers.send();
        }
        match at_once {
            Poll::Ready(appended) => appended,
            Poll::Pending => appending.await,
        }
    }

    async fn draft(
        &mut self,
        jobs: &[Job],
        found: &HashMap<Key, KeptKey>,
    ) -> Result<(Draft, Vec<Decided>), JournalError> {
        let wallets = self.working_set(jobs).await?;
        let parts = &self.parts;
        let mut draft = Draft::new(parts.partition, &self.state, wallets, parts.clock.now());
        let rules = Rules { partitions: parts.partitions, auto_open: parts.auto_open };
        let context = Context { state: &self.state, found, rules };
        let decided = jobs
            .iter()
            .enumerate()
            .map(|(index, job)| context.decide(&mut draft, index, &job.task))
            .collect();
        Ok((draft, decided))
    }

    async fn catch_up(&mut self, tail: Tail) -> Result<(), JournalError> {
        self.state.catch_up(tail, self.parts.journal.as_mut()).await
    }

    /// Looks the keys up; says whether any of them is kept.
    async fn find_keys(
        &mut self,
        keys: &[Key],
        found: &mut HashMap<Key, KeptKey>,
    ) -> Result<bool, JournalError> {
        if keys.is_empty() {
            return Ok(false);
        }
        self.send_answers();
        let kept = self.parts.journal.find_keys(keys).await?;
        let any = !kept.is_empty();
        found.extend(kept.into_iter().map(|kept| (kept.key.clone(), kept)));
        Ok(any)
    }

    /// Copies of every wallet that the jobs name: from the cache, or loaded in one go.
    async fn working_set(
        &mut self,
        jobs: &[Job],
    ) -> Result<HashMap<WalletId, WalletRecord>, JournalError> {
        let mut wallets = HashMap::with_capacity(jobs.len());
        let mut missing = HashSet::new();
        let unfinished = &self.state.unfinished;
        let (partition, partitions) = (self.parts.partition, self.parts.partitions);
        for id in jobs.iter().flat_map(|job| wallets_of(&job.task, unfinished)) {
            // The other side of a transfer may be another partition's.
            if partition_of(&id, partitions) != partition {
                continue;
            }
            if wallets.contains_key(&id) || missing.contains(&id) {
                continue;
            }
            match self.state.wallets.get(&id) {
                Some(record) => drop(wallets.insert(id, record.clone())),
                None => drop(missing.insert(id)),
            }
        }
        if !missing.is_empty() {
            self.send_answers();
            let missing: Vec<WalletId> = missing.into_iter().collect();
            let loaded = self.parts.journal.load_wallets(&missing).await?;
            for (id, record) in missing.into_iter().zip(loaded) {
                self.state.wallets.put(id.clone(), record.clone());
                wallets.insert(id, record);
            }
        }
        Ok(wallets)
    }

    /// Makes an appended draft the partition's state.
    fn commit(&mut self, draft: Draft, jobs: Vec<Job>, decided: Vec<Decided>) -> Answers {
        self.state.head = draft.batch.head();
        for (id, record) in draft.wallets {
            let before = self.state.wallets.peek(&id).map_or(0, |record| record.version);
            if before != record.version {
                self.parts.snapshots.offer(&id, &record, before);
                self.state.wallets.put(id, record);
            }
        }
        for (id, record) in draft.transfers {
            match record.is_over() {
                true => drop(self.state.unfinished.remove(&id)),
                false => drop(self.state.unfinished.insert(id, record)),
            }
        }
        for kept in draft.batch.keys {
            self.state.remember(kept);
        }
        let driver = Arc::clone(&self.parts.driver);
        Answers { driver, jobs, decided, events: draft.batch.events }
    }

    /// Forgets what may not be true any more; the next batch begins by looking.
    async fn forget(&mut self) {
        self.parts.journal.release().await;
        self.state = State::new(self.parts.max_wallets);
        self.is_current = false;
    }

    /// Forgets, says so once, and waits a little.
    async fn back_off(&mut self, cause: &JournalError) {
        self.forget().await;
        let wait = match self.backoff {
            None => {
                tracing::warn!(partition = self.parts.partition, %cause, "journal unavailable");
                BACKOFF.0
            }
            Some(wait) => (wait * 2).min(BACKOFF.1),
        };
        self.backoff = Some(wait);
        tokio::time::sleep(wait).await;
    }

    fn recovered(&mut self) {
        if self.backoff.take().is_some() {
            tracing::info!(partition = self.parts.partition, "journal available again");
        }
    }
}

/// The wallets that a task is about.
fn wallets_of(task: &Task, unfinished: &HashMap<TransferId, TransferRecord>) -> Vec<WalletId> {
    match task {
        Task::Submit(submission) => match &submission.command {
            Command::Wallet { id, .. } => vec![id.clone()],
            Command::Transfer(transfer) => vec![transfer.from.clone(), transfer.to.clone()],
        },
        Task::Credit(leg) => vec![leg.to.clone()],
        Task::Settle { transfer, .. } => unfinished
            .get(transfer)
            .and_then(|record| record.transfer.details())
            .map(|details| details.from.clone())
            .into_iter()
            .collect(),
        Task::Read(id) => vec![id.clone()],
        Task::Unfinished => vec![],
    }
}

fn fail(jobs: Vec<Job>, error: &SubmitError) {
    for job in jobs {
        job.reply.fail(error.clone());
    }
}

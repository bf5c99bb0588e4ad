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
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::answers::Answers;
use super::decide::Context;
use super::draft::Draft;
use super::gathered::{Gathered, Sheet};
use super::state::{State, Undo};
use super::transfer::Rules;
use super::{Job, Jobs};
use crate::audit::AuditRow;
use crate::clock::Clock;
use crate::command::{Key, SubmitError};
use crate::journal::{AppendError, Batch, JournalError, KeptKey, PartitionJournal, Tail};
use crate::observer::Observer;
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
    pub(crate) jobs: Jobs,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) driver: Arc<Driver>,
    pub(crate) snapshots: Snapshots,
    pub(crate) observer: Arc<dyn Observer>,
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
        let mut gathered = Gathered::default();
        loop {
            gathered.take_waiting(&mut self.parts.jobs);
            if gathered.jobs.is_empty() {
                // Nothing goes on behind which the answers could be sent.
                self.send_answers();
                if !gathered.take(&mut self.parts.jobs).await {
                    return;
                }
            }
            let mut behind = Gathered::default();
            self.process(gathered, &mut behind).await;
            gathered = behind;
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

    /// Carries the jobs to their end. What comes in meanwhile gathers behind them.
    async fn process(&mut self, gathered: Gathered, behind: &mut Gathered) {
        let Gathered { jobs, sheet, .. } = gathered;
        let settled = self.settle(&jobs, sheet, behind).await;
        // Where it failed before its append, the answers to the batch before still wait.
        self.send_answers();
        match settled {
            Ok(Sheet { draft, decided }) => {
                self.recovered();
                let driver = Arc::clone(&self.parts.driver);
                self.answers = Some(Answers { driver, jobs, decided, batch: draft.batch });
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
                    let commands = job.commands();
                    let alone = Gathered { jobs: vec![job], commands, sheet: None };
                    Box::pin(self.process(alone, behind)).await;
                }
            }
            Err(Failure::Unavailable(cause)) => {
                fail(jobs, &SubmitError::Unavailable);
                self.back_off(&cause).await;
            }
        }
    }

    /// Decides the jobs and appends what follows, on a head that both agree on. The sheet is what was
    /// decided of them already, if anything.
    async fn settle(
        &mut self,
        jobs: &[Job],
        mut sheet: Option<Sheet>,
        behind: &mut Gathered,
    ) -> Result<Sheet, Failure> {
        if !self.is_current {
            sheet = None;
        }
        self.look().await?;
        // What is decided there stood on another append than this one.
        behind.sheet = None;
        let (mut found, mut asked) = (HashMap::new(), HashSet::new());
        for _ in 0..MAX_ROUNDS {
            let mut sheet = self.finish(sheet.take(), jobs, &found).await?;
            let unkept = sheet.draft.unkept.iter();
            let unsure: Vec<Key> =
                unkept.filter(|key| asked.insert((*key).clone())).cloned().collect();
            if self.find_keys(&unsure, &mut found).await? {
                continue;
            }
            if sheet.draft.batch.is_empty() {
                self.send_answers();
                let tail = self.parts.journal.catch_up(self.state.head.position).await?;
                if tail.head.position == self.state.head.position {
                    self.parts.journal.release().await;
                    return Ok(sheet);
                }
                // Locked from here on, or a busy process would keep this one looking.
                let tail = self.parts.journal.lock(self.state.head.position).await?;
                self.catch_up(tail).await?;
                continue;
            }
            match self.append(&mut sheet.draft, behind).await {
                Ok(()) => {
                    let commands = jobs.iter().map(Job::commands).sum();
                    self.parts.observer.appended(commands, sheet.draft.batch.events.len());
                    return Ok(sheet);
                }
                Err(AppendError::Moved) => {
                    let tail = self.parts.journal.lock(self.state.head.position).await?;
                    self.catch_up(tail).await?;
                }
                Err(AppendError::KeyTaken) => {
                    let keys = sheet.draft.batch.keys.into_iter();
                    let keys: Vec<Key> = keys.map(|kept| kept.key).collect();
                    self.find_keys(&keys, &mut found).await?;
                }
                Err(AppendError::Rejected(cause)) => return Err(Failure::Rejected(cause)),
                Err(AppendError::Unavailable(cause)) => return Err(cause.into()),
            }
        }
        self.parts.journal.release().await;
        Err(Failure::Contended)
    }

    /// Appends the draft, and goes on as if that had succeeded; if it has not, nothing has happened.
    async fn append(
        &mut self,
        draft: &mut Draft,
        behind: &mut Gathered,
    ) -> Result<(), AppendError> {
        let undo = self.state.assume(draft);
        let appended = self.append_assumed(&draft.batch, behind).await;
        match &appended {
            Ok(()) => {
                draft.batch.calls.iter().for_each(AuditRow::kept);
                self.offer_snapshots(undo);
            }
            Err(_) => {
                self.state.undo(undo, &draft.batch.keys);
                behind.sheet = None;
            }
        }
        appended
    }

    /// Sends the batch to the journal. While that works, the answers to the batch before are sent and
    /// the next jobs decided.
    async fn append_assumed(
        &mut self,
        batch: &Batch,
        behind: &mut Gathered,
    ) -> Result<(), AppendError> {
        let rules = self.rules();
        let WriterParts { partition, journal, jobs, clock, .. } = &mut self.parts;
        let found = HashMap::new();
        let context = Context { state: &self.state, found: &found, rules };
        let mut appending = journal.append(batch);
        let at_once = futures::poll!(&mut appending);
        // Not by `send_answers`: the append borrows the writer's journal.
        if let Some(answers) = self.answers.take() {
            answers.send();
        }
        if let Poll::Ready(appended) = at_once {
            return appended;
        }
        while behind.room() > 0 {
            tokio::select! {
                biased;
                appended = &mut appending => return appended,
                more = behind.take(jobs) => match more {
                    false => break,
                    true => behind.decide(*partition, &context, clock.now()),
                }
            }
        }
        appending.await
    }

    /// Decides what the sheet leaves open, or everything, with the wallets that it takes.
    async fn finish(
        &mut self,
        sheet: Option<Sheet>,
        jobs: &[Job],
        found: &HashMap<Key, KeptKey>,
    ) -> Result<Sheet, JournalError> {
        let (partition, rules) = (self.parts.partition, self.rules());
        let now = self.parts.clock.now();
        let context = Context { state: &self.state, found, rules };
        let mut sheet = sheet.unwrap_or_else(|| Sheet::new(partition, &context, now));
        sheet.decide(jobs, &context);
        let missing = sheet.missing(jobs, &context);
        if !missing.is_empty() {
            self.send_answers();
            let loaded = self.parts.journal.load_wallets(&missing).await?;
            for (id, record) in missing.into_iter().zip(loaded) {
                self.state.wallets.put(id.clone(), record.clone());
                sheet.draft.wallets.insert(id, record);
            }
            sheet.decide(jobs, &Context { state: &self.state, found, rules });
        }
        match sheet.decided.len() == jobs.len() {
            true => Ok(sheet),
            false => Err(JournalError::corrupt("a wallet that was asked for did not come")),
        }
    }

    fn rules(&self) -> Rules {
        Rules { partitions: self.parts.partitions, auto_open: self.parts.auto_open }
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

    /// Offers the states of the wallets that an append changed.
    fn offer_snapshots(&self, undo: Undo) {
        for (id, before) in undo.wallets {
            if let Some(record) = self.state.wallets.peek(&id) {
                let before = before.map_or(0, |before| before.version);
                self.parts.snapshots.offer(&id, record, before);
            }
        }
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

fn fail(jobs: Vec<Job>, error: &SubmitError) {
    for job in jobs {
        job.reply.fail(error.clone());
    }
}

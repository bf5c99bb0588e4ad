//! One batch: the checkpoint moves, the events are folded, and both are committed together or not at
//! all.
//!
//! | step | statements |
//! |---|---|
//! | move the checkpoint from where it is known to be, and lock it | 1 |
//! | which wallets are parked, if any are | 0 or 1 |
//! | load, fold, save | the model's |
//! | what was set aside, if anything was | 0 to 3 |
//!
//! The commit does not wait for the disk (`synchronous_commit = off`): what a crash of Postgres
//! takes back, it takes back with its checkpoint, and the events are in the journal still. So a
//! projection adds no flush to the log that commands are waiting for.

use florin_domain::journal::RecordedEvent;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use thiserror::Error;

use crate::announcement::{Announcement, Changed};
use crate::checkpoint::{self, Checkpoint};
use crate::parking::Aside;
use crate::ports::{JournalAway, JournalReader};
use crate::read_model::{Fault, FoldError, Projection};

/// What a batch works with.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) model: &'a dyn Projection,
    pub(crate) partition: u32,
    pub(crate) journal: &'a dyn JournalReader,
    pub(crate) audience: Audience,
}

/// Who is told of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Whoever reads the model: it is the live one.
    Readers,
    /// Nobody: it is another generation.
    Nobody,
}

/// What happens to events that cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Culprits {
    /// The batch fails.
    Fail,
    /// They are set aside, after so many attempts.
    SetAside(u32),
}

/// Why a batch was not committed.
#[derive(Debug, Error)]
pub(crate) enum BatchError {
    /// The checkpoint is elsewhere: another worker was here.
    #[error("another worker moved the checkpoint")]
    Moved,
    /// An event is at fault.
    #[error(transparent)]
    Culprit(FoldError),
    /// Postgres is away.
    #[error("Postgres is away: {0}")]
    Away(#[source] sqlx::Error),
    /// And so is the journal, which was asked whose the event is.
    #[error(transparent)]
    Journal(#[from] JournalAway),
}

impl From<sqlx::Error> for BatchError {
    fn from(error: sqlx::Error) -> Self {
        Self::Away(error)
    }
}

impl From<FoldError> for BatchError {
    fn from(error: FoldError) -> Self {
        match error {
            FoldError::Away(error) => Self::Away(error),
            culprit @ (FoldError::Events(..) | FoldError::Refused(_)) => Self::Culprit(culprit),
        }
    }
}

/// Begins a transaction that does not wait for the disk.
const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit TO off";

async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    match connection.is_in_transaction() {
        // A rebuild may be part of something larger.
        true => connection.begin().await,
        false => connection.begin_with(BEGIN).await,
    }
}

impl Task<'_> {
    /// Applies the events that follow a checkpoint, in the order of their positions.
    pub(crate) async fn commit(
        &self,
        connection: &mut PgConnection,
        known: Checkpoint,
        events: &[RecordedEvent],
        culprits: Culprits,
    ) -> Result<Checkpoint, BatchError> {
        let Some(last) = events.last() else { return Ok(known) };
        self.commit_to(connection, known, last.position, events, culprits).await
    }

    /// The same where some events before a position are left out.
    pub(crate) async fn commit_to(
        &self,
        connection: &mut PgConnection,
        known: Checkpoint,
        to: u64,
        events: &[RecordedEvent],
        culprits: Culprits,
    ) -> Result<Checkpoint, BatchError> {
        let mut transaction = begin(connection).await?;
        let (name, partition) = (self.model.name(), self.partition);
        let moved = match self.audience {
            Audience::Readers => {
                let announcement = self.announcement(to, events);
                checkpoint::advance(&mut transaction, known.position, &announcement).await?
            }
            Audience::Nobody => {
                checkpoint::advance_quietly(&mut transaction, name, partition, known.position, to)
                    .await?
            }
        };
        let Some(mut reached) = moved else {
            transaction.rollback().await?;
            return Err(BatchError::Moved);
        };
        let aside = self.fold(&mut transaction, reached, events, culprits).await?;
        let (letters, parked) = aside.counts();
        aside.save(&mut transaction, name, partition).await?;
        transaction.commit().await?;
        if letters > 0 {
            tracing::warn!(projection = name, partition, letters, parked, "events set aside");
        }
        reached.parked += u32::try_from(parked).unwrap_or(u32::MAX);
        Ok(reached)
    }

    /// What others are told: of wallets that are set aside, too, because their rows are now stale.
    fn announcement(&self, to: u64, events: &[RecordedEvent]) -> Announcement {
        Announcement {
            projection: self.model.name().to_owned(),
            partition: self.partition,
            position: to,
            changed: if self.model.is_cached() { Changed::by(events) } else { Changed::NONE },
        }
    }

    /// Folds the events that may be applied; answers with those that may not.
    async fn fold(
        &self,
        connection: &mut PgConnection,
        at: Checkpoint,
        events: &[RecordedEvent],
        culprits: Culprits,
    ) -> Result<Aside, BatchError> {
        let mut aside = match at.parked {
            0 => Aside::default(),
            _ => Aside::load(connection, self.model.name(), self.partition).await?,
        };
        let concerned = events.iter().filter(|event| self.model.concerns(event)).collect();
        match culprits {
            Culprits::Fail => {
                let live = aside.divert(concerned);
                self.model.fold(connection, &live).await?;
            }
            Culprits::SetAside(attempts) => {
                self.isolate(connection, &mut aside, concerned, attempts).await?;
            }
        }
        Ok(aside)
    }

    /// Folds in runs, each behind a savepoint, and sets aside what is at fault. Where the model says
    /// which events those are, the rest of the run is folded without them; where Postgres refuses
    /// the run as a whole, it is halved until one event is left.
    async fn isolate(
        &self,
        connection: &mut PgConnection,
        aside: &mut Aside,
        events: Vec<&RecordedEvent>,
        attempts: u32,
    ) -> Result<(), BatchError> {
        // The last one comes first.
        let mut runs = vec![events];
        while let Some(run) = runs.pop() {
            let mut run = aside.divert(run);
            let mut savepoint = connection.begin().await?;
            match self.model.fold(&mut savepoint, &run).await {
                Ok(()) => savepoint.commit().await?,
                Err(FoldError::Away(error)) => return Err(error.into()),
                Err(FoldError::Events(first, others)) => {
                    savepoint.rollback().await?;
                    let faults = [vec![first], others].concat();
                    self.set_aside(aside, &mut run, &faults, attempts).await?;
                    runs.push(run);
                }
                Err(FoldError::Refused(error)) => {
                    savepoint.rollback().await?;
                    match run.as_slice() {
                        [event] => {
                            aside.add(self.journal, event, &error.to_string(), attempts).await?;
                        }
                        _ => {
                            let later = run.split_off(run.len() / 2);
                            runs.extend([later, run]);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the faulty events out of a run. Of each wallet only the first one is at fault: what
    /// comes after it was folded without it, and follows it now.
    async fn set_aside(
        &self,
        aside: &mut Aside,
        run: &mut Vec<&RecordedEvent>,
        faults: &[Fault],
        attempts: u32,
    ) -> Result<(), BatchError> {
        for fault in faults {
            let Some(index) = run.iter().position(|event| event.position == fault.position) else {
                continue;
            };
            if let [event] = aside.divert(vec![run.remove(index)])[..] {
                aside.add(self.journal, event, &fault.error, attempts).await?;
            }
        }
        Ok(())
    }
}

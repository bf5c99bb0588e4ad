//! Where reports of the past are made: the functions of the projections, on a pool; those over the whole
//! ledger with a bound on how many are made at once.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use florin_application::clock::Clock;
use florin_domain::WalletId;
use florin_projections::balance::WalletRow;
use florin_projections::ports::{JournalAway, PastReader};
use florin_projections::trial_balance::{self, At, TrialBalance, TrialBalanceError};
use sqlx::PgPool;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::moment::Moment;
use crate::past::{self, PastError};

/// How many trial balances a process makes at once: each may read millions of events, and the journal
/// has its commands to take.
const AT_ONCE: usize = 2;

/// How long one may take: less than a request has, so that its client is told why there is none.
pub const REPORT_TIME: Duration = Duration::from_secs(12);

/// Cheap to clone.
#[derive(Clone)]
pub struct ReportDesk {
    pool: PgPool,
    journal: Arc<dyn PastReader>,
    clock: Arc<dyn Clock>,
    turns: Arc<Semaphore>,
}

/// As of when a report is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Now.
    Now,
    /// The end of that moment.
    Time(DateTime<Utc>),
    /// This position of every partition.
    Positions(Vec<(u32, u64)>),
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// As many as may be are being made.
    #[error("{AT_ONCE} reports are being made")]
    Busy,
    /// It was not done within [`REPORT_TIME`].
    #[error("the report takes longer than {REPORT_TIME:?}")]
    TooLong,
    /// Nobody knows yet what will have happened by then.
    #[error("the time lies in the future")]
    Future,
    /// It cannot be made.
    #[error(transparent)]
    TrialBalance(#[from] TrialBalanceError),
}

impl ReportDesk {
    /// Over the read models' database and the journal.
    pub fn new(pool: PgPool, journal: Arc<dyn PastReader>, clock: Arc<dyn Clock>) -> Self {
        Self { pool, journal, clock, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Whether the money adds up, as of then.
    ///
    /// # Errors
    /// [`ReportError`].
    pub async fn trial_balance(&self, when: When) -> Result<TrialBalance, ReportError> {
        let _turn = self.turns.try_acquire().map_err(|_| ReportError::Busy)?;
        timeout(REPORT_TIME, self.made(when)).await.map_err(|_| ReportError::TooLong)?
    }

    /// The position of a partition at a moment that has passed.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn position(&self, partition: u32, moment: &Moment) -> Result<u64, PastError> {
        past::position(&self.pool, partition, Some(moment), self.clock.now()).await
    }

    /// A wallet as it was at a position of its partition; none if it had not been opened yet.
    ///
    /// # Errors
    /// [`PastError`].
    pub async fn wallet(
        &self,
        wallet: &WalletId,
        position: u64,
    ) -> Result<Option<WalletRow>, PastError> {
        past::wallet(&self.pool, wallet, position).await
    }

    async fn made(&self, when: When) -> Result<TrialBalance, ReportError> {
        let at = match when {
            When::Now => At::Now,
            When::Positions(positions) => At::Positions(positions),
            When::Time(time) if time > self.clock.now() => return Err(ReportError::Future),
            When::Time(time) => At::Positions(self.positions_at(time).await?),
        };
        Ok(trial_balance::trial_balance(&self.pool, &*self.journal, &at).await?)
    }

    async fn positions_at(&self, time: DateTime<Utc>) -> Result<Vec<(u32, u64)>, ReportError> {
        let positions: Result<_, JournalAway> = self.journal.positions_at(time).await;
        positions.map_err(|error| ReportError::TrialBalance(error.into()))
    }
}

//! What a read model is: rows, a pure fold, and the SQL around it. One file each.
//!
//! ```text
//! events ─decode→ facts ─┐
//!          rows ←load────┴─apply→ rows ─save→ tables
//! ```
//!
//! A batch takes a fixed number of statements, whatever its size. The runner gives a model the
//! connection of the batch's transaction, in which the checkpoint has moved already.

use async_trait::async_trait;
use florin_domain::journal::RecordedEvent;
use sqlx::PgConnection;
use thiserror::Error;

use crate::fact::{Fact, Unapplicable};

/// A fold of the journal into tables.
#[async_trait]
pub trait ReadModel: Send + Sync + 'static {
    /// What a batch touches, in memory.
    type Rows: Send;

    /// Its name in `checkpoints`, on the command line and in routes.
    const NAME: &'static str;

    /// The tables that it fills. Each has a column `wallet_id`, by which a wallet can be told from
    /// the others.
    const TABLES: &'static [&'static str];

    /// Whether processes keep rows of it in memory: then each batch announces which wallets it
    /// changed.
    const IS_CACHED: bool = false;

    /// Whether an event concerns the model. One that does not is not even decoded; one of an unknown
    /// type does, because it might.
    fn reads(&self, event: &RecordedEvent) -> bool;

    /// The rows that these facts touch, as they are.
    async fn load(
        &self,
        connection: &mut PgConnection,
        facts: &[Fact<'_>],
    ) -> Result<Self::Rows, sqlx::Error>;

    /// Folds a fact into the rows.
    ///
    /// # Errors
    /// [`Unapplicable`], with the rows as they were.
    fn apply(&self, rows: &mut Self::Rows, fact: &Fact<'_>) -> Result<(), Unapplicable>;

    /// Keeps what the facts came to.
    async fn save(
        &self,
        connection: &mut PgConnection,
        rows: Self::Rows,
    ) -> Result<(), sqlx::Error>;

    /// Removes everything of one wallet, which is folded anew then.
    async fn erase(&self, connection: &mut PgConnection, wallet: &str) -> Result<(), sqlx::Error>;
}

/// An event that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it is in its partition.
    pub position: u64,
    /// Why.
    pub error: String,
}

/// Why a batch was not folded.
#[derive(Debug, Error)]
pub enum FoldError {
    /// This event cannot be applied, nor can these after it. Nothing was saved.
    #[error("position {}: {}", .0.position, .0.error)]
    Events(Fault, Vec<Fault>),
    /// Postgres refuses a value: some event of the batch is at fault, and it does not say which.
    #[error("the rows cannot be kept: {0}")]
    Refused(#[source] sqlx::Error),
    /// Postgres is away, or not as it must be. No event is at fault.
    #[error(transparent)]
    Away(sqlx::Error),
}

impl From<sqlx::Error> for FoldError {
    /// Of what Postgres says, only "data exception" (22) and "integrity constraint violation" (23)
    /// are about the data.
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|database| database.code());
        let is_of_data = |code: &str| code.starts_with("22") || code.starts_with("23");
        match code.as_deref().is_some_and(is_of_data) {
            true => Self::Refused(error),
            false => Self::Away(error),
        }
    }
}

/// A read model whatever its rows: what the runner and replays work with.
#[async_trait]
pub trait Projection: Send + Sync {
    /// [`ReadModel::NAME`].
    fn name(&self) -> &'static str;

    /// [`ReadModel::TABLES`].
    fn tables(&self) -> &'static [&'static str];

    /// [`ReadModel::IS_CACHED`].
    fn is_cached(&self) -> bool;

    /// [`ReadModel::reads`].
    fn concerns(&self, event: &RecordedEvent) -> bool;

    /// Load, fold, save: all of these events or none.
    async fn fold(
        &self,
        connection: &mut PgConnection,
        events: &[&RecordedEvent],
    ) -> Result<(), FoldError>;

    /// [`ReadModel::erase`].
    async fn forget(&self, connection: &mut PgConnection, wallet: &str) -> Result<(), sqlx::Error>;
}

#[async_trait]
impl<M: ReadModel> Projection for M {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn tables(&self) -> &'static [&'static str] {
        M::TABLES
    }

    fn is_cached(&self) -> bool {
        M::IS_CACHED
    }

    fn concerns(&self, event: &RecordedEvent) -> bool {
        self.reads(event)
    }

    async fn fold(
        &self,
        connection: &mut PgConnection,
        events: &[&RecordedEvent],
    ) -> Result<(), FoldError> {
        let mut faults = Vec::new();
        let mut facts = Vec::with_capacity(events.len());
        for recorded in events.iter().filter(|event| self.reads(event)) {
            match Fact::read(recorded) {
                Ok(fact) => facts.push(fact),
                Err(error) => faults.push(fault(recorded, &error)),
            }
        }
        if facts.is_empty() && faults.is_empty() {
            return Ok(());
        }
        let mut rows = self.load(connection, &facts).await?;
        for fact in &facts {
            if let Err(error) = self.apply(&mut rows, fact) {
                faults.push(fault(fact.recorded, &error));
            }
        }
        faults.sort_by_key(|fault| fault.position);
        let mut faults = faults.into_iter();
        match faults.next() {
            None => Ok(self.save(connection, rows).await?),
            Some(first) => Err(FoldError::Events(first, faults.collect())),
        }
    }

    async fn forget(&self, connection: &mut PgConnection, wallet: &str) -> Result<(), sqlx::Error> {
        self.erase(connection, wallet).await
    }
}

fn fault(recorded: &RecordedEvent, error: &dyn std::error::Error) -> Fault {
    Fault { position: recorded.position, error: error.to_string() }
}

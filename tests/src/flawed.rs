//! A read model with a defect that can be mended: the test hook for events that cannot be applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use florin_domain::journal::RecordedEvent;
use florin_projections::fact::{Fact, Unapplicable};
use florin_projections::read_model::ReadModel;
use sqlx::PgConnection;

/// Where the defect shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The fold refuses the event.
    Apply,
    /// Postgres refuses the rows of a batch with the event, without saying which event it is.
    Save,
}

/// The model under it, with a flaw at one position.
pub struct Flawed<M> {
    model: M,
    flaw: Flaw,
    position: u64,
    is_mended: Arc<AtomicBool>,
}

impl<M> Flawed<M> {
    /// Flawed until the switch says that it is mended.
    pub fn new(model: M, flaw: Flaw, position: u64, is_mended: &Arc<AtomicBool>) -> Self {
        Self { model, flaw, position, is_mended: Arc::clone(is_mended) }
    }

    fn strikes(&self, flaw: Flaw, fact: &Fact<'_>) -> bool {
        !self.is_mended.load(Ordering::Relaxed)
            && self.flaw == flaw
            && fact.recorded.position == self.position
    }
}

#[async_trait]
impl<M: ReadModel> ReadModel for Flawed<M> {
    type Rows = (M::Rows, bool);

    const NAME: &'static str = M::NAME;
    const TABLES: &'static [&'static str] = M::TABLES;
    const IS_CACHED: bool = M::IS_CACHED;

    fn reads(&self, event: &RecordedEvent) -> bool {
        self.model.reads(event)
    }

    async fn load(
        &self,
        connection: &mut PgConnection,
        facts: &[Fact<'_>],
    ) -> Result<Self::Rows, sqlx::Error> {
        let is_struck = facts.iter().any(|fact| self.strikes(Flaw::Save, fact));
        Ok((self.model.load(connection, facts).await?, is_struck))
    }

    fn apply(&self, rows: &mut Self::Rows, fact: &Fact<'_>) -> Result<(), Unapplicable> {
        match self.strikes(Flaw::Apply, fact) {
            true => Err(Unapplicable("this model is flawed".to_owned())),
            false => self.model.apply(&mut rows.0, fact),
        }
    }

    async fn save(
        &self,
        connection: &mut PgConnection,
        rows: Self::Rows,
    ) -> Result<(), sqlx::Error> {
        if rows.1 {
            sqlx::query("SELECT 1 / 0").execute(&mut *connection).await?;
        }
        self.model.save(connection, rows.0).await
    }

    async fn erase(&self, connection: &mut PgConnection, wallet: &str) -> Result<(), sqlx::Error> {
        self.model.erase(connection, wallet).await
    }
}

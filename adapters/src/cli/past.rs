//! The service on a schema that `florin as-of` has made: it reads, and writes nothing at all.

use std::sync::Arc;

use florin_application::memory::MemoryJournal;
use florin_application::{Journal as _, Ledger, Settings};
use florin_projections::checkpoint::positions_of_all;
use florin_projections::models;
use thiserror::Error;
use tokio::net::TcpListener;

use super::Failure;
use super::operator::OperatorPort;
use super::service::{Front, open_behind};
use crate::audit::AuditDesk;
use crate::clock::SystemClock;
use crate::dead_letters::DeadLetterDesk;
use crate::fraud::FraudDesk;
use crate::http::{Api, ApiParts, AsOf, BulkRoom, Dependencies, Health, Panics, serve};
use crate::live::Live;
use crate::operations::OperationDesk;
use crate::postgres::{connect, within};
use crate::reads::Reads;
use crate::reports::ReportDesk;

/// What it is made of.
pub(super) struct Past {
    pub(super) database_url: String,
    pub(super) schema: String,
    pub(super) cached_balances: usize,
    pub(super) front: Front,
    pub(super) operator: Option<OperatorPort>,
    pub(super) listener: TcpListener,
}

/// Nobody has made it.
#[derive(Debug, Error)]
#[error("there is no schema {0} that `florin as-of` has made: florin as-of TIME --into {0}")]
struct NoSchema(String);

impl Past {
    /// Serves until `shutdown`.
    pub(super) async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Failure> {
        let mut shutdown = Box::pin(shutdown);
        let database = (self.database_url.as_str(), None);
        let opening = open_behind(&self.listener, &self.front.edge, database);
        let journal = tokio::select! {
            opened = opening => opened?,
            () = &mut shutdown => return Ok(()),
        };
        let partitions = journal.partitions();
        let is_there = "SELECT has_schema_privilege(n.oid, 'USAGE') FROM pg_namespace n
                         WHERE n.nspname = $1 AND to_regclass(n.nspname || '.checkpoints') IS NOT NULL";
        let may_use: Option<bool> =
            sqlx::query_scalar(is_there).bind(&self.schema).fetch_optional(journal.pool()).await?;
        let url = within(&self.database_url, &self.schema)?;
        let pool = connect(&url)?;
        if may_use != Some(true) {
            return Err(NoSchema(self.schema).into());
        }
        let mut positions: Vec<(u32, u64)> = positions_of_all(&pool)
            .await?
            .into_iter()
            .filter(|(model, ..)| *model == models::all()[0].name())
            .map(|(_, partition, position)| (partition, position))
            .collect();
        positions.sort_unstable();
        let reads = Reads::still(&url, partitions, self.cached_balances)?;
        let Front { auth, edge, .. } = self.front;
        let health: Arc<dyn Health> = Arc::new(Dependencies {
            postgres: pool.clone(),
            reads: Some(reads.clone()),
            nats: None,
        });
        // Of the past there is nothing to be told that changes.
        let _answering = self.operator.map(|port| port.answer_alone(Arc::clone(&health)));
        // Nothing reaches it: no command is taken.
        let nothing = Arc::new(MemoryJournal::new(partitions));
        let api = Api::from(ApiParts {
            ledger: Ledger::open(nothing, Arc::new(SystemClock), &Settings::default()),
            live: Live::start(&self.database_url, partitions)?,
            operations: OperationDesk::start(&self.database_url, partitions, false)?,
            panics: Panics::default(),
            auto_open: false,
            auth,
            health,
            reads,
            bulks: BulkRoom::default(),
            calls: AuditDesk::new(pool.clone()),
            recorder: None,
            fraud: FraudDesk::new(pool.clone()),
            dead_letters: DeadLetterDesk::new(
                pool.clone(),
                Arc::new(journal.clone()),
                models::all(),
            ),
            reports: ReportDesk::new(pool, Arc::new(journal), Arc::new(SystemClock)),
            as_of: Some(AsOf { schema: self.schema.clone(), positions }),
        });
        let address = self.listener.local_addr()?;
        tracing::info!(%address, schema = self.schema, "serving the past");
        Ok(serve(self.listener, api, edge, shutdown).await?)
    }
}

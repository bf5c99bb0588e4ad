//! Runners of read models in this process, over a journal in Postgres.

use std::sync::Arc;

use florin_adapters::postgres::PostgresJournal;
use florin_projections::models;
use florin_projections::ports::{JournalReader, Source};
use florin_projections::read_model::Projection;
use florin_projections::runner::{Parts, Progress, Runner};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinHandle;

use crate::feed::{Feed, Manner};
use crate::store::{Store, eventually};

/// A projection at work in one partition, until it is dropped.
pub struct Running {
    /// How it is.
    pub progress: Arc<Progress>,
    partition: u32,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    /// Starts a projection.
    pub fn start(
        store: &Store,
        model: Arc<dyn Projection>,
        partition: u32,
        manner: Manner,
    ) -> Self {
        let source = Feed::new(reader(store), partition, manner);
        Self::on(store, model, partition, Box::new(source))
    }

    /// Starts a projection on a source of the test's own.
    pub fn on(
        store: &Store,
        model: Arc<dyn Projection>,
        partition: u32,
        source: Box<dyn Source>,
    ) -> Self {
        let progress = Arc::new(Progress::new(model.name(), partition));
        let runner = Runner::new(Parts {
            model,
            partition,
            database: PgConnectOptions::clone(&pool(store).connect_options()),
            journal: reader(store),
            source,
            progress: Arc::clone(&progress),
            observer: Arc::new(()),
        });
        let task = tokio::spawn(async move {
            runner.run().await;
        });
        Self { progress, partition, task }
    }

    /// Waits until it has everything that is in the journal now.
    pub async fn caught_up(&self, store: &Store) {
        let head = reader(store).head(self.partition).await.unwrap();
        eventually("the projection has the whole journal", async || {
            let health = self.progress.health();
            if health.checkpoint >= head { Ok(()) } else { Err((head, health)) }
        })
        .await;
    }
}

/// Starts every read model in every partition.
pub fn every_model(store: &Store, manner: impl Fn(u32) -> Manner) -> Vec<Running> {
    (0..store.partitions())
        .flat_map(|partition| models::all().into_iter().map(move |model| (partition, model)))
        .map(|(partition, model)| Running::start(store, model, partition, manner(partition)))
        .collect()
}

/// Waits until all of them have everything.
pub async fn all_caught_up(store: &Store, runners: &[Running]) {
    for runner in runners {
        runner.caught_up(store).await;
    }
}

/// The journal, as projections read it.
pub fn reader(store: &Store) -> Arc<dyn JournalReader> {
    Arc::new(postgres(store).clone())
}

/// The pool of the service's role.
pub fn pool(store: &Store) -> PgPool {
    postgres(store).pool().clone()
}

fn postgres(store: &Store) -> &PostgresJournal {
    let Store::Postgres(journal, _) = store else { panic!("read models are kept in Postgres") };
    journal
}

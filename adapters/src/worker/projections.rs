//! The read models as work: each in every partition, under the lease `projection:<name>:<partition>`.
//!
//! With NATS they pull from JetStream; without it, or while it is away, the runner follows the
//! journal by itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_trait::async_trait;
use florin_application::Journal;
use florin_domain::journal::RecordedEvent;
use florin_projections::ports::{Source, SourceError};
use florin_projections::read_model::Projection;
use florin_projections::runner::{self, Progress, Runner};
use tokio::time::sleep;

use super::Parts;
use crate::nats::source::JetStreamSource;
use crate::postgres::PostgresJournal;

/// One read model in one partition.
pub(super) struct Work {
    model: Arc<dyn Projection>,
    partition: u32,
    journal: PostgresJournal,
    nats: Option<Client>,
    progress: Arc<Progress>,
}

/// All of them.
pub(super) type Projections = Vec<Work>;

/// Every read model in every partition.
pub(super) fn of(parts: &Parts) -> Projections {
    let in_partition = |partition| {
        parts.models.iter().map(move |model| Work {
            progress: Arc::new(Progress::new(model.name(), partition)),
            model: Arc::clone(model),
            partition,
            journal: parts.journal.clone(),
            nats: parts.nats.clone(),
        })
    };
    (0..parts.journal.partitions()).flat_map(in_partition).collect()
}

impl Work {
    /// What it runs under.
    pub(super) fn lease(&self) -> String {
        format!("projection:{}:{}", self.model.name(), self.partition)
    }

    /// The board on which it writes how it is.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Keeps the read model up to date for ever. To be run under the lease, and dropped with it.
    pub(super) async fn run(&self) -> Infallible {
        let _stopped = Stopped(&self.progress);
        let source: Box<dyn Source> = match self.nats.clone() {
            Some(nats) => {
                Box::new(JetStreamSource::new(nats, self.model.name(), self.partition, None))
            }
            None => Box::new(Silence),
        };
        let runner = Runner::new(runner::Parts {
            model: Arc::clone(&self.model),
            partition: self.partition,
            database: self.journal.options(),
            journal: Arc::new(self.journal.clone()),
            source,
            progress: self.progress(),
        });
        runner.run().await
    }
}

/// Says that the read model does not run here any more, when it is dropped with its lease.
struct Stopped<'a>(&'a Progress);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.stopped();
    }
}

/// The source of a ledger without NATS.
struct Silence;

#[async_trait]
impl Source for Silence {
    async fn next(&mut self, _: usize, wait: Duration) -> Result<Vec<RecordedEvent>, SourceError> {
        sleep(wait).await;
        Ok(Vec::new())
    }

    async fn ack(&mut self) -> Result<(), SourceError> {
        Ok(())
    }
}

//! The read models as work: each in every partition, under the lease `projection:<name>:<partition>`.
//!
//! Where their events come from is in [`super::source`].

use std::convert::Infallible;
use std::sync::Arc;

use async_nats::Client;
use florin_application::Journal;
use florin_projections::read_model::Projection;
use florin_projections::runner::{self, Progress, Runner};

use super::Parts;
use super::source::WakingSource;
use crate::nats::source::{JetStreamSource, Share};
use crate::postgres::PostgresJournal;
use crate::postgres::heads::Heads;
use crate::postgres::recent::RecentJournal;
use crate::telemetry::traces::ProjectionTraces;

/// One read model in one partition.
pub(super) struct Work {
    model: Arc<dyn Projection>,
    partition: u32,
    journal: PostgresJournal,
    nats: Option<Client>,
    heads: Heads,
    recent: Arc<RecentJournal>,
    progress: Arc<Progress>,
}

/// All of them.
pub(super) type Projections = Vec<Work>;

/// The lease under which a read model is kept up to date in a partition.
pub fn lease_of_projection(model: &str, partition: u32) -> String {
    format!("projection:{model}:{partition}")
}

/// Every read model in every partition.
pub(super) fn of(parts: &Parts, heads: &Heads, recent: &Arc<RecentJournal>) -> Projections {
    let in_partition = |partition| {
        parts.models.iter().map(move |model| Work {
            progress: Arc::new(Progress::new(model.name(), partition)),
            model: Arc::clone(model),
            partition,
            journal: parts.journal.clone(),
            nats: parts.nats.clone(),
            heads: heads.clone(),
            recent: Arc::clone(recent),
        })
    };
    (0..parts.journal.partitions()).flat_map(in_partition).collect()
}

impl Work {
    /// What it runs under.
    pub(super) fn lease(&self) -> String {
        lease_of_projection(self.model.name(), self.partition)
    }

    /// The board on which it writes how it is.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Keeps the read model up to date for ever. To be run under the lease, and dropped with it.
    pub(super) async fn run(&self) -> Infallible {
        let _stopped = Stopped(&self.progress);
        let share = Share { partition: self.partition, partitions: self.journal.partitions() };
        let jetstream = |nats| JetStreamSource::new(nats, self.model.name(), share, None);
        let jetstream = self.nats.clone().map(jetstream);
        let source = WakingSource::new(jetstream, self.heads.clone(), self.partition);
        let runner = Runner::new(runner::Parts {
            model: Arc::clone(&self.model),
            partition: self.partition,
            database: self.journal.options(),
            journal: Arc::<RecentJournal>::clone(&self.recent),
            source: Box::new(source),
            progress: self.progress(),
            observer: Arc::new(ProjectionTraces),
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

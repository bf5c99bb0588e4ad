//! What runs behind the front door: the relay of every partition, and every read model in every
//! partition, each under its lease; the outbox for alerts and dead letters; the policy that freezes
//! wallets; operations, whose clients do not wait; and what other services ask for. `florin worker` and
//! `florin dev` start it; as many processes as one likes share the work.
//!
//! To add a kind of work: one line in [`Worker::start`], for each lease that it runs under.
//!
//! Bounds: one connection for the leases, one for each read model and partition that runs here,
//! [`CARRIER_CONNECTIONS`] for operations, [`INTAKE_CONNECTIONS`] for the intake, and
//! [`work_connections`] for everything else, apart from those of the command side.

mod projections;
mod source;

use std::sync::Arc;

use async_nats::Client;
use florin_application::{Journal, Ledger};
use florin_domain::fraud;
use florin_projections::read_model::Projection;
use florin_projections::runner::Progress;
use futures::future::join;
use tokio::task::JoinSet;

use crate::fraud::FreezePolicy;
use crate::intake::{self, Taker};
use crate::nats::outbox::Outbox;
use crate::nats::relay::{Relay, RelayHandle};
use crate::nats::stream::StreamSettings;
use crate::operations::{Carrier, Publisher, Retries};
use crate::postgres::heads::Heads;
use crate::postgres::lease::Leases;
use crate::postgres::recent::RecentJournal;
use crate::postgres::{ConnectError, PostgresJournal, connect_sized};
use projections::Projections;
pub use projections::lease_of_projection;

/// How many connections the work has at most: Postgres has a hundred for everybody.
const MAX_CONNECTIONS: u32 = 16;

/// How many connections carry operations out: while some batches are with the ledger, others are
/// claimed and saved.
const CARRIER_CONNECTIONS: u32 = 4;

/// How many connections the intake has: three to publish, and the others to record and save batches.
const INTAKE_CONNECTIONS: u32 = 7;

/// What a worker needs.
pub struct Parts {
    /// Where the journal is.
    pub database_url: String,
    /// The journal there.
    pub journal: PostgresJournal,
    /// Where events are published; without it nothing is.
    pub nats: Option<Client>,
    /// How the streams are kept.
    pub streams: StreamSettings,
    /// The read models to keep up to date.
    pub models: Vec<Arc<dyn Projection>>,
    /// Where wallets are frozen that fraud rules ask to freeze, and which rules do; nobody is without.
    pub policy: Option<(Ledger, fraud::Settings)>,
    /// Where operations are submitted, and how often; without it, or without NATS, none are.
    pub operations: Option<(Ledger, Retries)>,
    /// Where what other services ask for is submitted, and how it is taken in; without it, or without
    /// NATS, nothing is.
    pub intake: Option<(Ledger, intake::Settings)>,
}

/// The running work. Dropping it ends the work as `kill -9` does: its leases run out.
pub struct Worker {
    leases: Leases,
    tasks: JoinSet<()>,
    relays: Vec<RelayHandle>,
    progress: Vec<Arc<Progress>>,
    carrier: Option<Carrier>,
    taker: Option<Taker>,
}

impl Worker {
    /// Begins to work. Postgres and NATS may be away.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL is malformed.
    pub fn start(parts: Parts) -> Result<Self, ConnectError> {
        let partitions = parts.journal.partitions();
        let pool = connect_sized(&parts.database_url, work_connections(partitions))?;
        let leases = Leases::start(connect_sized(&parts.database_url, 1)?);
        let heads = Heads::follow(pool.clone(), partitions);
        let (tasks, relays, progress) = (JoinSet::new(), Vec::new(), Vec::new());
        let mut worker = Self { leases, tasks, relays, progress, carrier: None, taker: None };
        let recent = Arc::new(RecentJournal::new(parts.journal.clone(), heads.clone()));
        worker.project(projections::of(&parts, &heads, &recent));
        match parts.nats {
            None => tracing::warn!(
                "without NATS_URL, events are not published and operations are not carried out"
            ),
            Some(nats) => {
                worker.publish(
                    Outbox::new(pool.clone(), nats.clone(), parts.streams),
                    Publisher::new(pool.clone(), nats.clone(), parts.streams),
                );
                if let Some((ledger, retries)) = parts.operations {
                    let pool = connect_sized(&parts.database_url, CARRIER_CONNECTIONS)?;
                    worker.carry(Carrier::new(ledger, pool, nats.clone(), retries));
                }
                if let Some((ledger, settings)) = parts.intake {
                    let pool = connect_sized(&parts.database_url, INTAKE_CONNECTIONS)?;
                    let (nats, streams) = (nats.clone(), parts.streams);
                    worker.take_in(
                        Taker::new(ledger, pool.clone(), nats.clone(), settings, streams),
                        intake::Publisher::new(pool, nats, streams),
                    );
                }
                for partition in 0..partitions {
                    let (pool, nats, heads) = (pool.clone(), nats.clone(), heads.clone());
                    let journal = Arc::<RecentJournal>::clone(&recent);
                    let streams = parts.streams;
                    worker.relay(Relay::new(partition, pool, journal, nats, streams, heads));
                }
            }
        }
        if let Some((ledger, rules)) = parts.policy {
            worker.freeze(FreezePolicy::new(ledger, pool, &rules));
        }
        Ok(worker)
    }

    /// How each relay is doing, by partition; none without NATS.
    pub fn relays(&self) -> &[RelayHandle] {
        &self.relays
    }

    /// How each read model is doing in each partition, as far as this process works on it.
    pub fn progress(&self) -> &[Arc<Progress>] {
        &self.progress
    }

    /// The leases of this process.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Ends the work and gives its leases back, so that others go on at once. The operations and
    /// messages in hand are brought to an end.
    pub async fn stop(mut self) {
        if let Some(taker) = &self.taker {
            taker.finish().await;
        }
        if let Some(carrier) = &self.carrier {
            carrier.finish().await;
        }
        self.tasks.shutdown().await;
        self.leases.stop().await;
    }

    fn project(&mut self, projections: Projections) {
        for projection in projections {
            self.progress.push(projection.progress());
            let leases = self.leases.clone();
            self.tasks.spawn(async move {
                match leases.run(&projection.lease(), || projection.run()).await {}
            });
        }
    }

    /// Both under one lease: together they are less work than a relay, and shares are counted in
    /// leases.
    fn publish(&mut self, outbox: Outbox, operations: Publisher) {
        let leases = self.leases.clone();
        let work = async move {
            let both = || join(outbox.run(), operations.run());
            match leases.run(Outbox::LEASE, both).await.0 {}
        };
        self.tasks.spawn(work);
    }

    /// Without a lease: every process carries out what it gets hold of.
    fn carry(&mut self, carrier: Carrier) {
        self.carrier = Some(carrier.clone());
        self.tasks.spawn(async move { match carrier.run().await {} });
    }

    /// Every process takes in what it gets hold of; one of them publishes. Its lease is not that of the
    /// outbox, which a process may have that takes nothing in.
    fn take_in(&mut self, taker: Taker, publisher: intake::Publisher) {
        self.taker = Some(taker.clone());
        self.tasks.spawn(async move { match taker.run().await {} });
        let leases = self.leases.clone();
        let work =
            async move { match leases.run(intake::Publisher::LEASE, || publisher.run()).await {} };
        self.tasks.spawn(work);
    }

    fn freeze(&mut self, policy: FreezePolicy) {
        let leases = self.leases.clone();
        let work = async move { match leases.run(FreezePolicy::LEASE, || policy.run()).await {} };
        self.tasks.spawn(work);
    }

    fn relay(&mut self, relay: Relay) {
        self.relays.push(relay.handle());
        let leases = self.leases.clone();
        self.tasks.spawn(async move { match leases.run(&relay.lease(), || relay.run()).await {} });
    }
}

/// Two to follow the heads, two each for the outbox, the policy and the operations' publisher, and two
/// a partition: a page is read while the cursor is moved.
fn work_connections(partitions: u32) -> u32 {
    (8 + 2 * partitions).min(MAX_CONNECTIONS)
}

//! The service itself, whoever runs Postgres and NATS.

use std::sync::Arc;
use std::time::Duration;

use florin_application::Ledger;
use florin_projections::models;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::clock::SystemClock;
use crate::config::{LedgerArgs, NatsArgs};
use crate::fraud::FraudDesk;
use crate::http::{Api, Dependencies, router, serve};
use crate::nats;
use crate::nats::stream::StreamSettings;
use crate::postgres::{OpenError, PostgresJournal};
use crate::worker::{Parts, Worker};

/// The first and the longest wait for a Postgres that is away at the start.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What a service is made of.
pub(super) struct Service {
    pub(super) database_url: String,
    pub(super) partitions: Option<u32>,
    pub(super) nats: NatsArgs,
    pub(super) ledger: LedgerArgs,
    pub(super) listener: TcpListener,
    /// Whether the work behind the front door runs here too, and how it keeps its streams.
    pub(super) work: Option<StreamSettings>,
}

impl Service {
    /// Serves until `shutdown`; then finishes what is under way, within a bounded time.
    pub(super) async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Failure> {
        let journal = open(&self.database_url, self.partitions).await?;
        let fraud = FraudDesk::new(journal.pool().clone());
        let nats = nats::connect(self.nats.nats_url.as_deref()).await?;
        let parts = |streams| Parts {
            database_url: self.database_url.clone(),
            journal: journal.clone(),
            nats: nats.clone(),
            streams,
            models: models::all(),
        };
        let worker = self.work.map(|streams| Worker::start(parts(streams))).transpose()?;
        let health = Dependencies { postgres: journal.pool().clone(), nats: nats.clone() };
        let settings = self.ledger.settings();
        let api = Api {
            ledger: Ledger::open(Arc::new(journal), Arc::new(SystemClock), &settings),
            auto_open: settings.auto_open,
            fraud,
            health: Arc::new(health),
        };
        tracing::info!(address = %self.listener.local_addr()?, "serving");
        let served = serve(self.listener, router(api), shutdown).await;
        if let Some(worker) = worker {
            worker.stop().await;
        }
        Ok(served?)
    }
}

/// Opens the journal, and waits for a Postgres that is away.
pub(super) async fn open(url: &str, partitions: Option<u32>) -> Result<PostgresJournal, OpenError> {
    let mut wait = BACKOFF.0;
    loop {
        match PostgresJournal::open(url, partitions).await {
            Err(OpenError::Away(cause)) => {
                tracing::warn!(%cause, "waiting for Postgres");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(BACKOFF.1);
            }
            opened => return opened,
        }
    }
}

/// Ends when the process is asked to: Ctrl-C or SIGTERM.
pub(super) async fn asked_to_stop() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
}

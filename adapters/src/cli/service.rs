//! The service itself, whoever runs Postgres and NATS.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use florin_application::{Journal, Ledger};
use florin_domain::fraud;
use florin_projections::models;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::operator::{Answering, OperatorPort};
use crate::audit::{AuditDesk, AuditLog, Secrets};
use crate::auth::{self, Auth};
use crate::clock::SystemClock;
use crate::config::{LedgerArgs, NatsArgs, ReadArgs};
use crate::dead_letters::DeadLetterDesk;
use crate::fraud::FraudDesk;
use crate::http::{
    Api, ApiParts, BulkRoom, Dependencies, Edge, Health, Panics, Recorder, answer_while_opening,
    serve,
};
use crate::intake;
use crate::live::Live;
use crate::nats;
use crate::nats::stream::StreamSettings;
use crate::operations::{OperationDesk, Retries};
use crate::postgres::{OpenError, PostgresJournal};
use crate::reads::Reads;
use crate::reports::ReportDesk;
use crate::telemetry::metrics::CountCommands;
use crate::worker::{Parts, Worker};

/// The first and the longest wait for a Postgres that is away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How the work behind the front door is done.
pub(super) struct Work {
    pub(super) streams: StreamSettings,
    pub(super) rules: fraud::Settings,
    /// How messages of other services are taken in, if they are.
    pub(super) intake: Option<intake::Settings>,
}

/// How a service meets its callers.
pub(super) struct Front {
    pub(super) auth: Auth,
    pub(super) edge: Edge,
    /// What is taken out of calls before they are recorded, if they are.
    pub(super) secrets: Option<Secrets>,
}

/// What a service is made of.
pub(super) struct Service {
    pub(super) database_url: String,
    pub(super) partitions: Option<u32>,
    pub(super) nats: NatsArgs,
    pub(super) ledger: LedgerArgs,
    pub(super) reads: ReadArgs,
    pub(super) front: Front,
    pub(super) listener: TcpListener,
    pub(super) operator: Option<OperatorPort>,
    /// Whether the work behind the front door runs here too, and how it keeps its streams.
    pub(super) work: Option<Work>,
}

impl Service {
    /// Serves until `shutdown`; then finishes what is under way, within a bounded time.
    pub(super) async fn run(
        mut self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Failure> {
        let answering = self.operator.take().map(OperatorPort::answer);
        let mut shutdown = Box::pin(shutdown);
        let database = (self.database_url.as_str(), self.partitions);
        let opening = open_behind(&self.listener, &self.front.edge, database);
        let journal = tokio::select! {
            opened = opening => opened?,
            () = &mut shutdown => return Ok(()),
        };
        self.serve(journal, answering, shutdown).await
    }

    async fn serve(
        self,
        journal: PostgresJournal,
        mut answering: Option<Answering>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Failure> {
        let nats = nats::connect_as(&self.nats.access()).await?;
        let settings = self.ledger.settings();
        let (opened, clock) = (Arc::new(journal.clone()), Arc::new(SystemClock));
        let ledger = Ledger::open_observed(opened, clock, &settings, Arc::new(CountCommands));
        let cached = self.reads.cached_balances;
        let reads = Reads::start(&self.database_url, journal.partitions(), cached)?;
        let live = Live::start(&self.database_url, journal.partitions())?;
        let (url, partitions) = (&self.database_url, journal.partitions());
        let operations = OperationDesk::start(url, partitions, nats.is_some())?;
        let mut worker = None;
        if let Some(Work { streams, rules, intake }) = self.work {
            adopt(&journal, &rules).await;
            worker = Some(Worker::start(Parts {
                database_url: self.database_url.clone(),
                journal: journal.clone(),
                nats: nats.clone(),
                streams,
                models: models::all(),
                policy: Some((ledger.clone(), rules)),
                operations: Some((ledger.clone(), Retries::USUAL)),
                intake: intake.map(|settings| (ledger.clone(), settings)),
            })?);
        }
        let pool = journal.pool().clone();
        let health: Arc<dyn Health> =
            Arc::new(Dependencies { postgres: pool.clone(), reads: Some(reads.clone()), nats });
        let database = (self.database_url.as_str(), &journal);
        if let Some(answering) = &mut answering {
            answering.reached(Arc::clone(&health), &ledger, database)?;
        }
        let Front { auth, edge, secrets } = self.front;
        let recorder = secrets.map(|secrets| Recorder {
            log: AuditLog::start(pool.clone()),
            secrets: Arc::new(secrets),
        });
        let log = recorder.as_ref().map(|recorder| recorder.log.clone());
        let api = Api::from(ApiParts {
            ledger,
            reads,
            live,
            operations,
            panics: Panics::default(),
            auto_open: settings.auto_open,
            auth,
            health,
            bulks: BulkRoom::default(),
            calls: AuditDesk::new(pool.clone()),
            recorder,
            fraud: FraudDesk::new(pool.clone()),
            dead_letters: DeadLetterDesk::new(
                pool.clone(),
                Arc::new(journal.clone()),
                models::all(),
            ),
            reports: ReportDesk::new(pool, Arc::new(journal), Arc::new(SystemClock)),
            as_of: None,
        });
        tracing::info!(address = %self.listener.local_addr()?, "serving");
        let served = serve(self.listener, api, edge, shutdown).await;
        if let Some(worker) = worker {
            worker.stop().await;
        }
        if let Some(log) = log {
            log.stop().await;
        }
        Ok(served?)
    }
}

/// Gets the keys, or says that everybody gets in.
pub(super) async fn authentication(settings: Option<auth::Settings>) -> Result<Auth, Failure> {
    if settings.is_none() {
        tracing::warn!("there is no authentication: whoever can connect may do everything");
    }
    let opened = Auth::open(settings).await;
    Ok(opened.map_err(|cause| {
        format!("there are no keys to verify tokens with: FLORIN_JWKS: {cause}")
    })?)
}

/// Opens the journal as a role that cannot change history, and waits for a Postgres that is away.
pub(super) async fn open(url: &str, partitions: Option<u32>) -> Result<PostgresJournal, OpenError> {
    let is_away = |error: &OpenError| matches!(error, OpenError::Away(_));
    let open = async || {
        let journal = PostgresJournal::open(url, partitions).await?;
        journal.check_role().await?;
        Ok(journal)
    };
    patiently(open, is_away).await
}

/// The same behind a listener, which says meanwhile what it waits for.
pub(super) async fn open_behind(
    listener: &TcpListener,
    edge: &Edge,
    (url, partitions): (&str, Option<u32>),
) -> Result<PostgresJournal, Failure> {
    Ok(answer_while_opening(listener, edge, open(url, partitions)).await??)
}

/// Asks again for as long as Postgres is away, and says that it is.
pub(super) async fn patiently<T, E: Error>(
    mut ask: impl AsyncFnMut() -> Result<T, E>,
    is_away: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let mut wait = BACKOFF.0;
    loop {
        match ask().await {
            Err(error) if is_away(&error) => {
                tracing::warn!(%error, "waiting for Postgres");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(BACKOFF.1);
            }
            answered => return answered,
        }
    }
}

/// Puts the fraud rules on record, before anything is folded by them; waits for a Postgres that is
/// away.
pub(super) async fn adopt(journal: &PostgresJournal, rules: &fraud::Settings) {
    let mut wait = BACKOFF.0;
    while let Err(cause) = crate::fraud::adopt(journal.pool(), journal.partitions(), rules).await {
        tracing::warn!(%cause, "the fraud rules wait for Postgres");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
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

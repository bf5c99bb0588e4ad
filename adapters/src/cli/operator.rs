//! The operator port of `serve`, `worker` and `dev`, where somebody wants one.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use florin_application::Ledger;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Failure;
use crate::config::{OperatorArgs, TraceArgs};
use crate::http::{Beyond, Health, Operator};
use crate::postgres::PostgresJournal;
use crate::telemetry::LogControl;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::database::{Database, Told};

/// Figures that are taken, and a port that listens, if one does.
pub(super) struct OperatorPort {
    listener: Option<TcpListener>,
    metrics: Arc<Metrics>,
    log: LogControl,
    /// Whether figures are sent to a collector.
    is_sent: bool,
}

/// What answers there. It ends when it is dropped, which is at the end of the process.
pub(super) struct Answering {
    metrics: Arc<Metrics>,
    database: Told,
    beyond: Arc<OnceLock<Beyond>>,
    is_sent: bool,
    tasks: JoinSet<()>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.metrics.finish();
    }
}

impl OperatorPort {
    /// Begins to take figures, before there is anything to be counted; `None` where nobody wants any.
    pub(super) async fn open(
        args: &OperatorArgs,
        traces: &TraceArgs,
        service: &str,
        log: LogControl,
    ) -> Result<Option<Self>, Failure> {
        let Some(settings) = args.metrics(traces, service) else { return Ok(None) };
        let listener = match args.address() {
            None => None,
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                let listener = bound.map_err(|cause| taken(address, &cause))?;
                tracing::info!(address = %listener.local_addr()?, "operators are answered");
                Some(listener)
            }
        };
        let metrics = Arc::new(Metrics::start(&settings)?);
        Ok(Some(Self { listener, metrics, log, is_sent: settings.collector.is_some() }))
    }

    /// Answers operators from now on, of this process, and that its database is not there yet.
    pub(super) fn answer(self) -> Answering {
        let database = Told::among(&self.metrics);
        self.serve(database)
    }

    /// Answers operators, of this process alone.
    pub(super) fn answer_alone(self, health: Arc<dyn Health>) -> Answering {
        let answering = self.serve(Told::default());
        answering.tell(Beyond { database: None, health });
        answering
    }

    fn serve(self, database: Told) -> Answering {
        let mut tasks = JoinSet::new();
        let beyond = Arc::<OnceLock<Beyond>>::default();
        let metrics = Arc::clone(&self.metrics);
        if let Some(listener) = self.listener {
            let (metrics, beyond) = (Arc::clone(&metrics), Arc::clone(&beyond));
            let operator = Operator { metrics, log: self.log, beyond };
            tasks.spawn(async move {
                if let Err(error) = operator.serve(listener).await {
                    tracing::error!(%error, "operators are not answered any more");
                }
            });
        }
        Answering { metrics, database, beyond, is_sent: self.is_sent, tasks }
    }
}

impl Answering {
    /// From now on tells of a ledger and its database, too, which were reached.
    pub(super) fn reached(
        &mut self,
        health: Arc<dyn Health>,
        ledger: &Ledger,
        (database_url, journal): (&str, &PostgresJournal),
    ) -> Result<(), Failure> {
        self.metrics.watch_queues(ledger.depths());
        let told = self.database.clone();
        let database = Arc::new(Database::watch(&self.metrics, told, database_url, journal)?);
        if self.is_sent {
            let database = Arc::clone(&database);
            self.tasks.spawn(async move { match database.follow().await {} });
        }
        self.tell(Beyond { database: Some(database), health });
        Ok(())
    }

    /// Once; there is nothing to be told a second time.
    fn tell(&self, beyond: Beyond) {
        let told = self.beyond.set(beyond);
        debug_assert!(told.is_ok(), "an operator port is told of one database");
    }
}

fn taken(address: SocketAddr, cause: &std::io::Error) -> String {
    format!("the operator port {address} cannot be listened on: {cause}: set FLORIN_OPERATOR_PORT")
}

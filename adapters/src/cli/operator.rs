//! The operator port of `serve`, `worker` and `dev`, where somebody wants one.

use std::net::SocketAddr;
use std::sync::Arc;

use florin_application::Ledger;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Failure;
use crate::config::{OperatorArgs, TraceArgs};
use crate::http::{Health, Operator};
use crate::postgres::PostgresJournal;
use crate::telemetry::LogControl;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::database::Database;

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
    _tasks: JoinSet<()>,
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

    /// Answers operators, of a ledger and its database too.
    pub(super) fn answer(
        self,
        health: Arc<dyn Health>,
        ledger: &Ledger,
        (database_url, journal): (&str, &PostgresJournal),
    ) -> Result<Answering, Failure> {
        let metrics = Arc::clone(&self.metrics);
        metrics.watch_queues(ledger.depths());
        let database = Some(Arc::new(Database::watch(&metrics, database_url, journal)?));
        let log = self.log.clone();
        Ok(self.serve(Operator { metrics, database, health, log }))
    }

    /// Answers operators, of this process alone.
    pub(super) fn answer_alone(self, health: Arc<dyn Health>) -> Answering {
        let (metrics, log) = (Arc::clone(&self.metrics), self.log.clone());
        self.serve(Operator { metrics, database: None, health, log })
    }

    fn serve(self, operator: Operator) -> Answering {
        let mut tasks = JoinSet::new();
        if let Some(database) = operator.database.clone().filter(|_| self.is_sent) {
            tasks.spawn(async move { match database.follow().await {} });
        }
        if let Some(listener) = self.listener {
            tasks.spawn(async move {
                if let Err(error) = operator.serve(listener).await {
                    tracing::error!(%error, "operators are not answered any more");
                }
            });
        }
        Answering { metrics: self.metrics, _tasks: tasks }
    }
}

fn taken(address: SocketAddr, cause: &std::io::Error) -> String {
    format!("the operator port {address} cannot be listened on: {cause}: set FLORIN_OPERATOR_PORT")
}

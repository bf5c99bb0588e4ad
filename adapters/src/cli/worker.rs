use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use florin_application::Ledger;

use super::Failure;
use super::operator::OperatorPort;
use super::service::{adopt, asked_to_stop, open};
use crate::clock::SystemClock;
use crate::config::{
    DatabaseArgs, FraudArgs, IntakeArgs, LedgerArgs, LogArgs, NatsArgs, OperatorArgs,
    PartitionArgs, ProjectionArgs, StreamArgs, Switch, TraceArgs,
};
use crate::http::Dependencies;
use crate::nats;
use crate::operations::Retries;
use crate::telemetry;
use crate::telemetry::metrics::CountCommands;
use crate::worker::{Parts, Worker};

/// Example: `florin worker --database-url postgres://… --nats-url nats://…`
#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    partitions: PartitionArgs,
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    streams: StreamArgs,
    #[command(flatten)]
    projections: ProjectionArgs,
    #[command(flatten)]
    fraud: FraudArgs,
    #[command(flatten)]
    intake: IntakeArgs,
    #[command(flatten)]
    ledger: LedgerArgs,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    traces: TraceArgs,
}

pub(super) async fn run(args: WorkerArgs) -> Result<ExitCode, Failure> {
    let log = telemetry::init(&args.log.settings(telemetry::Role::Worker))?;
    let _traces = telemetry::traces::start_if(args.traces.settings("florin-worker").as_ref())?;
    let operator =
        OperatorPort::open(&args.operator, &args.traces, "florin-worker", log.control()).await?;
    let models = args.projections.models()?;
    let rules = args.fraud.settings()?;
    let intake = args.intake.settings(Switch::Off)?;
    let database_url = args.database.database_url;
    let mut answering = operator.map(OperatorPort::answer);
    let mut stop = Box::pin(asked_to_stop());
    let journal = tokio::select! {
        opened = open(&database_url, args.partitions.partitions) => opened?,
        () = &mut stop => return Ok(ExitCode::SUCCESS),
    };
    adopt(&journal, &rules).await;
    // Whose driver resumes the transfers that a process left unfinished.
    let opened = Arc::new(journal.clone());
    let settings = args.ledger.settings();
    let counting = Arc::new(CountCommands);
    let ledger = Ledger::open_observed(opened, Arc::new(SystemClock), &settings, counting);
    let nats = nats::connect_as(&args.nats.access()).await?;
    let postgres = journal.pool().clone();
    let health = Arc::new(Dependencies { postgres, reads: None, nats: nats.clone() });
    if let Some(answering) = &mut answering {
        answering.reached(health, &ledger, (&database_url, &journal))?;
    }
    let worker = Worker::start(Parts {
        database_url,
        journal,
        nats,
        streams: args.streams.settings(),
        models,
        policy: Some((ledger.clone(), rules)),
        operations: Some((ledger.clone(), Retries::USUAL)),
        intake: intake.map(|settings| (ledger, settings)),
    })?;
    tracing::info!(holder = worker.leases().holder(), "working");
    stop.await;
    worker.stop().await;
    Ok(ExitCode::SUCCESS)
}

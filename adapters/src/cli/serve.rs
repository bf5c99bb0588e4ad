use std::process::ExitCode;

use clap::Args;
use tokio::net::TcpListener;

use super::Failure;
use super::operator::OperatorPort;
use super::past::Past;
use super::service::{Front, Service, asked_to_stop, authentication};
use crate::config::{
    AuditArgs, AuthArgs, AuthMode, DatabaseArgs, EdgeArgs, LedgerArgs, LimitArgs, ListenArgs,
    LogArgs, NatsArgs, OperatorArgs, PartitionArgs, ReadArgs, Switch, TraceArgs,
};
use crate::http::Edge;
use crate::telemetry;

/// Example: `florin serve --database-url postgres://… --nats-url nats://… --port 3000`
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    partitions: PartitionArgs,
    #[command(flatten)]
    nats: NatsArgs,
    #[command(flatten)]
    ledger: LedgerArgs,
    #[command(flatten)]
    reads: ReadArgs,
    #[command(flatten)]
    auth: AuthArgs,
    #[command(flatten)]
    listen: ListenArgs,
    #[command(flatten)]
    audit: AuditArgs,
    #[command(flatten)]
    edge: EdgeArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    operator: OperatorArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    traces: TraceArgs,
    /// Show the ledger as it was, from a schema that `florin as-of` has made: reads alone.
    #[arg(long, value_name = "SCHEMA", value_parser = super::as_of::schema)]
    as_of: Option<String>,
}

pub(super) async fn run(args: ServeArgs) -> Result<ExitCode, Failure> {
    let log = telemetry::init(&args.log.settings(telemetry::Role::Api))?;
    let _traces = telemetry::traces::start_if(args.traces.settings("florin-api").as_ref())?;
    let operator =
        OperatorPort::open(&args.operator, &args.traces, "florin-api", log.control()).await?;
    let auth = authentication(args.auth.settings(AuthMode::Jwt)?).await?;
    if let Some(schema) = args.as_of {
        let edge = Edge { limits: args.limits.limits(Switch::On), ..args.edge.edge()? };
        let past = Past {
            database_url: args.database.database_url,
            schema,
            cached_balances: args.reads.cached_balances,
            front: Front { auth, edge, secrets: None },
            operator,
            listener: TcpListener::bind((args.listen.host, args.listen.port)).await?,
        };
        past.run(asked_to_stop()).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let edge = Edge { limits: args.limits.limits(Switch::On), ..args.edge.edge()? };
    let service = Service {
        database_url: args.database.database_url,
        partitions: args.partitions.partitions,
        nats: args.nats,
        ledger: args.ledger,
        reads: args.reads,
        front: Front { auth, edge, secrets: args.audit.secrets()? },
        listener: TcpListener::bind((args.listen.host, args.listen.port)).await?,
        operator,
        work: None,
    };
    service.run(asked_to_stop()).await?;
    Ok(ExitCode::SUCCESS)
}

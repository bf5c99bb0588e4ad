use std::process::ExitCode;

use clap::{ArgAction, Args};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::Failure;
use super::operator::OperatorPort;
use super::service::{Front, Service, Work, asked_to_stop, authentication};
use crate::config::{
    AuditArgs, AuthArgs, AuthMode, DataArgs, EdgeArgs, FraudArgs, IntakeArgs, LedgerArgs,
    LimitArgs, ListenArgs, LogArgs, NatsArgs, OperatorArgs, PartitionArgs, ReadArgs, StreamArgs,
    Switch, TraceArgs,
};
use crate::dev::Stack;
use crate::http::Edge;
use crate::postgres::migrate;
use crate::telemetry;

/// Example: `florin dev --data-dir ./data --port 3000`
#[derive(Debug, Args)]
pub(super) struct DevArgs {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    partitions: PartitionArgs,
    #[command(flatten)]
    ledger: LedgerArgs,
    #[command(flatten)]
    reads: ReadArgs,
    #[command(flatten)]
    streams: StreamArgs,
    #[command(flatten)]
    fraud: FraudArgs,
    #[command(flatten)]
    intake: IntakeArgs,
    /// Whether the relay and the read models run here too, or elsewhere (`florin worker`).
    #[arg(long, env = "FLORIN_WORK", default_value_t = true, action = ArgAction::Set)]
    work: bool,
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
}

/// Why it does not start.
const OPEN_TO_ALL: &str = "without authentication, florin dev listens on a loopback address only: leave \
                           out --host, or give --auth=jwt and a key";

pub(super) async fn run(args: DevArgs) -> Result<ExitCode, Failure> {
    let log = telemetry::init(&args.log.settings(telemetry::Role::Both))?;
    let _traces = telemetry::traces::start_if(args.traces.settings("florin-dev").as_ref())?;
    let operator =
        OperatorPort::open(&args.operator, &args.traces, "florin-dev", log.control()).await?;
    let work = Work {
        streams: args.streams.settings(),
        rules: args.fraud.settings()?,
        intake: args.intake.settings(Switch::On)?,
    };
    let edge = Edge { limits: args.limits.limits(Switch::Off), ..args.edge.edge()? };
    let secrets = args.audit.secrets()?;
    let settings = args.auth.settings(AuthMode::Off)?;
    if settings.is_none() && !args.listen.host.is_loopback() {
        return Err(OPEN_TO_ALL.into());
    }
    let front = Front { auth: authentication(settings).await?, edge, secrets };
    // Before the work of starting servers: is the port free?
    let listener = TcpListener::bind((args.listen.host, args.listen.port)).await?;
    let stack = Stack::start(&args.data.data_dir).await?;
    let open = Open { listener, operator };
    let ended = serve(&args, work, front, &stack, open).await;
    stack.stop().await;
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// Where it listens.
struct Open {
    listener: TcpListener,
    operator: Option<OperatorPort>,
}

/// Serves from the stack until asked to stop, or until a server of the stack cannot be kept alive.
async fn serve(
    args: &DevArgs,
    work: Work,
    front: Front,
    stack: &Stack,
    Open { listener, operator }: Open,
) -> Result<(), Failure> {
    let urls = stack.urls();
    let partitions = args.partitions.partitions;
    migrate(&urls.database_admin, partitions).await?;
    let scheme = if front.edge.tls.is_some() { "https" } else { "http" };
    let florin_url = format!("{scheme}://{}", listener.local_addr()?);
    let env_file = stack.write_env_file(&florin_url)?;
    tracing::info!(url = florin_url, env_file = %env_file.display(), "florin dev");
    let service = Service {
        database_url: urls.database.clone(),
        partitions,
        nats: NatsArgs { nats_url: Some(urls.nats.clone()), ..NatsArgs::default() },
        ledger: args.ledger.clone(),
        reads: args.reads.clone(),
        front,
        listener,
        operator,
        work: args.work.then_some(work),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = service.run(async {
        let _ = stopped.await;
    });
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = asked_to_stop() => {}
        error = stack.supervise() => return Err(error.into()),
    }
    drop(stop);
    serving.await
}

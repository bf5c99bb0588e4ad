use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use florin_application::Journal;
use thiserror::Error;
use uuid::Uuid;

use super::Failure;
use crate::config::{DatabaseArgs, NatsArgs};
use crate::nats;
use crate::nats::relay::lease_of;
use crate::nats::republish::{Range, republish};
use crate::nats::reset::reset;
use crate::postgres::{PostgresJournal, follow, lease, relay_cursor};

/// Example: `florin relay status --database-url postgres://…`
#[derive(Debug, Args)]
pub(super) struct RelayArgs {
    #[command(subcommand)]
    verb: RelayVerb,
}

#[derive(Debug, Subcommand)]
enum RelayVerb {
    /// How far each partition is published, and by which process.
    Status(StatusArgs),
    /// Publish a range of positions again, though the stream may have them.
    Republish(RepublishArgs),
    /// Begin the stream anew, after a restore to an earlier time: delete it and its consumers; the next
    /// worker publishes the whole journal.
    Reset(ResetArgs),
}

/// Example: `florin relay reset --nats-url nats://… --database-url postgres://…`
#[derive(Debug, Args)]
struct ResetArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    nats: NatsArgs,
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Example: `florin relay republish --from 1 --to 5000 --nats-url nats://… --database-url postgres://…`
#[derive(Debug, Args)]
struct RepublishArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    nats: NatsArgs,
    /// The first position.
    #[arg(long, value_name = "POSITION")]
    from: u64,
    /// The last position.
    #[arg(long, value_name = "POSITION")]
    to: u64,
    /// Where they lie; needed when the ledger has several.
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
}

/// What was asked for does not say enough.
#[derive(Debug, Error)]
enum Unclear {
    #[error("set NATS_URL or --nats-url to the server to publish to")]
    Nats,
    #[error("this ledger has {0} partitions: say which one with --partition")]
    Partition(u32),
}

pub(super) async fn run(args: &RelayArgs) -> Result<ExitCode, Failure> {
    match &args.verb {
        RelayVerb::Status(args) => status(args).await?,
        RelayVerb::Republish(args) => publish_again(args).await?,
        RelayVerb::Reset(args) => begin_anew(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(args: &StatusArgs) -> Result<(), Failure> {
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    // The cursors before the heads: a lag is never below zero.
    let cursors: BTreeMap<u32, u64> =
        relay_cursor::all(journal.pool()).await?.into_iter().collect();
    let holders = lease::holders(journal.pool()).await?;
    println!("partition      published           head            lag  holder");
    for (partition, head, _) in follow::heads(journal.pool()).await? {
        let cursor = cursors.get(&partition).copied().unwrap_or(0);
        let name = lease_of(partition);
        let holder = holders.iter().find(|lease| lease.name == name);
        let holder = holder.map_or("nobody", |lease| lease.holder.as_str());
        let lag = head.saturating_sub(cursor);
        println!("{partition:>9} {cursor:>14} {head:>14} {lag:>14}  {holder}");
    }
    Ok(())
}

async fn begin_anew(args: &ResetArgs) -> Result<(), Failure> {
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    let client = nats::connect_as(&args.nats.access()).await?.ok_or(Unclear::Nats)?;
    reset(journal.pool(), &client, journal.partitions()).await?;
    println!("The stream LEDGER is gone with its consumers; the next worker publishes all of it.");
    Ok(())
}

async fn publish_again(args: &RepublishArgs) -> Result<(), Failure> {
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    let client = nats::connect_as(&args.nats.access()).await?.ok_or(Unclear::Nats)?;
    let partition = match (args.partition, journal.partitions()) {
        (Some(partition), _) => partition,
        (None, 1) => 0,
        (None, several) => return Err(Unclear::Partition(several).into()),
    };
    let range = Range { partition, from: args.from, to: args.to };
    let suffix = Uuid::now_v7().simple().to_string();
    republish(journal.pool(), &client, range, &suffix, |position| {
        println!("published up to {position} of {}", args.to);
    })
    .await?;
    println!("{} events of partition {partition} are published again.", args.to - args.from + 1);
    Ok(())
}

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use florin_application::snapshots::SNAPSHOT_EVERY;
use florin_domain::WalletId;
use indicatif::HumanCount;
use serde::Serialize;

use super::Failure;
use super::output::{OutputArgs, document};
use super::progress::Progress;
use crate::config::DatabaseArgs;
use crate::postgres::PostgresJournal;
use crate::snapshots::{self, MAX_NAMED, Report, rebuild, rebuild_one};

#[derive(Debug, Args)]
#[command(after_help = "Example: florin snapshot rebuild --database-url postgres://…")]
pub(super) struct SnapshotArgs {
    #[command(subcommand)]
    verb: SnapshotVerb,
}

#[derive(Debug, Subcommand)]
enum SnapshotVerb {
    /// Compare every snapshot with the journal, and write all of them anew.
    #[command(after_help = "Example: florin snapshot rebuild --wallet alice\n\
                      \n\
                      A service may run beside it. Snapshots are derived: they make a wallet of many \
                      events quick to load, and nothing is lost with them. A service that has loaded a \
                      wallet from a wrong one knows it wrongly until it is started again.")]
    Rebuild(RebuildArgs),
}

#[derive(Debug, Args)]
struct RebuildArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// That of this wallet only, also if its stream is short.
    #[arg(long, value_name = "ID")]
    wallet: Option<WalletId>,
}

/// What was found, for machines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    wallets: u64,
    right: u64,
    wrong: u64,
    unreadable: u64,
    missing: u64,
    /// The first of those that were wrong.
    wrong_wallets: Vec<Arc<str>>,
}

impl From<Report> for Found {
    fn from(report: Report) -> Self {
        let wallets = report.wallets();
        let Report { right, wrong, unreadable, missing, named } = report;
        Self { wallets, right, wrong, unreadable, missing, wrong_wallets: named }
    }
}

pub(super) async fn run(args: &SnapshotArgs) -> Result<ExitCode, Failure> {
    let SnapshotVerb::Rebuild(args) = &args.verb;
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    let report = match &args.wallet {
        Some(wallet) => rebuild_one(&journal, wallet).await?,
        None => {
            let mut bar = None;
            rebuild(&journal, |progress| match (progress, &bar) {
                (snapshots::Progress::Pass(events), _) => {
                    bar = Some(Progress::of("snapshots", events));
                }
                (snapshots::Progress::Events(events), Some(bar)) => bar.add(events),
                (snapshots::Progress::Events(_), None) => {}
            })
            .await?
        }
    };
    print(args, &Found::from(report))?;
    Ok(ExitCode::SUCCESS)
}

fn print(args: &RebuildArgs, found: &Found) -> Result<(), Failure> {
    if args.output.json {
        return document(found);
    }
    println!("The snapshots of {} wallets are as the journal says.", HumanCount(found.wallets));
    for (what, count) in [
        ("were right", found.right),
        ("were wrong", found.wrong),
        ("could not be read", found.unreadable),
        ("were missing", found.missing),
    ] {
        println!("{:>12} {what}", HumanCount(count).to_string());
    }
    if found.wrong > 0 {
        println!("Wrong, the first {MAX_NAMED} at most: {}", found.wrong_wallets.join(", "));
        println!("A service that has loaded one of them must be started again.");
    }
    if args.wallet.is_none() {
        println!("A wallet has one from {SNAPSHOT_EVERY} events on.");
    }
    Ok(())
}

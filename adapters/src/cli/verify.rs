use std::process::ExitCode;

use clap::Args;
use florin_domain::journal::GENESIS;
use florin_projections::audit::{Audit, Summary};
use thiserror::Error;

use super::Failure;
use super::progress::Progress;
use crate::config::DatabaseArgs;
use crate::postgres::PostgresJournal;
use crate::postgres::follow::heads;
use crate::postgres::scan::{Range, Scan};

/// Example: `florin verify --database-url postgres://…`
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

/// The log ends before the head of its partition, or after it, or with another event.
#[derive(Debug, Error)]
#[error("partition {partition} ends with position {last}, and not as its head at {head} says")]
struct WrongEnd {
    partition: u32,
    last: u64,
    head: u64,
}

pub(super) async fn run(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    // One statement: of one moment, in which no transfer is half in one partition.
    let heads = heads(journal.pool()).await?;
    let progress = Progress::of("verify", heads.iter().map(|(_, head, _)| head).sum());
    let mut audit = Audit::default();
    for (partition, head, head_hash) in heads {
        let mut end = (0, GENESIS);
        let mut pages = Scan::start(&journal, Range { partition, after: 0, up_to: head });
        while let Some(events) = pages.next().await? {
            if let Some(last) = events.last() {
                end = (last.position, last.hash);
            }
            events.iter().try_for_each(|event| audit.take(event))?;
            progress.add(events.len() as u64);
        }
        if end != (head, head_hash) {
            return Err(WrongEnd { partition, last: end.0, head }.into());
        }
    }
    print(&audit.finish()?);
    Ok(ExitCode::SUCCESS)
}

fn print(summary: &Summary) {
    println!(
        "{} events of {} wallets verify; {} transfers are under way.",
        summary.events, summary.wallets, summary.unfinished
    );
    println!("currency        deposited         withdrawn        in wallets         in flight");
    for (currency, totals) in &summary.totals {
        println!(
            "{currency:<8} {:>17} {:>17} {:>17} {:>17}",
            totals.deposited, totals.withdrawn, totals.in_wallets, totals.in_flight
        );
    }
}

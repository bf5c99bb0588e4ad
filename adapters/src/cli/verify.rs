use std::process::ExitCode;

use clap::Args;
use florin_domain::journal::GENESIS;
use florin_projections::audit::{Audit, Summary};
use thiserror::Error;

use super::Failure;
use crate::config::DatabaseArgs;
use crate::postgres::PostgresJournal;
use crate::postgres::follow::{PAGE, heads, page, snapshot};

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
    let mut snapshot = snapshot(journal.pool()).await?;
    let mut audit = Audit::default();
    for (partition, head, head_hash) in heads(&mut *snapshot).await? {
        let mut end = (0, GENESIS);
        loop {
            let events = page(&mut *snapshot, partition, end.0, PAGE).await?;
            let Some(last) = events.last() else { break };
            end = (last.position, last.hash);
            events.iter().try_for_each(|event| audit.take(event))?;
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

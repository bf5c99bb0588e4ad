use std::process::ExitCode;

use clap::Args;
use florin_application::Journal;
use florin_projections::audit::{Audit, Summary};

use super::Failure;
use crate::config::DatabaseArgs;
use crate::postgres::PostgresJournal;
use crate::postgres::follow::page;

/// Example: `florin verify --database-url postgres://…`
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    database: DatabaseArgs,
}

pub(super) async fn run(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    let mut audit = Audit::default();
    for partition in 0..journal.partitions() {
        let mut position = 0;
        loop {
            let events = page(journal.pool(), partition, position).await?;
            let Some(last) = events.last() else { break };
            position = last.position;
            events.iter().try_for_each(|event| audit.take(event))?;
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

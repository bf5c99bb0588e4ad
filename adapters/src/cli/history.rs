//! `florin history`: what moved a wallet's money, as it was told at any moment.
//!
//! The entries are those of the read model, and so have the numbers that clients know; how far an
//! outgoing transfer had come by then, its own stream tells.

use std::process::ExitCode;

use chrono::SecondsFormat;
use clap::Args;
use florin_domain::WalletId;
use florin_projections::history::{Entry, MAX_PAGE, PastPageError, page_at};
use serde::Serialize;

use super::Failure;
use super::balance::WalletThen;
use super::output::{OutputArgs, document};
use crate::config::DatabaseArgs;
use crate::http::history::{DEFAULT_LIMIT, EntryAnswer};
use crate::moment::{Moment, place};
use crate::postgres::PostgresJournal;

/// Which page of which wallet's history, as of when.
#[derive(Debug, Args)]
#[command(after_help = "Example: florin history alice --at 2026-01-31T12:00:00Z --limit 20")]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// The wallet.
    wallet: WalletId,
    /// With everything that was recorded until then, or up to this position of its partition (0-123);
    /// now unless said.
    #[arg(long, value_name = "TIME|POSITION")]
    at: Option<Moment>,
    /// How many entries at most, the newest first.
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_LIMIT,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAGE))
    )]
    limit: u32,
    /// The `nextCursor` of the page before.
    #[arg(long, value_name = "ENTRY")]
    cursor: Option<u64>,
}

/// A page as the API has it, and what it is as of.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    data: Vec<EntryAnswer<'a>>,
    next_cursor: Option<String>,
    has_more: bool,
    as_of: String,
}

pub(super) async fn run(args: &HistoryArgs) -> Result<ExitCode, Failure> {
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    let HistoryArgs { wallet, at, cursor, limit, .. } = args;
    let WalletThen { row, position } = WalletThen::find(&journal, wallet, at.as_ref()).await?;
    let place = (row.partition, position);
    let page = page_at(journal.pool(), &journal, place, wallet, *cursor, *limit).await;
    let page = page.map_err(advised)?;
    let as_of = format!("{}-{position}", row.partition);
    if args.output.json {
        document(&Told {
            data: page.entries.iter().map(|entry| EntryAnswer::of(wallet, entry)).collect(),
            next_cursor: page.next.map(|entry| entry.to_string()),
            has_more: page.next.is_some(),
            as_of,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    println!("{wallet} held {} {} at {as_of}.", row.balance, row.currency);
    println!(
        "{:>7}  {:<14} {:<27} {:<15} {:<9} {:>16} {:>16}  counterparty",
        "entry", "position", "recorded", "type", "status", "amount", "balance"
    );
    page.entries.iter().for_each(print);
    if let Some(next) = page.next {
        println!("There are more: --cursor {next}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What to do about a page that there is not.
fn advised(error: PastPageError) -> Failure {
    match &error {
        PastPageError::Behind { .. } => {
            format!("{error}: let `florin worker` catch up, or ask for an earlier moment").into()
        }
        PastPageError::Parked { partition, position } => format!(
            "{error}: see `florin dlq show history:{partition}:{position}`, or ask for an earlier \
             moment"
        )
        .into(),
        PastPageError::Unreadable(_) | PastPageError::Away(_) | PastPageError::Journal(_) => {
            error.into()
        }
    }
}

fn print(entry: &Entry) {
    let amount = if entry.kind.is_in() { entry.amount } else { -entry.amount };
    println!(
        "{:>7}  {:<14} {:<27} {:<15} {:<9} {:>16} {:>16}  {}",
        entry.entry,
        place(entry.partition, entry.position),
        entry.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        entry.kind.name(),
        entry.status.name(),
        amount.to_string(),
        entry.balance_after.to_string(),
        entry.counterparty.as_deref().unwrap_or_default(),
    );
}

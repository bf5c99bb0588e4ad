//! `florin balance`: a wallet as it is, or as it was at any moment, by the journal alone.

use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use florin_application::{Clock as _, Journal as _};
use florin_domain::{WalletId, partition_of};
use florin_projections::balance::WalletRow;
use serde::Serialize;
use thiserror::Error;

use super::Failure;
use super::output::{OutputArgs, document, printable};
use crate::clock::SystemClock;
use crate::config::DatabaseArgs;
use crate::http::wallets::WalletAnswer;
use crate::moment::{Moment, Positions, place};
use crate::past;
use crate::postgres::PostgresJournal;

/// Which wallet, as of when.
#[derive(Debug, Args)]
#[command(after_help = "Example: florin balance alice --at 2026-01-31T12:00:00Z")]
pub(super) struct BalanceArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// The wallet.
    wallet: WalletId,
    #[command(flatten)]
    at: AtArgs,
}

/// As of when, as it is written; now without.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct AtArgs {
    /// With everything that was recorded until then.
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// With everything up to this position of its partition, such as 0-123.
    #[arg(long, value_name = "POSITION")]
    at_position: Option<Positions>,
    /// After so many of its events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    at_version: Option<u64>,
}

/// There was no such wallet.
#[derive(Debug, Error)]
pub(super) enum NoWallet {
    #[error("there was no wallet {wallet} at {partition}-{position}")]
    Then { wallet: WalletId, partition: u32, position: u64 },
    #[error("there is no wallet {0}")]
    Ever(WalletId),
}

pub(super) async fn run(args: &BalanceArgs) -> Result<ExitCode, Failure> {
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    let (pool, wallet) = (journal.pool(), &args.wallet);
    let AtArgs { at, at_position, at_version } = &args.at;
    if let Some(version) = at_version {
        let row = past::wallet_of_version(pool, wallet, *version).await?;
        let row = row.ok_or_else(|| NoWallet::Ever(wallet.clone()))?;
        return print(args, &row, row.position);
    }
    let moment = at.clone().or_else(|| at_position.clone().map(Moment::Positions));
    let then = WalletThen::find(&journal, wallet, moment.as_ref()).await?;
    print(args, &then.row, then.position)
}

/// A wallet as of a position.
pub(super) struct WalletThen {
    pub(super) row: WalletRow,
    pub(super) position: u64,
}

impl WalletThen {
    /// The wallet at a moment, now without; an error if there was none.
    pub(super) async fn find(
        journal: &PostgresJournal,
        wallet: &WalletId,
        moment: Option<&Moment>,
    ) -> Result<Self, Failure> {
        let partition = partition_of(wallet, journal.partitions());
        let position = past::position(journal.pool(), partition, moment, SystemClock.now()).await?;
        let row = past::wallet(journal.pool(), wallet, position).await?;
        let wallet = wallet.clone();
        let row = row.ok_or(NoWallet::Then { wallet, partition, position })?;
        Ok(Self { row, position })
    }
}

/// The wallet as the API has it, and what it is as of.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(flatten)]
    wallet: WalletAnswer<'a>,
    as_of: String,
}

fn print(args: &BalanceArgs, row: &WalletRow, position: u64) -> Result<ExitCode, Failure> {
    let as_of = format!("{}-{position}", row.partition);
    if args.output.json {
        document(&Told { wallet: WalletAnswer::from(row), as_of })?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in [
        ("wallet", row.wallet_id.to_string()),
        ("balance", format!("{} {}", row.balance, row.currency)),
        ("status", row.status_name().to_owned()),
        ("owner", row.owner.clone().unwrap_or_else(|| "nobody".to_owned())),
        ("metadata", printable(row.metadata.as_deref().unwrap_or("none"))),
        ("version", row.version.to_string()),
        ("last event", place(row.partition, row.position)),
        ("opened", time(row.opened_at)),
        ("updated", time(row.updated_at)),
        ("as of", as_of),
    ] {
        println!("{name:<12} {value}");
    }
    Ok(ExitCode::SUCCESS)
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

//! `florin diff`: which events made the difference between a wallet at one moment and at another.
//!
//! Balances are read at both ends, and every event in between is added up from the first one: the verb
//! ends with 1 if the two ways do not meet.

use std::io::Write as _;
use std::process::ExitCode;

use chrono::SecondsFormat;
use clap::Args;
use florin_application::{Clock as _, Journal as _};
use florin_domain::journal::RecordedEvent;
use florin_domain::money::zero;
use florin_domain::{WalletId, partition_of};
use florin_projections::balance::WalletRow;
use florin_projections::difference::Difference;
use rust_decimal::Decimal;
use serde::Serialize;
use thiserror::Error;

use super::Failure;
use super::balance::WalletThen;
use super::output::{OutputArgs, printable, read_enough};
use crate::clock::SystemClock;
use crate::config::DatabaseArgs;
use crate::moment::{Moment, place};
use crate::past::{self, stream_of};
use crate::postgres::PostgresJournal;
use crate::postgres::past::page;

/// Which wallet, between which moments.
#[derive(Debug, Args)]
#[command(after_help = "With --json a line for each event, and a last one for the whole.\n\n\
                  Example: florin diff alice --from 2026-01-31T12:00:00Z --to 2026-02-28T12:00:00Z")]
pub(super) struct DiffArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// The wallet.
    wallet: WalletId,
    /// The earlier moment: a time, or a position of its partition (0-123). What was recorded by then
    /// is not part of the difference.
    #[arg(long, value_name = "TIME|POSITION")]
    from: Moment,
    /// The later moment; now unless said. What was recorded by then is part of it.
    #[arg(long, value_name = "TIME|POSITION")]
    to: Option<Moment>,
}

/// Why there is no difference, or no explanation of it.
#[derive(Debug, Error)]
enum NoDifference {
    #[error("--from is position {from}, which comes after --to at {to}: swap them")]
    Backwards { from: u64, to: u64 },
    #[error(
        "the events add up to {added}, and the wallet held {held}: `florin verify` says what is wrong"
    )]
    DoesNotAddUp { added: Decimal, held: Decimal },
}

/// An event of the difference.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventAnswer<'a> {
    position: String,
    sequence: u64,
    #[serde(rename = "type")]
    event_type: &'a str,
    effect: Decimal,
    balance: Decimal,
    recorded_at: String,
}

/// The whole of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WholeAnswer<'a> {
    wallet_id: &'a WalletId,
    currency: &'a str,
    from: String,
    to: String,
    before: Decimal,
    after: Decimal,
    difference: Decimal,
    effects: Decimal,
    events: u64,
}

pub(super) async fn run(args: &DiffArgs) -> Result<ExitCode, Failure> {
    read_enough(explain(args).await)?;
    Ok(ExitCode::SUCCESS)
}

async fn explain(args: &DiffArgs) -> Result<(), Failure> {
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    let (pool, wallet) = (journal.pool(), &args.wallet);
    let partition = partition_of(wallet, journal.partitions());
    let from = past::position(pool, partition, Some(&args.from), SystemClock.now()).await?;
    let WalletThen { row: after, position: to } =
        WalletThen::find(&journal, wallet, args.to.as_ref()).await?;
    if from > to {
        return Err(NoDifference::Backwards { from, to }.into());
    }
    let before = past::wallet(pool, wallet, from).await?;
    let held = before.as_ref().map_or_else(|| zero(after.currency), |row| row.balance);
    if !args.output.json {
        println!("{wallet} held {held} {} at {partition}-{from}.", after.currency);
        println!(
            "{:<14} {:<27} {:<16} {:>9} {:>16} {:>16}",
            "position", "recorded", "event", "sequence", "effect", "balance"
        );
    }
    let mut difference = Difference::from(held);
    let mut sequence = before.map_or(0, |row| row.version);
    let stream = stream_of(wallet);
    while sequence < after.version {
        let events = page(pool, &stream, sequence, after.version).await?;
        let Some(last) = events.last() else { break };
        sequence = last.sequence;
        let mut text = Vec::new();
        for event in &events {
            let effect = difference.take(event)?;
            line(&mut text, event, effect, args.output.json)?;
        }
        std::io::stdout().write_all(&text)?;
    }
    conclude(args, &difference, &after, (from, to))
}

fn line(
    text: &mut Vec<u8>,
    event: &RecordedEvent,
    effect: Decimal,
    is_json: bool,
) -> Result<(), Failure> {
    let position = place(event.partition, event.position);
    let recorded_at = event.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let (event_type, sequence) = (&*event.event_type, event.sequence);
    let balance = event.balance.unwrap_or_default();
    if is_json {
        let answer = EventAnswer { position, sequence, event_type, effect, balance, recorded_at };
        serde_json::to_writer(&mut *text, &answer)?;
        text.push(b'\n');
    } else {
        let (effect, balance) = (effect.to_string(), balance.to_string());
        writeln!(
            text,
            "{position:<14} {recorded_at:<27} {:<16} {sequence:>9} {effect:>16} \
             {balance:>16}",
            printable(event_type)
        )?;
    }
    Ok(())
}

/// Says what it comes to, if it does.
fn conclude(
    args: &DiffArgs,
    difference: &Difference,
    after: &WalletRow,
    (from, to): (u64, u64),
) -> Result<(), Failure> {
    if !difference.adds_up() || difference.after != after.balance {
        let added = difference.before + difference.effects;
        return Err(NoDifference::DoesNotAddUp { added, held: after.balance }.into());
    }
    let (partition, events) = (after.partition, difference.events);
    if args.output.json {
        let whole = WholeAnswer {
            wallet_id: &args.wallet,
            currency: after.currency.code(),
            from: place(partition, from),
            to: place(partition, to),
            before: difference.before,
            after: after.balance,
            difference: after.balance - difference.before,
            effects: difference.effects,
            events,
        };
        println!("{}", serde_json::to_string(&whole)?);
        return Ok(());
    }
    println!("{} held {} {} at {partition}-{to}.", args.wallet, after.balance, after.currency);
    println!(
        "The difference is {}, and the effects of {events} events add up to it.",
        after.balance - difference.before
    );
    Ok(())
}

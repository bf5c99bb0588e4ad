//! `florin events`: the journal, or one stream of it, as it is recorded; with `--follow` also what comes.
//!
//! Who follows waits for notifications of Postgres and looks by itself twice a second; nothing is missed
//! and nothing comes twice, because positions are counted, and a Postgres that is away is waited for. A
//! wallet or a transfer is read by its own stream, however long the journal around it is.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use chrono::SecondsFormat;
use clap::Args;
use florin_application::journal::JournalError;
use florin_application::{Clock as _, Journal as _};
use florin_domain::WalletId;
use florin_domain::journal::RecordedEvent;
use futures::future::select_all;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::time::sleep;
use uuid::Uuid;

use super::Failure;
use super::output::{OutputArgs, printable, read_enough};
use super::progress::Progress;
use super::range::{NoSuchPlace, RangeArgs};
use super::service::patiently;
use crate::clock::SystemClock;
use crate::config::DatabaseArgs;
use crate::live::Types;
use crate::moment::{Moment, place};
use crate::past::stream_of;
use crate::postgres::heads::{Heads, POLL};
use crate::postgres::past::{self, Stream};
use crate::postgres::scan::{Range, Scan};
use crate::postgres::{PostgresJournal, follow};

/// Which events.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: florin events --wallet alice --from 2026-01-31T12:00:00Z --follow"
)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    range: RangeArgs,
    /// Of this wallet only.
    #[arg(long, value_name = "ID", conflicts_with = "transfer")]
    wallet: Option<WalletId>,
    /// Of this transfer only.
    #[arg(long, value_name = "ID")]
    transfer: Option<Uuid>,
    /// Of these types only, several with commas between: WalletOpened, FundsDeposited …
    #[arg(long = "type", value_name = "TYPES")]
    types: Option<Types>,
    /// Go on with what is appended, until Ctrl-C.
    #[arg(long, conflicts_with = "to")]
    follow: bool,
}

/// What was asked for is not there.
#[derive(Debug, Error)]
enum NotThere {
    #[error("there is no {aggregate} {id}: see `florin events --type {first}`")]
    Stream { aggregate: &'static str, id: String, first: &'static str },
    #[error("{id} lies in partition {partition}: say a position there, such as {partition}-123")]
    Elsewhere { id: String, partition: u32 },
}

pub(super) async fn run(args: &EventsArgs) -> Result<ExitCode, Failure> {
    let shown = match args.stream() {
        None => whole(args).await,
        Some(stream) => one(args, &stream).await,
    };
    read_enough(shown)?;
    Ok(ExitCode::SUCCESS)
}

impl EventsArgs {
    fn stream(&self) -> Option<Stream> {
        let transfer =
            |id: Uuid| Stream { aggregate_type: "Transfer", aggregate_id: id.to_string() };
        self.wallet.as_ref().map(stream_of).or(self.transfer.map(transfer))
    }

    /// The journal, and what of it is there already.
    async fn opened(&self) -> Result<(PostgresJournal, Vec<Range>), Failure> {
        let now = SystemClock.now();
        for moment in [&self.range.from, &self.range.to].into_iter().flatten() {
            match moment {
                Moment::Time(time) if *time > now => return Err(NoSuchPlace::Future.into()),
                Moment::Time(_) | Moment::Positions(_) => {}
            }
        }
        let journal = PostgresJournal::open(&self.database.database_url, None).await?;
        let ranges = self.range.of(&journal).await?;
        Ok((journal, ranges))
    }
}

/// The whole journal: partition after partition what is there, and then what comes as it comes.
async fn whole(args: &EventsArgs) -> Result<(), Failure> {
    let (journal, ranges) = args.opened().await?;
    let printer = Printer::begin(args)?;
    let bar = printer.bar(ranges.iter().map(Range::events).sum());
    for range in &ranges {
        let mut pages = Scan::start(&journal, *range);
        while let Some(events) = pages.next().await? {
            printer.print(&events)?;
            if let Some(bar) = &bar {
                bar.add(events.len() as u64);
            }
        }
    }
    drop(bar);
    if !args.follow {
        return Ok(());
    }
    let mut ends: Vec<(u32, u64)> =
        ranges.iter().map(|range| (range.partition, range.up_to)).collect();
    let heads = Heads::follow(journal.pool().clone(), journal.partitions());
    loop {
        let waiting = ends.iter().map(|(partition, end)| {
            let (mut heads, partition, end) = (heads.clone(), *partition, *end);
            Box::pin(async move { heads.beyond(partition, end).await })
        });
        select_all(waiting).await;
        let mut is_any = false;
        for (partition, end) in &mut ends {
            while *end < heads.head(*partition) {
                let page =
                    async || follow::page(journal.pool(), *partition, *end, follow::PAGE).await;
                let events = patiently(page, is_away).await?;
                let Some(last) = events.last() else { break };
                *end = last.position;
                printer.print(&events)?;
                is_any = true;
            }
        }
        if !is_any {
            // A head without its events, as in a database that was put back: no reason to spin.
            sleep(POLL).await;
        }
    }
}

/// One stream, by its own key.
async fn one(args: &EventsArgs, stream: &Stream) -> Result<(), Failure> {
    let (journal, ranges) = args.opened().await?;
    let pool = journal.pool();
    let partition = partition_of_stream(args, &journal, stream).await?;
    let Some(range) = ranges.iter().find(|range| range.partition == partition) else {
        let id = stream.aggregate_id.clone();
        return Err(NotThere::Elsewhere { id, partition }.into());
    };
    let printer = Printer::begin(args)?;
    let mut after = past::last_at(pool, stream, range.after).await?;
    let up_to = match args.follow {
        true => u64::MAX,
        false => past::last_at(pool, stream, range.up_to).await?,
    };
    let mut heads = match args.follow {
        true => Some(Heads::follow(pool.clone(), journal.partitions())),
        false => None,
    };
    loop {
        // What is appended after this look is beyond it, and wakes whoever waits.
        let seen = heads.as_ref().map_or(0, |heads| heads.head(partition));
        let page = async || past::page(pool, stream, after, up_to).await;
        let events = match heads {
            Some(_) => patiently(page, is_away).await?,
            None => page().await?,
        };
        after = events.last().map_or(after, |last| last.sequence);
        printer.print(&events)?;
        if events.len() as u64 == past::PAGE {
            continue;
        }
        let Some(heads) = &mut heads else { return Ok(()) };
        heads.beyond(partition, seen).await;
    }
}

/// Whether it can be read again later: whoever follows outlives a Postgres that is away.
fn is_away(error: &JournalError) -> bool {
    matches!(error, JournalError::Unavailable(_))
}

/// Where a stream lies: that of a transfer where its first event is.
async fn partition_of_stream(
    args: &EventsArgs,
    journal: &PostgresJournal,
    stream: &Stream,
) -> Result<u32, Failure> {
    let first = past::page(journal.pool(), stream, 0, 1).await?;
    let Some(first) = first.first() else {
        let (aggregate, first) = match &args.wallet {
            Some(_) => ("wallet", "WalletOpened"),
            None => ("transfer", "TransferInitiated"),
        };
        let id = stream.aggregate_id.clone();
        return Err(NotThere::Stream { aggregate, id, first }.into());
    };
    Ok(first.partition)
}

/// Where the events go: a line each.
struct Printer<'a> {
    types: Option<&'a Types>,
    is_json: bool,
}

impl<'a> Printer<'a> {
    fn begin(args: &'a EventsArgs) -> Result<Self, Failure> {
        let printer = Self { types: args.types.as_ref(), is_json: args.output.json };
        if !printer.is_json {
            let mut out = std::io::stdout();
            writeln!(
                out,
                "{:<14} {:<27} {:<20} {:<36} {:>9} {:>16}",
                "position", "recorded", "event", "wallet or transfer", "sequence", "balance"
            )?;
        }
        Ok(printer)
    }

    /// A bar, where it does not run into the events themselves.
    fn bar(&self, events: u64) -> Option<Progress> {
        (!std::io::stdout().is_terminal()).then(|| Progress::of("events", events))
    }

    /// A page at a time, so that a line costs no write of its own.
    fn print(&self, events: &[RecordedEvent]) -> Result<(), Failure> {
        let mut page = Vec::new();
        for event in events.iter().filter(|event| self.types.is_none_or(|all| all.include(event))) {
            if self.is_json {
                serde_json::to_writer(&mut page, &EventAnswer::of(event)?)?;
                page.push(b'\n');
            } else {
                line(&mut page, event)?;
            }
        }
        let mut out = std::io::stdout().lock();
        out.write_all(&page)?;
        Ok(out.flush()?)
    }
}

fn line(page: &mut Vec<u8>, event: &RecordedEvent) -> Result<(), Failure> {
    writeln!(
        page,
        "{:<14} {:<27} {:<20} {:<36} {:>9} {:>16}",
        place(event.partition, event.position),
        time(event),
        printable(&event.event_type),
        printable(&event.aggregate_id),
        event.sequence,
        event.balance.map(|balance| balance.to_string()).unwrap_or_default(),
    )?;
    Ok(())
}

fn time(event: &RecordedEvent) -> String {
    event.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Everything that a row of the journal has, its texts as they are stored.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventAnswer<'a> {
    partition: u32,
    position: u64,
    aggregate_type: &'static str,
    aggregate_id: &'a str,
    sequence: u64,
    #[serde(rename = "type")]
    event_type: &'a str,
    version: &'a str,
    payload: &'a RawValue,
    metadata: &'a RawValue,
    balance: Option<Decimal>,
    recorded_at: String,
    hash: String,
}

impl<'a> EventAnswer<'a> {
    fn of(event: &'a RecordedEvent) -> Result<Self, Failure> {
        let mut hash = String::with_capacity(2 * event.hash.len());
        for byte in event.hash {
            write!(hash, "{byte:02x}")?;
        }
        Ok(Self {
            partition: event.partition,
            position: event.position,
            aggregate_type: event.aggregate_type,
            aggregate_id: &event.aggregate_id,
            sequence: event.sequence,
            event_type: &event.event_type,
            version: &event.event_version,
            payload: serde_json::from_str(&event.payload)?,
            metadata: serde_json::from_str(&event.metadata)?,
            balance: event.balance,
            recorded_at: time(event),
            hash,
        })
    }
}

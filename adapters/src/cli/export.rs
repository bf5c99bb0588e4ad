use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use florin_application::Journal as _;
use florin_domain::journal::GENESIS;
use indicatif::HumanCount;
use tempfile::{NamedTempFile, PersistError};
use thiserror::Error;
use tokio::task::block_in_place;

use super::Failure;
use super::progress::Progress;
use super::range::RangeArgs;
use crate::archive::write::{Archive, Format};
use crate::archive::{Head, Header, VERSION};
use crate::config::DatabaseArgs;
use crate::postgres::PostgresJournal;
use crate::postgres::export::{Moment, hash_at, open_operations};
use crate::postgres::scan::{Range, Scan};

/// What the shell is told of Ctrl-C.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
#[command(after_help = "Example: florin export --out ledger.jsonl --database-url postgres://…\n\
                  \n\
                  The file holds every event byte for byte, its hash, and the idempotency keys with \
                  their outcomes: `florin import` makes the same ledger of it. What is committed while \
                  the export runs is not in it: to move a ledger, stop the service first, and wait \
                  until no operation is open. It holds no read models, which are folded anew, and \
                  neither the record of calls, operations, dead letters, nor what people decided \
                  about alerts.\n\
                  \n\
                  With --from or --to it is a part of the journal, without keys, for other programs.")]
pub(super) struct ExportArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    range: RangeArgs,
    /// A JSON object a line, or CSV with a row for each.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// A file that does not exist yet; it is there when it is whole. Standard output unless said.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Why there is no file.
#[derive(Debug, Error)]
enum NoFile {
    #[error("{0} exists: choose another name, or remove it")]
    Exists(PathBuf),
    #[error("{0} cannot be written: {1}")]
    Unwritable(PathBuf, std::io::Error),
    #[error("the journal has no event {partition}-{position}: `florin verify` says what is wrong")]
    Missing { partition: u32, position: u64 },
}

/// What was written.
struct Written {
    events: u64,
    keys: Option<u64>,
}

pub(super) async fn run(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    let Some(path) = &args.out else {
        let (written, mut out) = export(args, &journal, std::io::stdout()).await?;
        out.flush()?;
        eprintln!("{}", said(&written));
        return Ok(ExitCode::SUCCESS);
    };
    if path.exists() {
        return Err(NoFile::Exists(path.clone()).into());
    }
    let unwritable = |error| NoFile::Unwritable(path.clone(), error);
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let beside = NamedTempFile::new_in(beside.unwrap_or(Path::new("."))).map_err(unwritable)?;
    // Whatever ends this future removes what is beside.
    let done = tokio::select! {
        done = export(args, &journal, beside) => done,
        _ = tokio::signal::ctrl_c() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let (written, file) = done?;
    file.as_file().sync_all().map_err(unwritable)?;
    file.persist_noclobber(path).map_err(|PersistError { error, .. }| {
        let is_there = error.kind() == std::io::ErrorKind::AlreadyExists;
        if is_there { NoFile::Exists(path.clone()) } else { unwritable(error) }
    })?;
    println!("{}", said(&written));
    Ok(ExitCode::SUCCESS)
}

fn said(written: &Written) -> String {
    let events = HumanCount(written.events);
    match written.keys {
        Some(keys) => format!("{events} events and {} keys are exported.", HumanCount(keys)),
        None => format!("{events} events are exported, as a part that cannot be imported."),
    }
}

/// Writes what is asked for.
async fn export<W: Write>(
    args: &ExportArgs,
    journal: &PostgresJournal,
    out: W,
) -> Result<(Written, W), Failure> {
    let is_part = args.range.from.is_some() || args.range.to.is_some();
    let (mut archive, ranges, keys) = match is_part {
        true => {
            let ranges = args.range.of(journal).await?;
            let header = header(journal, heads_of(journal, &ranges).await?, is_part);
            (Archive::begin(out, args.format, &header)?, ranges, None)
        }
        false => whole(args, journal, out).await?,
    };
    let progress = Progress::of("export", ranges.iter().map(Range::events).sum());
    let mut events = 0;
    for range in ranges {
        events += range.events();
        write(journal, range, &mut archive, &progress).await?;
    }
    let out = block_in_place(|| archive.finish())?;
    Ok((Written { events, keys }, out))
}

/// Begins a file of the whole ledger, with its keys.
async fn whole<W: Write>(
    args: &ExportArgs,
    journal: &PostgresJournal,
    out: W,
) -> Result<(Archive<W>, Vec<Range>, Option<u64>), Failure> {
    let open = open_operations(journal.pool()).await?;
    if open > 0 {
        eprintln!(
            "florin: {open} operations are open and will not be in the file: whoever moves this \
             ledger waits until they have ended"
        );
    }
    let moment = Moment::take(journal).await?;
    let range = |(partition, up_to, _): &(u32, u64, _)| Range {
        partition: *partition,
        after: 0,
        up_to: *up_to,
    };
    let ranges = moment.heads.iter().map(range).collect();
    let heads = moment.heads.iter();
    let heads = heads.map(|(partition, head, hash)| Head::new(*partition, *head, hash)).collect();
    let mut archive = Archive::begin(out, args.format, &header(journal, heads, false))?;
    moment.keys(|key| archive.key(key).map_err(Failure::from)).await?;
    let keys = archive.end_keys()?;
    Ok((archive, ranges, Some(keys)))
}

fn header(journal: &PostgresJournal, heads: Vec<Head>, partial: bool) -> Header {
    Header { version: VERSION, partitions: journal.partitions(), partial, keys: !partial, heads }
}

async fn heads_of(journal: &PostgresJournal, ranges: &[Range]) -> Result<Vec<Head>, Failure> {
    let mut heads = Vec::with_capacity(ranges.len());
    for Range { partition, up_to, .. } in ranges.iter().copied() {
        let hash = match up_to {
            0 => Some(GENESIS),
            position => hash_at(journal.pool(), partition, position).await?,
        };
        let hash = hash.ok_or(NoFile::Missing { partition, position: up_to })?;
        heads.push(Head::new(partition, up_to, &hash));
    }
    Ok(heads)
}

/// Writes a range, and sees that nothing of it is missing.
async fn write<W: Write>(
    journal: &PostgresJournal,
    range: Range,
    archive: &mut Archive<W>,
    progress: &Progress,
) -> Result<(), Failure> {
    let (partition, mut last) = (range.partition, range.after);
    let mut pages = Scan::start(journal, range);
    while let Some(events) = pages.next().await? {
        block_in_place(|| {
            for event in &events {
                if event.position != last + 1 {
                    return Err(NoFile::Missing { partition, position: last + 1 }.into());
                }
                last = event.position;
                archive.event(event)?;
            }
            Ok::<_, Failure>(())
        })?;
        progress.add(events.len() as u64);
    }
    match last < range.up_to {
        true => Err(NoFile::Missing { partition, position: last + 1 }.into()),
        false => Ok(()),
    }
}

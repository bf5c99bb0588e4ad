//! Reads the range once for every fold that it takes, each partition by itself.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use florin_projections::checkpoint;
use florin_projections::fraud::Fraud;
use florin_projections::fraud::backtest::{Found, Pass, Share, Span, Stop, Trial, between};
use florin_projections::ports::PastReader as _;
use florin_projections::read_model::ReadModel as _;
use thiserror::Error;

use super::BacktestArgs;
use super::answer::{Answer, Judged};
use crate::cli::Failure;
use crate::cli::output;
use crate::cli::progress::Progress;
use crate::fraud::read;
use crate::postgres::PostgresJournal;
use crate::postgres::follow::page;
use crate::postgres::scan::{Range, Scan};

/// How many windows before `--from` the reading begins: enough that all but the busiest wallets have
/// rested for one of them, and for the default rules eighty minutes, which are read in no time.
const WARM_WINDOWS: i32 = 8;

/// How often a partition is read at most. A fold has room for a hundred thousand wallets that move
/// within one window; what takes more folds than this takes hours.
const MAX_FOLDS: u32 = 128;

/// There is no room for it.
#[derive(Debug, Error)]
#[error(
    "partition {partition} was read {MAX_FOLDS} times, and is not done: too many wallets move within \
     the longest window of the rules ({window} s): make that shorter, or the range"
)]
struct TooManyFolds {
    partition: u32,
    window: i64,
}

/// Where the reading begins.
#[derive(Debug, Clone, Copy)]
struct Start {
    after: u64,
    since: Option<DateTime<Utc>>,
}

/// With the first event, before which there is nothing to know.
const FIRST: Start = Start { after: 0, since: None };

pub(super) async fn run(args: &BacktestArgs) -> Result<ExitCode, Failure> {
    let candidate = read(Some(&args.rules))?;
    let other = args.against.as_deref().map(|path| read(Some(path))).transpose()?;
    let shown = usize::try_from(args.show).unwrap_or(usize::MAX);
    let trial = Trial::new(candidate, other, shown);
    let journal = PostgresJournal::open(&args.database.database_url, None).await?;
    let (mut found, mut judged) = (trial.found(), Vec::new());
    for range in args.range.of(&journal).await? {
        // Before the alerts are read: those up to there can all be seen then.
        let up_to = checkpoint::position(journal.pool(), Fraud::NAME, range.partition).await?;
        judged.push(Judged { range, up_to: up_to.min(range.up_to) });
        found.merge(partition(&journal, &trial, range, up_to).await?);
    }
    let answer = Answer::new(args, &found, &judged);
    match args.output.json {
        true => output::document(&answer)?,
        false => answer.print(&found),
    }
    Ok(ExitCode::SUCCESS)
}

/// What is found in a partition, in as many folds as it takes.
async fn partition(
    journal: &PostgresJournal,
    trial: &Trial,
    range: Range,
    judged: u64,
) -> Result<Found, Failure> {
    let mut start = warm(journal, trial, range).await?;
    let (mut found, mut shares) = (trial.found(), vec![Share::ALL]);
    let mut folds = 0;
    while let Some(share) = shares.pop() {
        folds += 1;
        if folds > MAX_FOLDS {
            let (partition, window) = (range.partition, trial.window().num_seconds());
            return Err(TooManyFolds { partition, window }.into());
        }
        let span = Span { after: range.after, judged, since: start.since };
        let read = Range { after: start.after, ..range };
        match fold(journal, Pass::new(trial, share, span), read, range.after).await? {
            Ok(part) => found.merge(part),
            Err(Stop::Full) => shares.extend(share.halves()),
            Err(Stop::Cold) => {
                start = FIRST;
                shares.push(share);
            }
        }
    }
    Ok(found)
}

async fn fold(
    journal: &PostgresJournal,
    mut pass: Pass<'_>,
    range: Range,
    counted_after: u64,
) -> Result<Result<Found, Stop>, Failure> {
    let progress = Progress::of("fraud backtest", range.events());
    let mut pages = Scan::start(journal, range);
    let mut after = range.after;
    while let Some(events) = pages.next().await? {
        let last = events.last().map_or(after, |event| event.position);
        let first = after.max(counted_after);
        let live = match last > first && pass.is_against_live() {
            true => between(journal.pool(), range.partition, first, last).await?,
            false => Vec::new(),
        };
        if let Err(stop) = pass.take(&events, live) {
            return Ok(Err(stop));
        }
        after = last;
        progress.add(events.len() as u64);
    }
    Ok(Ok(pass.finish()))
}

/// Where the reading begins for what is counted to be known.
async fn warm(journal: &PostgresJournal, trial: &Trial, range: Range) -> Result<Start, Failure> {
    let first = page(journal.pool(), range.partition, range.after, 1).await?;
    let Some(first) = first.first().filter(|_| range.after > 0) else { return Ok(FIRST) };
    let Some(since) = first.recorded_at.checked_sub_signed(trial.window() * WARM_WINDOWS) else {
        return Ok(FIRST);
    };
    let before = journal.positions_at(since).await?;
    let before = before.into_iter().find(|(partition, _)| *partition == range.partition);
    match before.map_or(0, |(_, position)| position.min(range.after)) {
        0 => Ok(FIRST),
        after => Ok(Start { after, since: Some(since) }),
    }
}

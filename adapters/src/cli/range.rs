//! From where to where in the journal: `--from` and `--to`, each a position or a time.
//!
//! Both ends are included. Without `--from` it begins with the first event, without `--to` it ends with
//! the last one that there is now. Where positions name some partitions only, it is about those.

use chrono::TimeDelta;
use clap::Args;
use florin_application::{Clock as _, Journal as _};
use florin_projections::ports::PastReader as _;
use thiserror::Error;

use super::Failure;
use crate::clock::SystemClock;
use crate::moment::{Moment, NoPartition};
use crate::postgres::PostgresJournal;
use crate::postgres::follow::heads;
use crate::postgres::scan::Range;

/// The two ends as they are written.
#[derive(Debug, Clone, Args)]
pub(super) struct RangeArgs {
    /// The first event: at this position (0-123 where there are several partitions), or the first one
    /// of this time or later.
    #[arg(long, value_name = "POSITION|TIME")]
    pub(super) from: Option<Moment>,
    /// The last event: at this position, or the last one of this time or earlier.
    #[arg(long, value_name = "POSITION|TIME")]
    pub(super) to: Option<Moment>,
}

/// What is asked for is not there.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum NoSuchPlace {
    #[error("{0}")]
    Partition(#[from] NoPartition),
    #[error("partition {partition} ends at {head}, before {wanted}")]
    BeyondHead { partition: u32, wanted: u64, head: u64 },
    #[error("the time lies in the future: nobody knows yet what will have happened by then")]
    Future,
    #[error("a position of each of the {0} partitions is needed, such as 0-123,1-456")]
    Each(u32),
    #[error("--from names partitions that --to does not name, or the other way round")]
    Unlike,
}

impl RangeArgs {
    /// What it is of each partition that it is about, as of now.
    pub(super) async fn of(&self, journal: &PostgresJournal) -> Result<Vec<Range>, Failure> {
        let heads = heads(journal.pool()).await?;
        let whole = |(partition, up_to, _)| Range { partition, after: 0, up_to };
        let mut ranges: Vec<Range> = heads.into_iter().map(whole).collect();
        let mut named = Vec::new();
        if let Some(from) = &self.from {
            let positions = before(journal, from).await?;
            each(&mut ranges, &positions, |range, after| range.after = after)?;
            named.push(positions);
        }
        if let Some(to) = &self.to {
            let positions = until(journal, to).await?;
            each(&mut ranges, &positions, |range, up_to| range.up_to = up_to)?;
            named.push(positions);
        }
        let partitions: Vec<Vec<u32>> = named
            .iter()
            .map(|positions| positions.iter().map(|(partition, _)| *partition).collect())
            .collect();
        if let [from, to] = partitions.as_slice()
            && (from.iter().any(|of| !to.contains(of)) || to.iter().any(|of| !from.contains(of)))
        {
            return Err(NoSuchPlace::Unlike.into());
        }
        ranges.retain(|range| partitions.iter().all(|named| named.contains(&range.partition)));
        Ok(ranges)
    }
}

/// Sets one end of these partitions' ranges, as far as they go.
fn each(
    ranges: &mut [Range],
    positions: &[(u32, u64)],
    set: impl Fn(&mut Range, u64),
) -> Result<(), NoSuchPlace> {
    for (partition, wanted) in positions.iter().copied() {
        let Some(range) = ranges.iter_mut().find(|range| range.partition == partition) else {
            continue;
        };
        let head = range.up_to;
        if wanted > head {
            return Err(NoSuchPlace::BeyondHead { partition, wanted, head });
        }
        set(range, wanted);
    }
    Ok(())
}

/// The last event before a moment, in each partition that it names.
async fn before(journal: &PostgresJournal, moment: &Moment) -> Result<Vec<(u32, u64)>, Failure> {
    match moment {
        Moment::Time(time) => {
            // The clock of the journal counts microseconds.
            let before = time.checked_sub_signed(TimeDelta::microseconds(1)).unwrap_or(*time);
            Ok(journal.positions_at(before).await?)
        }
        Moment::Positions(positions) => {
            let mut positions =
                positions.by_partition(journal.partitions()).map_err(NoSuchPlace::from)?;
            for (partition, head, _) in heads(journal.pool()).await? {
                for (_, position) in positions.iter_mut().filter(|(of, _)| *of == partition) {
                    // The one after the last is where whoever follows begins.
                    if *position > head + 1 {
                        let wanted = *position;
                        return Err(NoSuchPlace::BeyondHead { partition, wanted, head }.into());
                    }
                    *position = position.saturating_sub(1);
                }
            }
            Ok(positions)
        }
    }
}

/// The last event of a moment, in each partition that it names.
async fn until(journal: &PostgresJournal, moment: &Moment) -> Result<Vec<(u32, u64)>, Failure> {
    match moment {
        Moment::Time(time) => Ok(journal.positions_at(*time).await?),
        Moment::Positions(positions) => {
            let positions = positions.by_partition(journal.partitions());
            Ok(positions.map_err(NoSuchPlace::from)?)
        }
    }
}

/// The position of every partition at a moment that has passed, for what is told of the whole ledger.
pub(super) async fn as_of(
    journal: &PostgresJournal,
    moment: &Moment,
) -> Result<Vec<(u32, u64)>, Failure> {
    if let Moment::Time(time) = moment
        && *time > SystemClock.now()
    {
        return Err(NoSuchPlace::Future.into());
    }
    let mut positions = until(journal, moment).await?;
    positions.sort_unstable();
    let is_each = (0..journal.partitions()).eq(positions.iter().map(|(partition, _)| *partition));
    if !is_each {
        return Err(NoSuchPlace::Each(journal.partitions()).into());
    }
    for (partition, head, _) in heads(journal.pool()).await? {
        let wanted = positions.iter().find(|(of, _)| *of == partition).map_or(0, |(_, at)| *at);
        if wanted > head {
            return Err(NoSuchPlace::BeyondHead { partition, wanted, head }.into());
        }
    }
    Ok(positions)
}

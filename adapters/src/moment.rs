//! A moment of the ledger, as people and programs write it: a time, or positions.
//!
//! A position is `<partition>-<position>`, several have commas between. A bare number means the
//! partition that the question is about; where it is about several, the partition has to be said.

use std::ops::Range;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use thiserror::Error;

/// How many positions are named at most: more than a ledger has partitions.
pub const MAX_POSITIONS: usize = 1_024;

/// A text that does not name positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a position is a number, as a write's answer has it, or <partition>-<position>, such as \
     0-123, several with commas between"
)]
pub struct NoPositions;

/// A position without its partition, or of a partition that there is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("say the partition, 0 to {last}, as in 0-123")]
pub struct NoPartition {
    last: u32,
}

/// Positions as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(Vec<(Option<u32>, u64)>);

impl FromStr for Positions {
    type Err = NoPositions;

    fn from_str(text: &str) -> Result<Self, NoPositions> {
        let position = |text: &str| {
            let (partition, position) = match text.trim().split_once('-') {
                Some((partition, position)) => (Some(partition.parse().ok()?), position),
                None => (None, text.trim()),
            };
            Some((partition, position.parse().ok()?))
        };
        let positions: Option<Vec<_>> =
            text.split(',').take(MAX_POSITIONS + 1).map(position).collect();
        positions.filter(|all| all.len() <= MAX_POSITIONS).map(Self).ok_or(NoPositions)
    }
}

impl Positions {
    /// Names these as well.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The furthest in the one partition that a question is about; 0 if none is named.
    pub fn in_partition(&self, partition: u32) -> u64 {
        let here = self.0.iter().filter(|(of, _)| of.is_none_or(|of| of == partition));
        here.map(|(_, position)| *position).max().unwrap_or(0)
    }

    /// In each of these partitions, if each is named once; others do not matter. A bare number means
    /// the only one.
    pub fn of_each(&self, partitions: Range<u32>) -> Option<Vec<u64>> {
        let is_one = partitions.len() == 1;
        let position = |partition| {
            let is_it = |of: &Option<u32>| of.map_or(is_one, |of| of == partition);
            let mut named = self.0.iter().filter(|(of, _)| is_it(of));
            let (_, position) = named.next()?;
            named.next().is_none().then_some(*position)
        };
        partitions.map(position).collect()
    }

    /// With their partitions, for a question that is about all of them.
    ///
    /// # Errors
    /// [`NoPartition`].
    pub fn by_partition(&self, partitions: u32) -> Result<Vec<(u32, u64)>, NoPartition> {
        let named = |(partition, position): &(Option<u32>, u64)| match partition {
            Some(partition) if *partition < partitions => Ok((*partition, *position)),
            None if partitions == 1 => Ok((0, *position)),
            Some(_) | None => Err(NoPartition { last: partitions.saturating_sub(1) }),
        };
        self.0.iter().map(named).collect()
    }
}

/// A place in the journal as it is written.
pub fn place(partition: u32, position: u64) -> String {
    format!("{partition}-{position}")
}

/// One in each partition, with commas between.
pub fn listed(positions: &[(u32, u64)]) -> String {
    let places = positions.iter().map(|(partition, position)| place(*partition, *position));
    places.collect::<Vec<_>>().join(",")
}

/// A text that is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "it is a time, such as 2026-01-31T12:00:00Z, or a position of every partition, such as \
     0-123,1-456"
)]
pub struct NoMoment;

/// A time, or positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// The end of that moment: with everything that was recorded then or earlier.
    Time(DateTime<Utc>),
    /// With the events at these positions.
    Positions(Positions),
}

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        if let Some(time) = time(text) {
            return Ok(Self::Time(time));
        }
        text.parse().map(Self::Positions).map_err(|_| NoMoment)
    }
}

/// A time in RFC 3339. In a query a plus that is not encoded means a space: that before an offset is a
/// plus.
pub fn time(text: &str) -> Option<DateTime<Utc>> {
    let is_offset = |text: &str| text.len() == 5 && text.as_bytes().get(2) == Some(&b':');
    let with_plus = match text.rsplit_once(' ') {
        Some((time, offset)) if is_offset(offset) => format!("{time}+{offset}"),
        Some(_) | None => text.to_owned(),
    };
    DateTime::parse_from_rfc3339(&with_plus).ok().map(|time| time.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(text: &str) -> Positions {
        text.parse().unwrap()
    }

    #[test]
    fn a_bare_number_means_the_partition_of_the_wallet() {
        assert_eq!(positions("12").in_partition(3), 12);
        assert_eq!(positions("3-12, 1-99").in_partition(3), 12);
        assert_eq!(positions("1-99").in_partition(3), 0);
        assert_eq!(Positions::default().in_partition(3), 0);
    }

    #[test]
    fn a_question_about_all_partitions_must_say_which() {
        assert_eq!(positions("12").by_partition(1).unwrap(), [(0, 12)]);
        assert_eq!(positions("1-9,0-7").by_partition(2).unwrap(), [(1, 9), (0, 7)]);
        for text in ["12", "2-1"] {
            let error = positions(text).by_partition(2).unwrap_err();
            assert_eq!(error.to_string(), "say the partition, 0 to 1, as in 0-123", "{text}");
        }
    }

    #[test]
    fn a_stream_must_be_told_each_partition_once() {
        assert_eq!(positions("12").of_each(3..4), Some(vec![12]));
        assert_eq!(positions("1-9,0-7,2-4").of_each(0..2), Some(vec![7, 9]));
        for (text, partitions) in [("12", 0..2), ("0-7", 0..2), ("0-7,0-8", 0..1), ("1-2", 0..1)] {
            assert_eq!(positions(text).of_each(partitions), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "x", "-1", "1-", "1-2-3", "1,,2", "1.5"] {
            assert_eq!(text.parse::<Positions>(), Err(NoPositions), "{text:?}");
        }
        let many = vec!["1"; MAX_POSITIONS + 1].join(",");
        assert_eq!(many.parse::<Positions>(), Err(NoPositions));
    }

    #[test]
    fn a_moment_is_a_time_or_positions() {
        let noon = Moment::Time(DateTime::from_timestamp(1_769_860_800, 0).unwrap());
        for text in ["2026-01-31T12:00:00Z", "2026-01-31T13:30:00+01:30"] {
            assert_eq!(text.parse(), Ok(noon.clone()), "{text}");
        }
        assert_eq!("0-7".parse(), Ok(Moment::Positions(positions("0-7"))));
        for text in ["", "yesterday", "2026-01-31", "2026-01-31T12:00:00"] {
            assert_eq!(text.parse::<Moment>(), Err(NoMoment), "{text}");
        }
    }
}

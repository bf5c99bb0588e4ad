//! How far somebody is in the journal: a position in each partition.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How many positions are read from a text at most: more than a ledger has partitions.
const MAX_POSITIONS: usize = 1_024;

/// A text that does not name positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("positions are <partition>-<position>, such as 0-123, several with commas between")]
pub struct NoPositions;

/// A position in each partition that is named; 0, which is before the first event, in the others.
/// As text it is what `Florin-Position` has: `0-123,1-456`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<u32, u64>);

impl Positions {
    /// That in a partition.
    pub fn of(&self, partition: u32) -> u64 {
        self.0.get(&partition).copied().unwrap_or(0)
    }

    /// Moves on, and never back.
    pub fn advance(&mut self, partition: u32, position: u64) {
        let at = self.0.entry(partition).or_default();
        *at = position.max(*at);
    }

    /// Those that are named, by partition.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.0.iter().map(|(partition, position)| (*partition, *position))
    }

    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many partitions are named. Those of a ledger are named by the header of any page of its
    /// events.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<(u32, u64)> for Positions {
    fn from_iter<I: IntoIterator<Item = (u32, u64)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (partition, position)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{partition}-{position}")?;
        }
        Ok(())
    }
}

impl FromStr for Positions {
    type Err = NoPositions;

    fn from_str(text: &str) -> Result<Self, NoPositions> {
        let pair = |text: &str| {
            let (partition, position) = text.trim().split_once('-')?;
            Some((partition.parse().ok()?, position.parse().ok()?))
        };
        let pairs: Option<Vec<_>> = text.split(',').take(MAX_POSITIONS + 1).map(pair).collect();
        let pairs = pairs.filter(|pairs| pairs.len() <= MAX_POSITIONS).ok_or(NoPositions)?;
        Ok(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_written_as_they_are_read() {
        for text in ["0-0", "0-17", "0-17,1-4,12-9"] {
            assert_eq!(text.parse::<Positions>().unwrap().to_string(), text);
        }
        for text in ["", "x", "17", "0-", "-1", "0-1,,1-2", "0-1-2"] {
            assert_eq!(text.parse::<Positions>(), Err(NoPositions), "{text:?}");
        }
    }

    #[test]
    fn a_position_never_goes_back() {
        let mut positions: Positions = "0-17".parse().unwrap();
        positions.advance(0, 4);
        positions.advance(1, 2);
        assert_eq!(positions.to_string(), "0-17,1-2");
        assert_eq!(positions.of(7), 0);
    }
}

//! What is not as it must be, and where. So many are named; beyond that they are counted.

use std::fmt;

/// How many problems are named: more than anybody reads, and whoever removed a million events is told
/// as much by the first hundred.
pub const MAX_PROBLEMS: usize = 100;

/// A partition and a position in it.
pub type Place = (u32, u64);

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; nowhere in particular if it is about the ledger as a whole.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((partition, position)) => write!(f, "{partition}-{position}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// Those that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    named: Vec<Problem>,
    more: u64,
}

impl Problems {
    /// Adds one. Its words are only put together while there is room for them.
    pub fn add(&mut self, place: impl Into<Option<Place>>, what: impl fmt::Display) {
        if self.named.len() < MAX_PROBLEMS {
            self.named.push(Problem { place: place.into(), what: what.to_string() });
        } else {
            self.more += 1;
        }
    }

    /// The first [`MAX_PROBLEMS`] of them, in the order in which they were met.
    pub fn named(&self) -> &[Problem] {
        &self.named
    }

    /// How many more there are.
    pub fn more(&self) -> u64 {
        self.more
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.named.len() as u64 + self.more
    }

    /// Whether all is as it must be.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

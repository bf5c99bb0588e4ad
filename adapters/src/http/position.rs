//! Positions on the wire: `<partition>-<position>`, several with commas between.
//!
//! Every answer says in `Florin-Position` what it is as of. A read that is given a position, in the
//! same header or as `minPosition`, is answered from there on. A bare number means the partition that
//! the read is about; where it is about several, the partition has to be said.

use std::fmt::Write as _;
use std::ops::Range;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::Response;
use serde::Deserialize;
use thiserror::Error;

use super::code::Code;
use super::problem::{Member, Problem};
use super::query::{invalid, parameters};

/// What an answer is as of, and what a request wants it to be as of.
pub(super) const POSITION: HeaderName = HeaderName::from_static("florin-position");

/// How many positions a request names at most: more than a ledger has partitions.
const MAX_POSITIONS: usize = 1_024;

/// A text that does not name positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a position is a number, as a write's answer has it, or <partition>-<position>, such as \
     0-123, several with commas between"
)]
pub(super) struct NoPositions;

/// From where on a read is to be answered; from anywhere by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Least(Vec<(Option<u32>, u64)>);

impl FromStr for Least {
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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    min_position: Option<String>,
}

impl Least {
    fn of(uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut least = Self::default();
        for value in headers.get_all(POSITION) {
            let text = value.to_str().unwrap_or_default();
            let named: Self = text.parse().map_err(|why| {
                Problem::new(Code::InvalidParameter, format!("Florin-Position: {why}."))
                    .with("header", Member::Text("Florin-Position".to_owned()))
            })?;
            least.0.extend(named.0);
        }
        if uri.query().is_some() {
            let Parameters { min_position } = parameters(uri)?;
            let named: Option<Self> = super::query::parsed("minPosition", min_position)?;
            least.0.extend(named.unwrap_or_default().0);
        }
        Ok(least)
    }

    /// In the one partition that a read is about.
    pub(super) fn in_partition(&self, partition: u32) -> u64 {
        let here = self.0.iter().filter(|(of, _)| of.is_none_or(|of| of == partition));
        here.map(|(_, position)| *position).max().unwrap_or(0)
    }

    /// In each of these partitions, if each is named once; others do not matter. A bare number means
    /// the only one.
    pub(super) fn of_each(&self, partitions: Range<u32>) -> Option<Vec<u64>> {
        let is_one = partitions.len() == 1;
        let position = |partition| {
            let is_it = |of: &Option<u32>| of.map_or(is_one, |of| of == partition);
            let mut named = self.0.iter().filter(|(of, _)| is_it(of));
            let (_, position) = named.next()?;
            named.next().is_none().then_some(*position)
        };
        partitions.map(position).collect()
    }

    /// In each partition, for a read that is about all of them.
    pub(super) fn by_partition(&self, partitions: u32) -> Result<Vec<(u32, u64)>, Problem> {
        let named = |(partition, position): &(Option<u32>, u64)| match partition {
            Some(partition) if *partition < partitions => Ok((*partition, *position)),
            None if partitions == 1 => Ok((0, *position)),
            Some(_) | None => Err(invalid(
                "minPosition",
                format_args!("say the partition, 0 to {}, as in 0-123", partitions - 1),
            )),
        };
        self.0.iter().map(named).collect()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Least {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri, &parts.headers)
    }
}

/// Positions as they are written.
pub(super) fn listed(positions: &[(u32, u64)]) -> String {
    let mut text = String::new();
    for (partition, position) in positions {
        let comma = if text.is_empty() { "" } else { "," };
        // A text takes all that is written to it.
        let _ = write!(text, "{comma}{partition}-{position}");
    }
    text
}

/// Says what an answer is as of; nothing before anything has been folded.
pub(super) fn as_of(mut response: Response, positions: &[(u32, u64)]) -> Response {
    if !positions.is_empty()
        && let Ok(text) = HeaderValue::try_from(listed(positions))
    {
        response.headers_mut().insert(POSITION, text);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least(text: &str) -> Least {
        text.parse().unwrap()
    }

    #[test]
    fn a_bare_number_means_the_partition_of_the_wallet() {
        assert_eq!(least("12").in_partition(3), 12);
        assert_eq!(least("3-12, 1-99").in_partition(3), 12);
        assert_eq!(least("1-99").in_partition(3), 0);
        assert_eq!(Least::default().in_partition(3), 0);
    }

    #[test]
    fn a_read_of_all_partitions_must_be_told_which() {
        assert_eq!(least("12").by_partition(1).unwrap(), [(0, 12)]);
        assert_eq!(least("1-9,0-7").by_partition(2).unwrap(), [(1, 9), (0, 7)]);
        for text in ["12", "2-1"] {
            let problem = least(text).by_partition(2).unwrap_err();
            assert_eq!(problem.code, Code::InvalidParameter, "{text}");
        }
    }

    #[test]
    fn a_stream_must_be_told_each_partition_once() {
        assert_eq!(least("12").of_each(3..4), Some(vec![12]));
        assert_eq!(least("1-9,0-7,2-4").of_each(0..2), Some(vec![7, 9]));
        for (text, partitions) in [("12", 0..2), ("0-7", 0..2), ("0-7,0-8", 0..1), ("1-2", 0..1)] {
            assert_eq!(least(text).of_each(partitions), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "x", "-1", "1-", "1-2-3", "1,,2", "1.5"] {
            assert_eq!(text.parse::<Least>(), Err(NoPositions), "{text:?}");
        }
        let many = vec!["1"; MAX_POSITIONS + 1].join(",");
        assert_eq!(many.parse::<Least>(), Err(NoPositions));
    }
}

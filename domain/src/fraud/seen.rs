//! A movement as it is remembered: when, where, how much.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

const MICROS: i64 = 1_000_000;

/// When an event was recorded, in microseconds since 1970: all that the journal keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Moment(i64);

impl Moment {
    /// Whether at most `seconds` have passed since `earlier`. A moment that is not later is within.
    pub(super) fn is_within(self, seconds: u32, earlier: Self) -> bool {
        self.0.saturating_sub(earlier.0) <= i64::from(seconds) * MICROS
    }

    /// Whole seconds since `earlier`.
    pub(super) fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0) / MICROS
    }

    /// The number of the slice that this moment is in, when all time is cut into slices of an
    /// `nth` of so many seconds.
    pub(super) fn slice(self, seconds: u32, nth: u32) -> i64 {
        let width = i64::from(seconds) * MICROS / i64::from(nth.max(1));
        self.0.div_euclid(width.max(1))
    }
}

impl From<DateTime<Utc>> for Moment {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_micros())
    }
}

/// What is remembered of a movement. Stored as `[micros, position, "amount"]`, because there are
/// dozens in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Moment, u64, Decimal)", into = "(Moment, u64, Decimal)")]
pub(super) struct Seen {
    pub(super) at: Moment,
    pub(super) position: u64,
    pub(super) amount: Decimal,
}

impl From<(Moment, u64, Decimal)> for Seen {
    fn from((at, position, amount): (Moment, u64, Decimal)) -> Self {
        Self { at, position, amount }
    }
}

impl From<Seen> for (Moment, u64, Decimal) {
    fn from(seen: Seen) -> Self {
        (seen.at, seen.position, seen.amount)
    }
}

/// The sum of what moved. It stops at the largest decimal, which no ledger comes to.
pub(super) fn sum(amounts: impl Iterator<Item = Decimal>) -> Decimal {
    amounts.fold(Decimal::ZERO, Decimal::saturating_add)
}

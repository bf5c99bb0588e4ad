//! The thresholds of all rules, as one file says them. What it leaves out has its default.
//!
//! ```toml
//! [rules.frequentWithdrawals]
//! count = 3
//! windowSeconds = 60
//! freeze = true
//!
//! [rules.largeOutflow]
//! amount = { default = "10000", JPY = "1500000" }
//!
//! [rules.roundTrip]
//! enabled = false
//! ```

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::rules::{Rule, Rules};

/// The largest count that a rule may ask for. A rule remembers that many movements of each wallet,
/// and names them in its alerts.
pub const MAX_COUNT: u32 = 16;

/// The longest window: a day. The rules are about haste, and what is remembered does not grow with
/// the window, so a longer one would only be coarser where its bounds are met.
pub const MAX_WINDOW_SECONDS: u32 = 86_400;

/// Thresholds that were checked: there are no others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Settings {
    rules: Rules,
}

impl Settings {
    /// Whether an alert of a rule freezes its wallet.
    pub fn freezes(&self, rule: Rule) -> bool {
        self.rules.freezes(rule)
    }

    /// The longest window of the enabled rules. A wallet that has rested for longer than that is to
    /// them as one that never moved.
    pub fn window(&self) -> TimeDelta {
        TimeDelta::seconds(self.rules.window_seconds().into())
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    #[serde(default)]
    rules: Rules,
}

impl TryFrom<Unchecked> for Settings {
    type Error = Invalid;

    fn try_from(Unchecked { rules }: Unchecked) -> Result<Self, Invalid> {
        rules.check()?;
        Ok(Self { rules })
    }
}

/// A setting out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("rules.{rule}.{key} must be {bound}")]
pub struct Invalid {
    /// Of which rule.
    pub rule: Rule,
    /// Which setting.
    pub key: &'static str,
    /// What it must be.
    pub bound: String,
}

/// A setting of one rule out of its bounds.
pub(super) struct OutOfBounds {
    pub(super) key: &'static str,
    pub(super) bound: String,
}

/// Whether a number is from one to `most`.
pub(super) fn check(key: &'static str, number: u32, most: u32) -> Result<(), OutOfBounds> {
    let bound = if number < 1 {
        "at least 1".to_owned()
    } else if number > most {
        format!("at most {most}")
    } else {
        return Ok(());
    };
    Err(OutOfBounds { key, bound })
}

#[cfg(test)]
mod tests;

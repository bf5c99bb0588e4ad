//! A wallet that money only passes through: ninety percent of what came in is out again within ten
//! minutes.
//!
//! What came in (deposits, credits) within the window lies in lots. Every outflow (withdrawals,
//! debits) takes from them, the earliest first; what a lot cannot give was older money, which the
//! rule does not look at. So the order counts: money that left before other money came in is no part
//! of that. The rule holds when `percent` of all that is in lots has been taken, and there was at
//! least `minimum` of it (anything, unless set).
//!
//! Lots leave the window in the order in which they are taken from, so only an outflow can make the
//! rule hold. An inflow may end an episode: the new money is still there. A refund puts back what
//! its debit took, so that a transfer that is tried again is not counted twice.
//!
//! Bounds: [`MAX_LOTS`] lots are remembered. Beyond it, those that came in within the same
//! [`SLICES`]th of the window become one that came in at the last of them, so the rule is exact
//! for that many inflows a window, and a busier wallet's inflows may count as up to that much
//! later than they were. A refund is known if its debit was one of the last [`MAX_OUTFLOWS`]
//! outflows; another leaves its debit counted, so the rule errs by alerting. Where outflows had
//! taken more than there was before new money came, a refund may put back more than its debit took
//! of the lots; that can only be after the rule has held.

use std::collections::VecDeque;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::alert::{Finding, MAX_EVIDENCE};
use super::amount_threshold::AmountThreshold;
use super::episode::Episode;
use super::movement::{Kind, Movement};
use super::seen::{Moment, Seen, sum};
use super::settings::{MAX_WINDOW_SECONDS, OutOfBounds, check};
use crate::ids::TransferId;

/// How many inflows a window are remembered one by one: more than a person's wallet has.
pub(super) const MAX_LOTS: usize = 24;

/// Into how many slices the window is cut when there are more. Fewer than lots, with one more for
/// the slice that the window begins within, so that each time there is room again for several.
const SLICES: u32 = 16;

/// How many outflows are remembered: half of the evidence, the other half are inflows.
const MAX_OUTFLOWS: usize = MAX_EVIDENCE / 2;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) enabled: bool,
    pub(super) freeze: bool,
    /// How much of what came in, in percent.
    pub(super) percent: u32,
    /// Within how long after it came in.
    pub(super) window_seconds: u32,
    /// From how much that came in on; any amount when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) minimum: Option<AmountThreshold>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, freeze: false, percent: 90, window_seconds: 600, minimum: None }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), OutOfBounds> {
        check("percent", self.percent, 100)?;
        check("windowSeconds", self.window_seconds, MAX_WINDOW_SECONDS)
    }

    /// How far back it looks.
    pub(super) fn window_seconds(&self) -> u32 {
        self.window_seconds
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// What came in within the window, earliest first.
    lots: VecDeque<Seen>,
    /// What left since. It is taken from the earliest lots, and may be more than they held until
    /// the next inflow.
    #[serde(skip_serializing_if = "Decimal::is_zero")]
    left: Decimal,
    /// The latest outflows that took from the lots: their positions, and the transfers of debits.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    outflows: VecDeque<(u64, Option<TransferId>)>,
    #[serde(skip_serializing_if = "Episode::is_new")]
    episode: Episode,
}

impl State {
    pub(super) fn observe(
        &mut self,
        settings: &Settings,
        movement: &Movement<'_>,
    ) -> Option<Finding> {
        let seen = movement.seen();
        self.forget_before(seen.at, settings.window_seconds);
        match movement.kind {
            Kind::Deposit | Kind::Credit { .. } => {
                self.take_in(seen, settings.window_seconds);
                self.episode.lapses_unless(self.holds(settings, movement));
                None
            }
            Kind::Refund { transfer } => {
                self.take_back(transfer, seen.amount);
                self.episode.lapses_unless(self.holds(settings, movement));
                None
            }
            Kind::Withdrawal => self.let_out(settings, movement, None),
            Kind::Debit { transfer, .. } => self.let_out(settings, movement, Some(transfer)),
        }
    }

    fn forget_before(&mut self, now: Moment, window: u32) {
        while let Some(lot) = self.lots.pop_front() {
            if now.is_within(window, lot.at) {
                self.lots.push_front(lot);
                break;
            }
            self.left = self.left.saturating_sub(lot.amount).max(Decimal::ZERO);
        }
        match self.lots.front().map(|lot| lot.position) {
            Some(first) => self.outflows.retain(|(position, _)| *position > first),
            None => {
                self.left = Decimal::ZERO;
                self.outflows.clear();
            }
        }
    }

    fn take_in(&mut self, lot: Seen, window: u32) {
        // What left beyond what was there was older money: it does not count against the new.
        self.left = self.left.min(self.came_in());
        self.lots.push_back(lot);
        if self.lots.len() > MAX_LOTS {
            self.merge(window);
        }
    }

    /// Makes one of the lots of each slice of the window.
    fn merge(&mut self, window: u32) {
        let mut merged: VecDeque<Seen> = VecDeque::with_capacity(self.lots.len());
        for lot in self.lots.drain(..) {
            match merged.back_mut() {
                Some(last) if last.at.slice(window, SLICES) == lot.at.slice(window, SLICES) => {
                    *last = Seen { amount: last.amount.saturating_add(lot.amount), ..lot };
                }
                Some(_) | None => merged.push_back(lot),
            }
        }
        self.lots = merged;
    }

    fn take_back(&mut self, transfer: TransferId, amount: Decimal) {
        let mut outflows = self.outflows.iter();
        if let Some(index) = outflows.position(|(_, debit)| *debit == Some(transfer)) {
            self.outflows.remove(index);
            self.left = self.left.saturating_sub(amount).max(Decimal::ZERO);
        }
    }

    fn let_out(
        &mut self,
        settings: &Settings,
        movement: &Movement<'_>,
        transfer: Option<TransferId>,
    ) -> Option<Finding> {
        let (seen, window) = (movement.seen(), settings.window_seconds);
        if !self.lots.is_empty() {
            self.left = self.left.saturating_add(seen.amount);
            self.outflows.push_back((seen.position, transfer));
            if self.outflows.len() > MAX_OUTFLOWS {
                self.outflows.pop_front();
            }
        }
        let holds = self.holds(settings, movement);
        self.episode.alerts(holds, seen.at, window).then(|| {
            let (came_in, currency) = (self.came_in(), movement.currency);
            let left = self.left.min(came_in);
            Finding {
                evidence: self.evidence(),
                sum: left,
                reason: format!("{left} of {came_in} {currency} left within {window} s"),
            }
        })
    }

    fn holds(&self, settings: &Settings, movement: &Movement<'_>) -> bool {
        let came_in = self.came_in();
        let minimum = settings.minimum.as_ref().map(|least| least.of(movement.currency));
        let enough = came_in > Decimal::ZERO && minimum.is_none_or(|least| came_in >= least);
        let hundredths = |amount: Decimal, number: u32| amount.saturating_mul(number.into());
        enough && hundredths(self.left, 100) >= hundredths(came_in, settings.percent)
    }

    fn came_in(&self) -> Decimal {
        sum(self.lots.iter().map(|lot| lot.amount))
    }

    /// The latest inflows and outflows; in a merged lot it is the last inflow.
    fn evidence(&self) -> Vec<u64> {
        let lots = self.lots.iter().rev().take(MAX_EVIDENCE - MAX_OUTFLOWS);
        let outflows = self.outflows.iter().map(|(position, _)| *position);
        let mut positions: Vec<_> = lots.map(|lot| lot.position).chain(outflows).collect();
        positions.sort_unstable();
        positions
    }
}

#[cfg(test)]
mod tests;

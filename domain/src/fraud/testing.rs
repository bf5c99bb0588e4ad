//! Words for the tests of the rules: a story of one wallet, and what is found in it.

use chrono::DateTime;
use uuid::Uuid;

use super::{Alert, EventId, Kind, Movement, Rule, Settings, WalletHistory};
use crate::ids::{TransferId, WalletId};
use crate::money::Currency;

/// In the microseconds of a story.
pub(super) const SECOND: i64 = 1_000_000;

/// When every story begins.
const BEGIN: i64 = 1_700_000_000 * SECOND;

/// The movements of one wallet, each at so many microseconds after the beginning.
pub(super) struct Story {
    pub(super) settings: Settings,
    pub(super) history: WalletHistory,
    pub(super) alerts: Vec<Alert>,
    currency: Currency,
    position: u64,
    /// The debits so far: to whom, how much, in which transfer.
    debits: Vec<(WalletId, String, TransferId)>,
}

impl Story {
    pub(super) fn new() -> Self {
        Self::with("{}")
    }

    /// With settings other than the defaults.
    pub(super) fn with(settings: &str) -> Self {
        Self {
            settings: serde_json::from_str(settings).unwrap(),
            history: WalletHistory::default(),
            alerts: vec![],
            currency: Currency::USD,
            position: 0,
            debits: vec![],
        }
    }

    pub(super) fn in_currency(self, code: &str) -> Self {
        Self { currency: code.parse().unwrap(), ..self }
    }

    pub(super) fn deposit(self, at: i64, amount: &str) -> Self {
        self.moves(at, Kind::Deposit, amount)
    }

    pub(super) fn withdraw(self, at: i64, amount: &str) -> Self {
        self.moves(at, Kind::Withdrawal, amount)
    }

    pub(super) fn at_position(self, position: u64) -> Self {
        Self { position, ..self }
    }

    pub(super) fn debit(mut self, at: i64, to: &str, amount: &str) -> Self {
        let to: WalletId = to.parse().unwrap();
        let transfer = TransferId(Uuid::from_u128(self.debits.len() as u128 + 1));
        self.debits.push((to.clone(), amount.to_owned(), transfer));
        self.moves(at, Kind::Debit { transfer, to: &to }, amount)
    }

    pub(super) fn credit(self, at: i64, from: &str, amount: &str) -> Self {
        self.moves(at, Kind::Credit { from: &from.parse().unwrap() }, amount)
    }

    /// Of the last debit of that amount to that wallet, or of one that nobody saw.
    pub(super) fn refund(self, at: i64, to: &str, amount: &str) -> Self {
        let mut debits = self.debits.iter().rev();
        let debit = debits.find(|(other, much, _)| other.as_str() == to && much == amount);
        let transfer = debit.map_or(TransferId(Uuid::nil()), |(_, _, transfer)| *transfer);
        self.moves(at, Kind::Refund { transfer }, amount)
    }

    pub(super) fn moves(mut self, at: i64, kind: Kind<'_>, amount: &str) -> Self {
        self.position += 1;
        let movement = Movement {
            wallet: &"wallet".parse().unwrap(),
            event: EventId { partition: 0, position: self.position },
            at: DateTime::from_timestamp_micros(BEGIN + at).unwrap(),
            kind,
            amount: amount.parse().unwrap(),
            currency: self.currency,
        };
        self.alerts.extend(self.history.observe(&self.settings, &movement));
        self
    }

    /// The alerts of one rule.
    pub(super) fn of(&self, rule: Rule) -> Vec<Alert> {
        self.alerts.iter().filter(|alert| alert.rule == rule).cloned().collect()
    }

    /// The positions at which one rule alerts.
    pub(super) fn positions(&self, rule: Rule) -> Vec<u64> {
        self.of(rule).iter().map(|alert| alert.event.position).collect()
    }
}

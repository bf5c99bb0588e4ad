//! What made the difference between a wallet at one moment and at another: every event in between, with
//! what it did to the money.
//!
//! What an event did is told by its amount, what the wallet held afterwards by its balance. The two are
//! recorded apart, and so their agreement is worth saying: at every event, and in the sum.

use florin_domain::WalletEvent;
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::upcast::{UnreadableEvent, decode};
use rust_decimal::Decimal;
use thiserror::Error;

/// The fold: the events of one wallet's stream go in, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What the wallet held before the first of them.
    pub before: Decimal,
    /// What it held after the last of them.
    pub after: Decimal,
    /// What all of them did to the money.
    pub effects: Decimal,
    /// How many there were.
    pub events: u64,
}

/// Why the difference is not explained.
#[derive(Debug, Error)]
pub enum Unexplained {
    /// What this event did, this version does not know.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// What the event did is not what it changed.
    #[error(
        "event {partition}-{position} moves {effect}, and the balance goes from {before} to {after}"
    )]
    Contradiction {
        /// Where it is.
        partition: u32,
        /// Where it is.
        position: u64,
        /// What it says that it did.
        effect: Decimal,
        /// What the wallet held before.
        before: Decimal,
        /// What it held afterwards.
        after: Decimal,
    },
}

impl Difference {
    /// Begins with what the wallet holds.
    pub fn from(before: Decimal) -> Self {
        let mut effects = Decimal::ZERO;
        effects.rescale(before.scale());
        Self { before, after: before, effects, events: 0 }
    }

    /// Takes the next event: what it did to the money, below zero if it took some.
    ///
    /// # Errors
    /// [`Unexplained`].
    pub fn take(&mut self, recorded: &RecordedEvent) -> Result<Decimal, Unexplained> {
        let mut effect = match decode(recorded)? {
            Event::Wallet(event) => effect(&event),
            Event::Transfer(_) => Decimal::ZERO,
        };
        let after = recorded.balance.unwrap_or(self.after);
        effect.rescale(after.scale());
        if self.after.checked_add(effect) != Some(after) {
            return Err(Unexplained::Contradiction {
                partition: recorded.partition,
                position: recorded.position,
                effect,
                before: self.after,
                after,
            });
        }
        self.after = after;
        // Between two balances: it has no more digits than they.
        self.effects += effect;
        self.events += 1;
        Ok(effect)
    }

    /// Whether the effects add up to the difference.
    pub fn adds_up(&self) -> bool {
        self.before.checked_add(self.effects) == Some(self.after)
    }
}

/// What an event did to the money of its wallet, by its amount.
fn effect(event: &WalletEvent) -> Decimal {
    match event {
        WalletEvent::FundsDeposited { amount, .. }
        | WalletEvent::FundsCredited { amount, .. }
        | WalletEvent::FundsRefunded { amount, .. } => *amount,
        WalletEvent::FundsWithdrawn { amount, .. } | WalletEvent::FundsDebited { amount, .. } => {
            -*amount
        }
        WalletEvent::WalletOpened { .. }
        | WalletEvent::WalletFrozen { .. }
        | WalletEvent::WalletUnfrozen { .. }
        | WalletEvent::WalletClosed { .. } => Decimal::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use florin_domain::Currency;
    use florin_domain::TransactionId;
    use florin_domain::journal::GENESIS;
    use uuid::Uuid;

    use super::*;

    fn recorded(position: u64, event: &WalletEvent, balance: i64) -> RecordedEvent {
        RecordedEvent {
            partition: 0,
            position,
            aggregate_type: "Wallet",
            aggregate_id: "alice".into(),
            sequence: position,
            event_type: event.name().into(),
            event_version: event.version().to_owned(),
            payload: serde_json::to_string(event).unwrap(),
            metadata: "{}".into(),
            balance: Some(Decimal::new(balance, 2)),
            recorded_at: chrono::DateTime::UNIX_EPOCH,
            hash: GENESIS,
        }
    }

    fn withdrawn(cents: i64, balance: i64) -> WalletEvent {
        WalletEvent::FundsWithdrawn {
            transaction_id: TransactionId(Uuid::nil()),
            amount: Decimal::new(cents, 2),
            currency: Currency::USD,
            balance: Decimal::new(balance, 2),
            metadata: None,
        }
    }

    #[test]
    fn the_effects_of_the_events_add_up_to_the_difference() {
        let mut difference = Difference::from(Decimal::new(500, 2));
        let frozen = WalletEvent::WalletFrozen { reason: None };
        let events = [
            recorded(3, &withdrawn(120, 380), 380),
            recorded(4, &frozen, 380),
            recorded(5, &withdrawn(80, 300), 300),
        ];
        let effects: Vec<String> =
            events.iter().map(|event| difference.take(event).unwrap().to_string()).collect();
        assert_eq!(effects, ["-1.20", "0.00", "-0.80"]);
        assert!(difference.adds_up());
        assert_eq!((difference.effects, difference.events), (Decimal::new(-200, 2), 3));
    }

    #[test]
    fn an_event_that_changes_something_else_than_it_says_is_named() {
        let mut difference = Difference::from(Decimal::new(500, 2));
        let error = difference.take(&recorded(3, &withdrawn(120, 381), 381)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "event 0-3 moves -1.20, and the balance goes from 5.00 to 3.81"
        );
    }
}

//! What the rules see of an event: money that moved into or out of a wallet.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::seen::Seen;
use crate::ids::{TransferId, WalletId};
use crate::money::Currency;
use crate::wallet::WalletEvent;

/// Where an event is in the journal; as text `<partition>-<position>`, the id under which it is
/// published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// The ordered slice of the log.
    pub partition: u32,
    /// The dense offset in it.
    pub position: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.partition, self.position)
    }
}

/// A text that is not `<partition>-<position>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the id of an event is `<partition>-<position>`")]
pub struct NotAnEventId;

impl FromStr for EventId {
    type Err = NotAnEventId;

    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        let (partition, position) = text.split_once('-').ok_or(NotAnEventId)?;
        Ok(Self {
            partition: partition.parse().map_err(|_| NotAnEventId)?,
            position: position.parse().map_err(|_| NotAnEventId)?,
        })
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Money that moved into or out of a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement<'a> {
    /// The wallet.
    pub wallet: &'a WalletId,
    /// The event that says so.
    pub event: EventId,
    /// When it was recorded; never earlier than the wallet's movement before.
    pub at: DateTime<Utc>,
    /// Which way, and with whom.
    pub kind: Kind<'a>,
    /// How much, always positive.
    pub amount: Decimal,
    /// The currency of the wallet.
    pub currency: Currency,
}

/// Which way money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// In, from the outside world.
    Deposit,
    /// Out, to the outside world.
    Withdrawal,
    /// Out, on its way to another wallet.
    Debit {
        /// The transfer that it belongs to.
        transfer: TransferId,
        /// Who shall receive it.
        to: &'a WalletId,
    },
    /// In, from another wallet.
    Credit {
        /// Who sent it.
        from: &'a WalletId,
    },
    /// Back, because the transfer failed.
    Refund {
        /// The transfer that failed.
        transfer: TransferId,
    },
}

impl<'a> Movement<'a> {
    /// What a wallet's event moved, or `None` when it moved nothing.
    pub fn of(
        wallet: &'a WalletId,
        event: &'a WalletEvent,
        id: EventId,
        recorded_at: DateTime<Utc>,
    ) -> Option<Self> {
        let (kind, amount, currency) = match event {
            WalletEvent::WalletOpened { .. }
            | WalletEvent::WalletFrozen { .. }
            | WalletEvent::WalletUnfrozen { .. }
            | WalletEvent::WalletClosed { .. } => return None,
            WalletEvent::FundsDeposited { amount, currency, .. } => {
                (Kind::Deposit, amount, currency)
            }
            WalletEvent::FundsWithdrawn { amount, currency, .. } => {
                (Kind::Withdrawal, amount, currency)
            }
            WalletEvent::FundsDebited { transfer_id, counterparty, amount, currency, .. } => {
                (Kind::Debit { transfer: *transfer_id, to: counterparty }, amount, currency)
            }
            WalletEvent::FundsCredited { counterparty, amount, currency, .. } => {
                (Kind::Credit { from: counterparty }, amount, currency)
            }
            WalletEvent::FundsRefunded { transfer_id, amount, currency, .. } => {
                (Kind::Refund { transfer: *transfer_id }, amount, currency)
            }
        };
        let (amount, currency) = (*amount, *currency);
        Some(Self { wallet, event: id, at: recorded_at, kind, amount, currency })
    }

    /// As a rule remembers it.
    pub(super) fn seen(&self) -> Seen {
        Seen { at: self.at.into(), position: self.event.position, amount: self.amount }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::testing::{
        closed, credited, debited, decimal, deposited, frozen, id, opened, refunded, transfer, usd,
        withdrawn,
    };

    const EVENT: EventId = EventId { partition: 3, position: 17 };

    #[test]
    fn every_event_that_moves_money_is_a_movement() {
        let (alice, bob, at) = (id("alice"), id("bob"), DateTime::UNIX_EPOCH);
        let transfer = transfer();
        for (event, kind) in [
            (deposited("2.00", "2.00"), Kind::Deposit),
            (withdrawn("2.00", "0.00"), Kind::Withdrawal),
            (debited("bob", "2.00", "0.00"), Kind::Debit { transfer, to: &bob }),
            (credited("bob", "2.00", "2.00"), Kind::Credit { from: &bob }),
            (refunded("bob", "2.00", "2.00"), Kind::Refund { transfer }),
        ] {
            let (amount, currency) = (decimal("2.00"), usd());
            let movement = Movement { wallet: &alice, event: EVENT, at, kind, amount, currency };
            assert_eq!(Movement::of(&alice, &event, EVENT, at), Some(movement));
        }
        for event in [opened(), frozen(), closed()] {
            assert_eq!(Movement::of(&alice, &event, EVENT, at), None, "{event:?}");
        }
    }

    #[test]
    fn the_id_of_an_event_is_its_partition_and_position() {
        assert_eq!(serde_json::to_string(&EVENT).unwrap(), r#""3-17""#);
        assert_eq!(serde_json::from_str::<EventId>(r#""3-17""#).unwrap(), EVENT);
        for text in ["", "3", "3-", "-17", "3-x", "3-1-7"] {
            assert_eq!(text.parse::<EventId>(), Err(NotAnEventId), "{text:?}");
        }
    }
}

//! What the journal records of an event, and the hash that chains it to the one before.
//!
//! Each partition is one chain: `hash = sha256(previous hash ‖ every stored column)`. Payload and
//! metadata are hashed as the bytes that are stored and never re-serialised, so the proof does not
//! depend on a JSON library. Every column is under the hash, each with its length before it, so that
//! no two events have the same bytes.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use crate::transfer::TransferEvent;
use crate::wallet::WalletEvent;

/// A sha256.
pub type Hash = [u8; 32];

/// What the first event of a partition is chained to.
pub const GENESIS: Hash = [0; 32];

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The ordered slice of the log that it is in.
    pub partition: u32,
    /// Its dense offset there: 1, 2, 3 …
    pub position: u64,
    /// `Wallet` or `Transfer`.
    pub aggregate_type: &'static str,
    /// The wallet or transfer.
    pub aggregate_id: Arc<str>,
    /// Its dense number in that stream: 1, 2, 3 …
    pub sequence: u64,
    /// The name of the fact. A reader may meet one that its version does not know yet: that it
    /// cannot be read shows when it is decoded, and is then a matter of this event alone.
    pub event_type: Cow<'static, str>,
    /// The version of the fact's shape.
    pub event_version: String,
    /// The event as JSON text, as stored.
    pub payload: String,
    /// Request id, correlation and trace as JSON text, as stored.
    pub metadata: Arc<str>,
    /// What a wallet holds after it; transfers hold nothing.
    pub balance: Option<Decimal>,
    /// When it was recorded, in whole microseconds; never earlier than the event before.
    pub recorded_at: DateTime<Utc>,
    /// The chain up to and with this event.
    pub hash: Hash,
}

impl RecordedEvent {
    /// The hash that this event has when it follows `previous`.
    pub fn chained(&self, previous: &Hash) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(previous);
        hasher.update(self.partition.to_be_bytes());
        hasher.update(self.position.to_be_bytes());
        hasher.update(self.sequence.to_be_bytes());
        hasher.update(self.recorded_at.timestamp_micros().to_be_bytes());
        let balance = self.balance.map(|balance| balance.to_string()).unwrap_or_default();
        for text in [
            self.aggregate_type,
            &self.aggregate_id,
            &self.event_type,
            &self.event_version,
            &balance,
            &self.payload,
            &self.metadata,
        ] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
        hasher.finalize().into()
    }
}

/// The name of an event: without a copy for those that this version knows.
pub fn event_type_named(name: &str) -> Cow<'static, str> {
    let known = EVENT_TYPES.iter().copied().find(|known| *known == name);
    known.map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed)
}

/// Every event of the ledger, in the order of the aggregates' enums.
pub const EVENT_TYPES: [&str; 14] = [
    "WalletOpened",
    "FundsDeposited",
    "FundsWithdrawn",
    "FundsDebited",
    "FundsCredited",
    "FundsRefunded",
    "WalletFrozen",
    "WalletUnfrozen",
    "WalletClosed",
    "TransferInitiated",
    "TransferDebited",
    "TransferCompleted",
    "TransferCompensated",
    "TransferFailed",
];

/// An event of either aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Of a wallet.
    Wallet(WalletEvent),
    /// Of a transfer.
    Transfer(TransferEvent),
}

impl Event {
    /// The name of the fact.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Wallet(event) => event.name(),
            Self::Transfer(event) => event.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> RecordedEvent {
        RecordedEvent {
            partition: 0,
            position: 1,
            aggregate_type: "Wallet",
            aggregate_id: "alice".into(),
            sequence: 1,
            event_type: "WalletOpened".into(),
            event_version: "1.1".to_owned(),
            payload: r#"{"WalletOpened":{"currency":"USD"}}"#.to_owned(),
            metadata: "{}".into(),
            balance: Some(Decimal::new(0, 2)),
            recorded_at: DateTime::from_timestamp_micros(1_700_000_000_000_001).unwrap(),
            hash: GENESIS,
        }
    }

    #[test]
    fn the_hash_of_an_event_never_changes() {
        let hex: String =
            event().chained(&GENESIS).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "917a320ea5662096aee8602c5a6d37e893b455da84a4f49f9354a3211fa85c94");
    }

    #[test]
    fn every_column_is_under_the_hash() {
        let changes: [fn(&mut RecordedEvent); 11] = [
            |e| e.partition += 1,
            |e| e.position += 1,
            |e| e.aggregate_type = "Transfer",
            |e| e.aggregate_id = "bob".into(),
            |e| e.sequence += 1,
            |e| e.event_type = "WalletFrozen".into(),
            |e| e.event_version.push('0'),
            |e| e.payload.push(' '),
            |e| e.metadata = "{ }".into(),
            |e| e.balance = None,
            |e| e.recorded_at += chrono::TimeDelta::microseconds(1),
        ];
        let hash = event().chained(&GENESIS);
        for (index, change) in changes.iter().enumerate() {
            let mut changed = event();
            change(&mut changed);
            assert_ne!(changed.chained(&GENESIS), hash, "change {index} goes unseen");
        }
        assert_ne!(event().chained(&hash), hash, "the previous hash is under it too");
    }

    #[test]
    fn a_byte_moved_from_one_column_to_the_next_is_seen() {
        let mut moved = event();
        moved.payload.push('x');
        let mut other = event();
        other.metadata = "x{}".into();
        assert_ne!(moved.chained(&GENESIS), other.chained(&GENESIS));
    }
}

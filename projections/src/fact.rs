//! What a read model folds: an event of the journal, decoded.

use florin_domain::WalletId;
use florin_domain::event_metadata::request_id;
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::upcast::{UnreadableEvent, decode};
use thiserror::Error;
use uuid::Uuid;

/// A decoded event, beside the row that it was read from.
#[derive(Debug)]
pub struct Fact<'a> {
    /// Where and when it was recorded.
    pub recorded: &'a RecordedEvent,
    /// What happened.
    pub event: Event,
}

/// Why a fact cannot be folded into the rows that it meets. The rows are then as they were.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Unapplicable(pub String);

impl<'a> Fact<'a> {
    /// Reads an event.
    ///
    /// # Errors
    /// [`UnreadableEvent`]: this one alone, whatever is around it.
    pub fn read(recorded: &'a RecordedEvent) -> Result<Self, UnreadableEvent> {
        Ok(Self { recorded, event: decode(recorded)? })
    }

    /// The wallet or transfer.
    pub fn stream(&self) -> &'a str {
        &self.recorded.aggregate_id
    }

    /// The transfer whose stream this is.
    ///
    /// # Errors
    /// [`Unapplicable`] when it is no UUID.
    pub fn transfer_id(&self) -> Result<Uuid, Unapplicable> {
        self.stream().parse().map_err(|_| Unapplicable("a transfer's id is a UUID".to_owned()))
    }

    /// The idempotency key that the event answers.
    pub fn request_id(&self) -> Option<String> {
        request_id(&self.recorded.metadata)
    }
}

/// Whether an event lies in a wallet's stream.
pub fn is_of_wallet(event: &RecordedEvent) -> bool {
    event.aggregate_type == "Wallet"
}

/// The wallet in whose stream an event lies.
pub fn wallet_of(event: &RecordedEvent) -> Option<WalletId> {
    is_of_wallet(event).then(|| event.aggregate_id.parse().ok()).flatten()
}

/// Positions and counts as Postgres keeps them: they never come near the limits of a `bigint`.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// And back: the tables hold none below zero.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A partition as Postgres keeps it.
pub(crate) fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

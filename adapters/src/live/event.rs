//! An event on its way to its readers, who share it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use florin_domain::journal::RecordedEvent;

/// What an event has in memory besides its texts.
const OVERHEAD: usize = 512;

/// An event, counted for as long as somebody holds it.
pub struct LiveEvent {
    /// As the journal has it.
    pub recorded: RecordedEvent,
    /// As clients read it, once somebody wrote it.
    pub text: OnceLock<Bytes>,
    held: Arc<AtomicUsize>,
}

impl LiveEvent {
    /// An event, counted there.
    pub(super) fn new(recorded: RecordedEvent, held: &Arc<AtomicUsize>) -> Arc<Self> {
        let event = Self { recorded, text: OnceLock::new(), held: Arc::clone(held) };
        event.held.fetch_add(event.size(), Ordering::Relaxed);
        Arc::new(event)
    }

    /// About so many bytes: the payload is there twice once it is written.
    fn size(&self) -> usize {
        OVERHEAD + 2 * self.recorded.payload.len() + self.recorded.metadata.len()
    }
}

impl Drop for LiveEvent {
    fn drop(&mut self) {
        self.held.fetch_sub(self.size(), Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(super) mod testing {
    use chrono::DateTime;
    use florin_domain::journal::GENESIS;

    use super::*;

    /// A deposit to a wallet of partition 0.
    pub(in crate::live) fn event(wallet: &str, position: u64) -> Arc<LiveEvent> {
        let recorded = RecordedEvent {
            partition: 0,
            position,
            aggregate_type: "Wallet",
            aggregate_id: wallet.into(),
            sequence: position,
            event_type: "FundsDeposited".into(),
            event_version: "1.0".to_owned(),
            payload: "{}".to_owned(),
            metadata: "{}".into(),
            balance: None,
            recorded_at: DateTime::UNIX_EPOCH,
            hash: GENESIS,
        };
        LiveEvent::new(recorded, &Arc::default())
    }
}

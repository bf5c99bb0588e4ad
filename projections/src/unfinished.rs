//! The transfers whose money is in flight at the end of a journal: what `unfinished_transfers` holds,
//! as a fold.
//!
//! A stream lies in one partition, so that little more than those is remembered at a time.

use std::collections::BTreeMap;

use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::transfer::saga::{Step, next_step};
use florin_domain::upcast::{UnreadableEvent, decode};
use florin_domain::{Transfer, TransferId};

/// The fold. Feed it every event of each partition in order.
#[derive(Debug, Default)]
pub struct Unfinished(BTreeMap<TransferId, (u32, Transfer)>);

impl Unfinished {
    /// Takes the next event. One of a stream that has no UUID for its id is not one of a transfer.
    ///
    /// # Errors
    /// [`UnreadableEvent`].
    pub fn take(&mut self, recorded: &RecordedEvent) -> Result<(), UnreadableEvent> {
        if recorded.aggregate_type != "Transfer" {
            return Ok(());
        }
        let Ok(id) = recorded.aggregate_id.parse().map(TransferId) else { return Ok(()) };
        let (_, transfer) = self.0.entry(id).or_insert((recorded.partition, Transfer::default()));
        match decode(recorded)? {
            Event::Transfer(event) => transfer.apply_event(&event),
            Event::Wallet(_) => {}
        }
        if next_step(transfer) == Step::Done {
            self.0.remove(&id);
        }
        Ok(())
    }

    /// Those that have not ended, each with the partition that drives it.
    pub fn transfers(&self) -> impl Iterator<Item = (TransferId, u32)> {
        self.0.iter().map(|(id, (partition, _))| (*id, *partition))
    }
}

//! One page of the journal, for whoever asks for pages by themselves: of a partition in its order, of
//! all its events or of some types, or of one wallet.

use florin_application::journal::JournalError;
use florin_domain::WalletId;
use florin_domain::journal::RecordedEvent;

use super::Live;
use super::wanted::Wanted;
use crate::postgres::follow::{page_of, wallet};
use crate::postgres::past::{Stream, last_at};

/// How many events are looked at for one page when few of them are of the types that are wanted: some
/// ten milliseconds. The page is then short, and the next one goes on from there.
const SCAN: u64 = 10_000;

/// A page, and up to where it tells everything that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events, by position.
    pub events: Vec<RecordedEvent>,
    /// After which position the next page begins.
    pub next_after: u64,
}

impl Live {
    /// At most so many of the events of the one partition that is wanted, after a position and up to
    /// another one, which the journal has.
    ///
    /// # Errors
    /// [`JournalError`] when Postgres is away or an event cannot be read.
    pub async fn page(
        &self,
        wanted: &Wanted,
        after: u64,
        up_to: u64,
        limit: u32,
    ) -> Result<Page, JournalError> {
        let _turn = self.0.turn().await?;
        match &wanted.wallet {
            Some(id) => self.page_of_wallet(wanted, id, (after, up_to), limit).await,
            None => self.page_of_partition(wanted, (after, up_to), limit).await,
        }
    }

    async fn page_of_partition(
        &self,
        wanted: &Wanted,
        (after, up_to): (u64, u64),
        limit: u32,
    ) -> Result<Page, JournalError> {
        let types = wanted.types.names();
        let up_to = match types {
            Some(_) => up_to.min(after.saturating_add(SCAN)),
            None => up_to,
        };
        let (pool, partition) = (&self.0.pool, wanted.partitions.start);
        let events = page_of(pool, partition, (after, up_to), types, limit).await?;
        let next_after = end(&events, limit, up_to);
        Ok(Page { events, next_after })
    }

    async fn page_of_wallet(
        &self,
        wanted: &Wanted,
        id: &WalletId,
        (after, up_to): (u64, u64),
        limit: u32,
    ) -> Result<Page, JournalError> {
        let (pool, id) = (&self.0.pool, id.as_str());
        let stream = Stream { aggregate_type: "Wallet", aggregate_id: id.to_owned() };
        let sequence = last_at(pool, &stream, after).await?;
        let mut events = wallet(pool, id, sequence, up_to, i64::from(limit)).await?;
        let next_after = end(&events, limit, up_to);
        events.retain(|event| wanted.includes(event));
        Ok(Page { events, next_after })
    }
}

/// Where a page ends: with its last event if it is full.
fn end(events: &[RecordedEvent], limit: u32, up_to: u64) -> u64 {
    match events.last() {
        Some(last) if events.len() as u64 >= u64::from(limit) => last.position,
        Some(_) | None => up_to,
    }
}

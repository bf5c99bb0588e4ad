//! Pages of the journal for a stream that is behind: of a partition in its order, or of one wallet.

use std::sync::Arc;

use florin_application::journal::JournalError;
use florin_domain::WalletId;
use florin_domain::journal::RecordedEvent;

use super::Hub;
use super::event::LiveEvent;
use super::wanted::Wanted;
use crate::postgres::follow::{page, wallet};
use crate::postgres::past::{Stream, last_at};

/// How many events are read at a time: some 40 KB, which is what a stream has in memory while its
/// client takes them, and at half a millisecond a page 100,000 events a second.
const PAGE: usize = 64;

/// How far a stream is in one partition.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) partition: u32,
    /// Up to where it knows everything.
    pub(super) position: u64,
    /// The wallet's last event that it knows, if it is about a wallet and has looked.
    sequence: Option<u64>,
    /// Up to where it reads by itself.
    pub(super) target: u64,
    /// Whether it has joined the partition.
    pub(super) is_joined: bool,
}

impl Place {
    pub(super) fn new(partition: u32, position: u64, target: u64) -> Self {
        Self { partition, position, sequence: None, target, is_joined: false }
    }

    pub(super) fn is_behind(&self) -> bool {
        self.position < self.target
    }

    /// Reads a page, and goes on to its end; those that are wanted of it. Unchanged after an error,
    /// and when it is not waited for.
    ///
    /// # Errors
    /// [`JournalError`] when Postgres is away.
    pub(super) async fn read(
        &mut self,
        hub: &Hub,
        wanted: &Wanted,
    ) -> Result<Vec<Arc<LiveEvent>>, JournalError> {
        let _turn = hub.turn().await?;
        let events = match &wanted.wallet {
            Some(id) => self.of_wallet(hub, id).await?,
            None => self.of_all(hub).await?,
        };
        let wanted = events.into_iter().filter(|event| wanted.includes(event));
        Ok(wanted.map(|event| LiveEvent::new(event, &hub.held)).collect())
    }

    async fn of_all(&mut self, hub: &Hub) -> Result<Vec<RecordedEvent>, JournalError> {
        let events = page(&hub.pool, self.partition, self.position, PAGE as i64).await?;
        let Some(last) = events.last() else {
            return Err(JournalError::corrupt("the journal ends before its head"));
        };
        self.position = last.position;
        Ok(events)
    }

    async fn of_wallet(
        &mut self,
        hub: &Hub,
        id: &WalletId,
    ) -> Result<Vec<RecordedEvent>, JournalError> {
        let (pool, id) = (&hub.pool, id.as_str());
        let after = match self.sequence {
            Some(sequence) => sequence,
            None => {
                let stream = Stream { aggregate_type: "Wallet", aggregate_id: id.to_owned() };
                last_at(pool, &stream, self.position).await?
            }
        };
        let events = wallet(pool, id, after, self.target, PAGE as i64).await?;
        let last = events.last();
        self.sequence = Some(last.map_or(after, |event| event.sequence));
        self.position = match last {
            Some(last) if events.len() == PAGE => last.position,
            Some(_) | None => self.target,
        };
        Ok(events)
    }
}

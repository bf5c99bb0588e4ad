//! What a writer knows of its partition: the head, and bounded caches of what lies before it.
//!
//! Everything here is true as of `head` or is not here: another process's events are applied before
//! the head moves past them, or the caches are emptied.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use florin_domain::journal::RecordedEvent;
use florin_domain::{TransferId, WalletId};
use lru::LruCache;

use crate::command::Key;
use crate::journal::{
    Head, JournalError, KeptKey, PartitionJournal, Tail, TransferRecord, WalletRecord,
};

/// How many outcomes are remembered, so that a quick retry is answered without the journal: half a
/// second of full load. Older keys are found in the journal.
const MAX_OUTCOMES: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

pub(super) struct State {
    pub(super) head: Head,
    pub(super) wallets: LruCache<WalletId, WalletRecord>,
    pub(super) outcomes: LruCache<Key, KeptKey>,
    /// Every transfer of this partition that is under way, as of the head.
    pub(super) unfinished: HashMap<TransferId, TransferRecord>,
}

impl State {
    pub(super) fn new(max_wallets: NonZeroUsize) -> Self {
        Self {
            head: Head::EMPTY,
            wallets: LruCache::new(max_wallets),
            outcomes: LruCache::new(MAX_OUTCOMES),
            unfinished: HashMap::new(),
        }
    }

    /// Takes in what another process wrote.
    pub(super) async fn catch_up(
        &mut self,
        tail: Tail,
        journal: &mut dyn PartitionJournal,
    ) -> Result<(), JournalError> {
        let Some(events) = tail.events else {
            self.wallets.clear();
            let unfinished = journal.unfinished().await?;
            self.unfinished = unfinished.into_iter().map(|record| (record.id, record)).collect();
            self.head = tail.head;
            return Ok(());
        };
        for event in &events {
            match event.aggregate_type {
                "Wallet" => self.replay_wallet(event)?,
                _ => self.replay_transfer(event)?,
            }
        }
        self.head = tail.head;
        Ok(())
    }

    fn replay_wallet(&mut self, event: &RecordedEvent) -> Result<(), JournalError> {
        let id: WalletId = event.aggregate_id.parse().map_err(JournalError::corrupt)?;
        match self.wallets.peek_mut(&id) {
            Some(record) => record.replay(event),
            None => Ok(()),
        }
    }

    fn replay_transfer(&mut self, event: &RecordedEvent) -> Result<(), JournalError> {
        let id = TransferId(event.aggregate_id.parse().map_err(JournalError::corrupt)?);
        let record = match event.sequence {
            1 => self
                .unfinished
                .entry(id)
                .or_insert_with(|| TransferRecord::new(id, event.partition)),
            _ => match self.unfinished.get_mut(&id) {
                Some(record) => record,
                None => return Ok(()),
            },
        };
        record.replay(event)?;
        if record.is_over() {
            self.unfinished.remove(&id);
        }
        Ok(())
    }

    /// Notes the outcomes that are final; a transfer under way has none yet.
    pub(super) fn remember(&mut self, kept: KeptKey) {
        if kept.outcome.is_some() {
            self.outcomes.put(kept.key.clone(), kept);
        }
    }
}

//! What a writer knows of its partition: the head, and bounded caches of what lies before it.
//!
//! Everything here is true as of `head` or is not here: another process's events are applied before
//! the head moves past them, or the caches are emptied. While an append is in flight the head and the
//! rest are those after it, with a way back.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use florin_domain::journal::RecordedEvent;
use florin_domain::{TransferId, WalletId};
use lru::LruCache;

use super::draft::Draft;

use crate::command::{Key, Outcome, Receipt};
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

/// What a draft that was taken for appended has changed: everything as it was before.
pub(super) struct Undo {
    head: Head,
    /// With the states before; none of a wallet that was not at hand.
    pub(super) wallets: Vec<(WalletId, Option<WalletRecord>)>,
    transfers: Vec<(TransferId, Option<TransferRecord>)>,
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

    /// Takes a draft for appended before the journal has said so; answers with the way back.
    pub(super) fn assume(&mut self, draft: &mut Draft) -> Undo {
        let head = std::mem::replace(&mut self.head, draft.batch.head());
        let mut wallets = Vec::with_capacity(draft.wallets.len());
        for (id, record) in draft.wallets.drain() {
            match self.wallets.get(&id) {
                Some(before) if before.version == record.version => {}
                before => {
                    wallets.push((id.clone(), before.cloned()));
                    self.wallets.put(id, record);
                }
            }
        }
        let mut transfers = Vec::with_capacity(draft.transfers.len());
        for (id, record) in draft.transfers.drain() {
            let before = match record.is_over() {
                true => self.unfinished.remove(&id),
                false => self.unfinished.insert(id, record),
            };
            transfers.push((id, before));
        }
        for kept in &draft.batch.keys {
            self.remember(kept);
        }
        Undo { head, wallets, transfers }
    }

    /// Goes back to before a draft that came to nothing, whose keys these were.
    pub(super) fn undo(&mut self, undo: Undo, keys: &[KeptKey]) {
        self.head = undo.head;
        for (id, before) in undo.wallets {
            match before {
                Some(record) => drop(self.wallets.put(id, record)),
                None => drop(self.wallets.pop(&id)),
            }
        }
        for (id, before) in undo.transfers {
            match before {
                Some(record) => drop(self.unfinished.insert(id, record)),
                None => drop(self.unfinished.remove(&id)),
            }
        }
        for kept in keys {
            self.outcomes.pop(&kept.key);
        }
    }

    /// Notes the outcomes that are final; a transfer under way has none yet. That of a whole bulk is
    /// as large as a thousand others, and left to the journal.
    fn remember(&mut self, kept: &KeptKey) {
        match kept.outcome.as_deref() {
            None | Some(Outcome::Accepted(Receipt::All(_))) => {}
            Some(Outcome::Accepted(_) | Outcome::Refused(_)) => {
                self.outcomes.put(kept.key.clone(), kept.clone());
            }
        }
    }
}

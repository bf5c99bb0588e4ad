//! A journal in memory, for tests without a database. It obeys the same tests as the Postgres one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use florin_domain::journal::RecordedEvent;
use florin_domain::{TransferId, WalletId};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::audit::AuditRow;
use crate::command::Key;
use crate::journal::{
    AppendError, Batch, Head, Journal, JournalError, KeptKey, KeyRecord, MAX_TAIL,
    PartitionJournal, Tail, TransferRecord, WalletRecord,
};

/// A journal that ends with the process.
#[derive(Clone)]
pub struct MemoryJournal {
    data: Arc<Mutex<Data>>,
    /// One per partition: who holds it may append.
    gates: Arc<Vec<Arc<AsyncMutex<()>>>>,
}

struct Data {
    partitions: Vec<Vec<RecordedEvent>>,
    /// With when each was recorded.
    keys: HashMap<Key, (KeptKey, DateTime<Utc>)>,
    calls: Vec<AuditRow>,
    /// By transfer, the partition that drives it.
    unfinished: BTreeMap<TransferId, u32>,
}

impl MemoryJournal {
    /// An empty ledger.
    pub fn new(partitions: u32) -> Self {
        let data = Data {
            partitions: vec![Vec::new(); partitions as usize],
            keys: HashMap::new(),
            calls: Vec::new(),
            unfinished: BTreeMap::new(),
        };
        let gates = (0..partitions).map(|_| Arc::default()).collect();
        Self { data: Arc::new(Mutex::new(data)), gates: Arc::new(gates) }
    }

    /// Every event of a partition.
    pub fn events(&self, partition: u32) -> Vec<RecordedEvent> {
        self.data().partition(partition).to_vec()
    }

    /// Every call that is on record.
    pub fn calls(&self) -> Vec<AuditRow> {
        self.data().calls.clone()
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    fn partition(&self, partition: u32) -> &[RecordedEvent] {
        self.partitions.get(partition as usize).map_or(&[], Vec::as_slice)
    }

    fn head(&self, partition: u32) -> Head {
        self.partition(partition).last().map_or(Head::EMPTY, |event| Head {
            position: event.position,
            hash: event.hash,
            recorded_at: event.recorded_at,
        })
    }

    fn stream(&self, aggregate_type: &str, id: &str) -> impl Iterator<Item = &RecordedEvent> {
        self.partitions.iter().flatten().filter(move |event| {
            event.aggregate_type == aggregate_type && *event.aggregate_id == *id
        })
    }

    fn transfer(&self, id: TransferId) -> Result<Option<TransferRecord>, JournalError> {
        let mut record = TransferRecord::new(id, 0);
        for event in self.stream("Transfer", &id.to_string()) {
            record.partition = event.partition;
            record.replay(event)?;
        }
        Ok((record.version > 0).then_some(record))
    }

    /// The key with what has become of its transfer, if that is what its outcome is.
    fn resolved(&self, kept: &KeptKey) -> Result<KeptKey, JournalError> {
        let Some(id) = kept.transfer else { return Ok(kept.clone()) };
        let outcome = self.transfer(id)?.and_then(|record| record.outcome()).map(Arc::new);
        Ok(KeptKey { outcome, ..kept.clone() })
    }

    fn append(&mut self, batch: &Batch) -> Result<(), AppendError> {
        if self.head(batch.partition).position != batch.expected.position {
            return Err(AppendError::Moved);
        }
        if batch.keys.iter().any(|kept| self.keys.contains_key(&kept.key)) {
            return Err(AppendError::KeyTaken);
        }
        let below_zero = |event: &RecordedEvent| {
            event.balance.is_some_and(|balance| balance.is_sign_negative() && !balance.is_zero())
        };
        if batch.events.iter().any(below_zero) {
            return Err(AppendError::Rejected("a wallet would go below zero".into()));
        }
        if let Some(events) = self.partitions.get_mut(batch.partition as usize) {
            events.extend(batch.events.iter().cloned());
        }
        for kept in &batch.keys {
            self.keys.insert(kept.key.clone(), (kept.clone(), batch.recorded_at));
        }
        for row in &batch.calls {
            if self.calls.iter().all(|known| known.entry.call.id != row.entry.call.id) {
                self.calls.push(row.clone());
            }
        }
        self.unfinished.extend(batch.started.iter().map(|id| (*id, batch.partition)));
        for id in &batch.finished {
            self.unfinished.remove(id);
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn partitions(&self) -> u32 {
        u32::try_from(self.gates.len()).unwrap_or(u32::MAX)
    }

    fn partition(&self, partition: u32) -> Box<dyn PartitionJournal> {
        Box::new(MemoryPartition { journal: self.clone(), partition, lock: None })
    }

    async fn transfer(&self, id: TransferId) -> Result<Option<TransferRecord>, JournalError> {
        self.data().transfer(id)
    }

    async fn key(&self, key: &Key) -> Result<Option<KeyRecord>, JournalError> {
        let data = self.data();
        let Some((kept, recorded_at)) = data.keys.get(key) else { return Ok(None) };
        Ok(Some(KeyRecord { kept: data.resolved(kept)?, recorded_at: *recorded_at }))
    }

    /// Nothing is gained by a snapshot of what is in memory anyway.
    async fn save_snapshots(&self, _: &[(WalletId, WalletRecord)]) -> Result<(), JournalError> {
        Ok(())
    }
}

struct MemoryPartition {
    journal: MemoryJournal,
    partition: u32,
    lock: Option<OwnedMutexGuard<()>>,
}

impl MemoryPartition {
    async fn gate(&self) -> Result<OwnedMutexGuard<()>, JournalError> {
        let gate = self.journal.gates.get(self.partition as usize);
        let gate = gate.ok_or_else(|| JournalError::corrupt("no such partition"))?;
        Ok(Arc::clone(gate).lock_owned().await)
    }
}

#[async_trait]
impl PartitionJournal for MemoryPartition {
    async fn catch_up(&mut self, known: u64) -> Result<Tail, JournalError> {
        let data = self.journal.data();
        let head = data.head(self.partition);
        let events = (head.position.saturating_sub(known) <= MAX_TAIL).then(|| {
            let events = data.partition(self.partition).iter();
            events.filter(|event| event.position > known).cloned().collect()
        });
        Ok(Tail { head, events })
    }

    async fn lock(&mut self, known: u64) -> Result<Tail, JournalError> {
        self.lock = None;
        self.lock = Some(self.gate().await?);
        self.catch_up(known).await
    }

    async fn release(&mut self) {
        self.lock = None;
    }

    async fn append(&mut self, batch: &Batch) -> Result<(), AppendError> {
        // The lock ends with the append, whatever comes of it.
        let _lock = match self.lock.take() {
            Some(lock) => lock,
            None => self.gate().await?,
        };
        self.journal.data().append(batch)
    }

    async fn load_wallets(&mut self, ids: &[WalletId]) -> Result<Vec<WalletRecord>, JournalError> {
        let data = self.journal.data();
        let load = |id: &WalletId| {
            let mut record = WalletRecord::unknown();
            for event in data.stream("Wallet", id.as_str()) {
                record.replay(event)?;
            }
            Ok(record)
        };
        ids.iter().map(load).collect()
    }

    async fn find_keys(&mut self, keys: &[Key]) -> Result<Vec<KeptKey>, JournalError> {
        let data = self.journal.data();
        let known = keys.iter().filter_map(|key| data.keys.get(key));
        known.map(|(kept, _)| data.resolved(kept)).collect()
    }

    async fn unfinished(&mut self) -> Result<Vec<TransferRecord>, JournalError> {
        let data = self.journal.data();
        let mine = data.unfinished.iter().filter(|(_, partition)| **partition == self.partition);
        mine.filter_map(|(id, _)| data.transfer(*id).transpose()).collect()
    }
}

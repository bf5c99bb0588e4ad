//! The events of one batch, chained on the head that they were decided on.
//!
//! A draft works on copies: the wallets and transfers in it become the partition's state when the
//! append has succeeded, and are dropped when it has not.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use florin_domain::journal::RecordedEvent;
use florin_domain::{
    Refusal, Transfer, TransferCommand, TransferId, Wallet, WalletCommand, WalletEvent, WalletId,
};
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

use super::state::State;
use crate::audit::{AuditRow, Entry};
use crate::command::{Key, Leg};
use crate::journal::{Batch, KeptKey, TransferRecord, WalletRecord};

/// The aggregate that an event belongs to, as the journal names it.
pub(super) const WALLET: &str = <Wallet as cqrs_es::Aggregate>::TYPE;
const TRANSFER: &str = <Transfer as cqrs_es::Aggregate>::TYPE;

pub(super) struct Draft {
    pub(super) batch: Batch,
    /// Every wallet that the jobs decided so far name.
    pub(super) wallets: HashMap<WalletId, WalletRecord>,
    /// The transfers that the batch began or went on with.
    pub(super) transfers: HashMap<TransferId, TransferRecord>,
    /// The job that used each key first, and which of the batch's keys it is.
    pub(super) key_owners: HashMap<Key, (usize, usize)>,
    /// The keys of jobs that came to nothing that is kept: an earlier outcome may be kept under them.
    pub(super) unkept: Vec<Key>,
    /// The calls that are recorded with the batch.
    recorded: HashSet<Uuid>,
}

/// Where a draft was before a group of commands.
pub(super) struct Savepoint {
    events: usize,
    started: usize,
    wallets: Vec<(WalletId, WalletRecord)>,
}

impl Draft {
    pub(super) fn new(partition: u32, state: &State, now: DateTime<Utc>) -> Self {
        Self {
            // Stored times are whole microseconds, and never run backwards in a partition.
            batch: Batch::new(
                partition,
                state.head,
                now.trunc_subsecs(6).max(state.head.recorded_at),
            ),
            wallets: HashMap::new(),
            transfers: HashMap::new(),
            key_owners: HashMap::new(),
            unkept: Vec::new(),
            recorded: HashSet::new(),
        }
    }

    /// The wallet, which the writer has loaded.
    pub(super) fn wallet(&mut self, id: &WalletId) -> &mut WalletRecord {
        self.wallets.entry(id.clone()).or_insert_with(WalletRecord::unknown)
    }

    /// Lets a wallet decide, and drafts what follows; answers with where that leaves the wallet.
    pub(super) fn command_wallet(
        &mut self,
        id: &WalletId,
        command: WalletCommand,
        metadata: &Arc<str>,
    ) -> Result<Leg, Refusal> {
        let events = self.wallet(id).wallet.decide(command)?;
        for event in &events {
            self.draft_wallet_event(id, event, metadata);
        }
        let partition = self.batch.partition;
        let record = self.wallet(id);
        let balance = record.wallet.account().map_or(Decimal::ZERO, |account| account.balance);
        Ok(Leg { balance, version: record.version, partition, position: record.position })
    }

    fn draft_wallet_event(&mut self, id: &WalletId, event: &WalletEvent, metadata: &Arc<str>) {
        let record = self.wallet(id);
        record.wallet.apply_event(event);
        let sequence = record.version + 1;
        let balance = record.wallet.account().map(|account| account.balance);
        let (name, version) = (event.name(), event.version());
        let recorded = self.chain(RecordedEvent {
            aggregate_type: WALLET,
            aggregate_id: id.as_str().into(),
            sequence,
            event_type: name.into(),
            event_version: version.to_owned(),
            payload: json(event),
            balance,
            ..self.blank(metadata)
        });
        self.wallet(id).mark(&recorded);
        self.batch.events.push(recorded);
    }

    /// Lets a transfer decide, and drafts what follows.
    pub(super) fn command_transfer(
        &mut self,
        record: &mut TransferRecord,
        command: TransferCommand,
        metadata: &Arc<str>,
    ) -> Result<(), Refusal> {
        for event in record.transfer.decide(command)? {
            record.transfer.apply_event(&event);
            let recorded = self.chain(RecordedEvent {
                aggregate_type: TRANSFER,
                aggregate_id: record.id.to_string().into(),
                sequence: record.version + 1,
                event_type: event.name().into(),
                event_version: event.version().to_owned(),
                payload: json(&event),
                ..self.blank(metadata)
            });
            record.mark(&recorded);
            self.batch.events.push(recorded);
        }
        Ok(())
    }

    /// Notes whether a transfer is under way after this batch; `before` says if it was before.
    pub(super) fn track(&mut self, record: TransferRecord, before: bool) {
        match (before, record.is_over()) {
            (false, false) => self.batch.started.push(record.id),
            (true, true) => self.batch.finished.push(record.id),
            (false, true) | (true, false) => {}
        }
        self.transfers.insert(record.id, record);
    }

    /// Keeps a key that is used for the first time, by the job of that number.
    pub(super) fn keep(&mut self, kept: KeptKey, job: usize) {
        self.key_owners.insert(kept.key.clone(), (job, self.batch.keys.len()));
        self.batch.keys.push(kept);
    }

    /// How much is drafted to be written: events and keys.
    pub(super) fn extent(&self) -> (usize, usize) {
        (self.batch.events.len(), self.batch.keys.len())
    }

    /// Records the call of a command with what follows of it; once, of however many commands it is.
    pub(super) fn record_call(&mut self, entry: &Arc<Entry>, status: u16, is_shared: bool) {
        if entry.kept_as().is_none() && self.recorded.insert(entry.call.id) {
            self.batch.calls.push(AuditRow { entry: Arc::clone(entry), status, is_shared });
        }
    }

    /// The way back from what is drafted of these wallets from here on.
    pub(super) fn savepoint<'w>(&self, ids: impl Iterator<Item = &'w WalletId>) -> Savepoint {
        let before = |id: &WalletId| Some((id.clone(), self.wallets.get(id)?.clone()));
        Savepoint {
            events: self.batch.events.len(),
            started: self.batch.started.len(),
            wallets: ids.filter_map(before).collect(),
        }
    }

    /// Drops what was drafted since, these new transfers among it. No key may have been kept.
    pub(super) fn roll_back(
        &mut self,
        savepoint: Savepoint,
        transfers: impl Iterator<Item = TransferId>,
    ) {
        self.batch.events.truncate(savepoint.events);
        self.batch.started.truncate(savepoint.started);
        self.wallets.extend(savepoint.wallets);
        for id in transfers {
            self.transfers.remove(&id);
        }
    }

    /// What every event of this draft has in common, at the next position.
    fn blank(&self, metadata: &Arc<str>) -> RecordedEvent {
        let head = self.batch.head();
        RecordedEvent {
            partition: self.batch.partition,
            position: head.position + 1,
            aggregate_type: "",
            aggregate_id: "".into(),
            sequence: 0,
            event_type: "".into(),
            event_version: String::new(),
            payload: String::new(),
            metadata: Arc::clone(metadata),
            balance: None,
            recorded_at: self.batch.recorded_at,
            hash: head.hash,
        }
    }

    /// Replaces the previous hash, which a blank event carries, by the event's own.
    fn chain(&self, mut event: RecordedEvent) -> RecordedEvent {
        event.hash = event.chained(&self.batch.head().hash);
        event
    }
}

/// The text that is stored and hashed.
fn json(event: &impl Serialize) -> String {
    // Events are texts, decimals and JSON maps: all of them have a JSON form.
    serde_json::to_string(event).unwrap_or_default()
}

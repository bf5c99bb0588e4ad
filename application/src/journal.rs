//! The ports to the journal: what the application needs of the place where events are kept.
//!
//! [`Journal`] opens one [`PartitionJournal`] for each partition's writer. Two implementations obey
//! the same tests: Postgres in `adapters`, and [`crate::memory`] for tests without a database.
//!
//! An append is all or nothing and succeeds only on the head that the batch was decided on, so a
//! decision is never recorded on a state that it did not see.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use florin_domain::journal::{GENESIS, Hash, RecordedEvent};
use florin_domain::{TransferId, WalletId};
use thiserror::Error;

use crate::audit::AuditRow;
use crate::command::{Key, Outcome};
use crate::fingerprint::Fingerprint;
pub use crate::record::{TransferRecord, WalletRecord};

/// The end of a partition: the next event comes after this one and is chained to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The position of the last event, 0 when there is none.
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
    /// When it was recorded: time does not run backwards within a partition.
    pub recorded_at: DateTime<Utc>,
}

impl Head {
    /// Of a partition without events.
    pub const EMPTY: Self =
        Self { position: 0, hash: GENESIS, recorded_at: DateTime::<Utc>::MIN_UTC };
}

/// What another process wrote since a known position.
#[derive(Debug)]
pub struct Tail {
    /// The end of the partition now.
    pub head: Head,
    /// The events up to there, or `None` when they are too many to be worth applying.
    pub events: Option<Vec<RecordedEvent>>,
}

/// The most events that a [`Tail`] carries: about what two batches write. Beyond it, reading single
/// wallets again costs less than applying everything.
pub const MAX_TAIL: u64 = 10_000;

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptKey {
    /// Whose, and which.
    pub key: Key,
    /// What was asked under it.
    pub fingerprint: Fingerprint,
    /// What became of it; `None` while its transfer is under way.
    pub outcome: Option<Arc<Outcome>>,
    /// The transfer that began under it and whose stream tells the outcome.
    pub transfer: Option<TransferId>,
}

/// What is on record for a key, for whoever asks about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key, what was asked under it, and what became of it.
    pub kept: KeptKey,
    /// When the request was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// What is appended to a partition at once.
#[derive(Debug)]
pub struct Batch {
    /// Where.
    pub partition: u32,
    /// The head that the batch was decided on.
    pub expected: Head,
    /// When: the time of every event and key of the batch.
    pub recorded_at: DateTime<Utc>,
    /// The events, chained, at the positions after the expected head.
    pub events: Vec<RecordedEvent>,
    /// The keys that are used for the first time.
    pub keys: Vec<KeptKey>,
    /// The calls by which the commands of the batch came.
    pub calls: Vec<AuditRow>,
    /// The transfers that are under way from now on.
    pub started: Vec<TransferId>,
    /// The transfers that no longer are.
    pub finished: Vec<TransferId>,
}

impl Batch {
    /// A batch without anything in it yet.
    pub fn new(partition: u32, expected: Head, recorded_at: DateTime<Utc>) -> Self {
        Self {
            partition,
            expected,
            recorded_at,
            events: Vec::new(),
            keys: Vec::new(),
            calls: Vec::new(),
            started: Vec::new(),
            finished: Vec::new(),
        }
    }

    /// A batch that would change nothing.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.keys.is_empty()
    }

    /// The head after the append.
    pub fn head(&self) -> Head {
        self.events.last().map_or(self.expected, |event| Head {
            position: event.position,
            hash: event.hash,
            recorded_at: event.recorded_at,
        })
    }
}

/// Why the journal did not answer.
#[derive(Debug, Error)]
pub enum JournalError {
    /// It cannot be reached just now.
    #[error("the journal is not available: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// What it holds is not what this version writes.
    #[error("the journal cannot be read: {0}")]
    Corrupt(#[source] Box<dyn Error + Send + Sync>),
}

impl JournalError {
    /// What is kept cannot be read.
    pub fn corrupt(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Corrupt(cause.into())
    }

    pub(crate) fn gap(event: &RecordedEvent) -> Self {
        Self::corrupt(format!(
            "event {}-{} is not the next one of {} {}",
            event.partition, event.position, event.aggregate_type, event.aggregate_id
        ))
    }
}

/// Why a batch was not appended. Nothing of it is kept, save after `Unavailable`: then it is unknown.
#[derive(Debug, Error)]
pub enum AppendError {
    /// Another process wrote to the partition: catch up and decide again.
    #[error("the head of the partition has moved")]
    Moved,
    /// A key of the batch was used before.
    #[error("a key of the batch is kept already")]
    KeyTaken,
    /// The journal refuses the batch itself, whenever it is sent: a defect.
    #[error("the journal rejects the batch: {0}")]
    Rejected(#[source] Box<dyn Error + Send + Sync>),
    /// It cannot be reached just now; the batch may have been appended.
    #[error(transparent)]
    Unavailable(#[from] JournalError),
}

/// The journal of one partition, as its one writer in this process uses it.
#[async_trait]
pub trait PartitionJournal: Send {
    /// The head now, and what came after `known`.
    async fn catch_up(&mut self, known: u64) -> Result<Tail, JournalError>;

    /// The same, and nobody else appends until this writer appends or [`Self::release`]s: so that
    /// under contention every process has its turn.
    async fn lock(&mut self, known: u64) -> Result<Tail, JournalError>;

    /// Lets others append again. Does nothing when the partition is not locked.
    async fn release(&mut self);

    /// Appends the batch if the head is still the expected one, and releases the lock.
    async fn append(&mut self, batch: &Batch) -> Result<(), AppendError>;

    /// The state of each wallet, in the order asked, however long its stream is.
    async fn load_wallets(&mut self, ids: &[WalletId]) -> Result<Vec<WalletRecord>, JournalError>;

    /// Those of the keys that are kept.
    async fn find_keys(&mut self, keys: &[Key]) -> Result<Vec<KeptKey>, JournalError>;

    /// The transfers from this partition that are under way.
    async fn unfinished(&mut self) -> Result<Vec<TransferRecord>, JournalError>;
}

/// The journal of a ledger.
#[async_trait]
pub trait Journal: Send + Sync {
    /// How many partitions the ledger was created with.
    fn partitions(&self) -> u32;

    /// One partition, for its writer.
    fn partition(&self, partition: u32) -> Box<dyn PartitionJournal>;

    /// A transfer by id, whichever partition it lies in.
    async fn transfer(&self, id: TransferId) -> Result<Option<TransferRecord>, JournalError>;

    /// What is on record for a key; `None` if nothing is.
    async fn key(&self, key: &Key) -> Result<Option<KeyRecord>, JournalError>;

    /// Keeps the states, so that loading these wallets needs only the events after them. A state
    /// older than one that is kept is dropped.
    async fn save_snapshots(
        &self,
        wallets: &[(WalletId, WalletRecord)],
    ) -> Result<(), JournalError>;
}

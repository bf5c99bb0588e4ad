//! A fresh journal, in memory or in a real Postgres, and ledgers on it.

use std::sync::Arc;
use std::time::Duration;

use florin_adapters::clock::SystemClock;
use florin_adapters::dev::DatabaseUrls;
use florin_adapters::postgres::follow::{PAGE, heads, page, snapshot};
use florin_adapters::postgres::{PostgresJournal, migrate};
use florin_application::journal::PartitionJournal;
use florin_application::memory::MemoryJournal;
use florin_application::{Journal, Ledger, Settings};
use florin_domain::WalletId;
use florin_domain::journal::RecordedEvent;
use florin_projections::audit::{Findings, Summary, prove};
use sqlx::PgPool;

use crate::cluster::database;

/// How long a test waits for something that must happen.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A journal of its own for one test.
pub enum Store {
    /// In memory.
    Memory(MemoryJournal),
    /// In a database of its own.
    Postgres(Box<PostgresJournal>, DatabaseUrls),
}

impl Store {
    /// A ledger in memory.
    pub async fn memory(partitions: u32) -> Self {
        Self::Memory(MemoryJournal::new(partitions))
    }

    /// A ledger in Postgres.
    pub async fn postgres(partitions: u32) -> Self {
        let urls = database().await;
        migrate(&urls.admin, Some(partitions)).await.unwrap();
        let journal = PostgresJournal::open(&urls.service, Some(partitions)).await.unwrap();
        Self::Postgres(Box::new(journal), urls)
    }

    /// The journal, as another process would open it.
    pub fn journal(&self) -> Arc<dyn Journal> {
        match self {
            Self::Memory(journal) => Arc::new(journal.clone()),
            Self::Postgres(journal, _) => Arc::new(PostgresJournal::clone(journal)),
        }
    }

    /// How many partitions the ledger has.
    pub fn partitions(&self) -> u32 {
        self.journal().partitions()
    }

    /// A process on the journal, as another one would be.
    pub fn process(&self) -> Ledger {
        self.process_with(&Settings::default())
    }

    /// A process with other settings.
    pub fn process_with(&self, settings: &Settings) -> Ledger {
        Ledger::open(self.journal(), Arc::new(SystemClock), settings)
    }

    /// One partition's journal, as a writer has it.
    pub fn partition(&self, partition: u32) -> Box<dyn PartitionJournal> {
        self.journal().partition(partition)
    }

    /// Every event, partition by partition.
    pub async fn events(&self) -> Vec<RecordedEvent> {
        match self {
            Self::Memory(journal) => {
                (0..self.partitions()).flat_map(|partition| journal.events(partition)).collect()
            }
            Self::Postgres(journal, _) => recorded(journal.pool()).await,
        }
    }

    /// The names of the events of one stream, in order.
    pub async fn stream(&self, id: &str) -> Vec<String> {
        let events = self.events().await;
        let of_stream = events.iter().filter(|event| *event.aggregate_id == *id);
        of_stream.map(|event| event.event_type.to_string()).collect()
    }

    /// Proves the journal; panics with the problems.
    pub async fn audit(&self) -> Summary {
        let Findings { summary, problems, .. } = prove(self.events().await);
        assert!(problems.is_empty(), "{problems:?}");
        summary
    }
}

/// Every event in Postgres as of one moment, partition by partition.
pub async fn recorded(pool: &PgPool) -> Vec<RecordedEvent> {
    newest(pool, u64::MAX).await
}

/// The last so many events of each partition.
pub async fn newest(pool: &PgPool, count: u64) -> Vec<RecordedEvent> {
    let mut snapshot = snapshot(pool).await.unwrap();
    let mut events = Vec::new();
    for (partition, head, _) in heads(&mut *snapshot).await.unwrap() {
        let mut position = head.saturating_sub(count);
        loop {
            let page = page(&mut *snapshot, partition, position, PAGE).await.unwrap();
            let Some(last) = page.last() else { break };
            position = last.position;
            events.extend(page);
        }
    }
    events
}

/// Waits until the condition gives a value; says the last state when it does not in time.
pub async fn eventually<T, S: std::fmt::Debug>(
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(state) if tokio::time::Instant::now() > deadline => {
                panic!("not in {DEADLINE:?}: {what}; last seen: {state:?}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The balance of a wallet, as text.
pub async fn balance_of(ledger: &Ledger, id: &WalletId) -> String {
    ledger.wallet(id).await.unwrap().map(|w| w.account.balance.to_string()).unwrap_or_default()
}

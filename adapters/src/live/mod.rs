//! The journal as it grows, for whoever wants to be told: any number of readers, each of which sees
//! every event that it wants exactly once and in order, from any position on.
//!
//! ```text
//! heads ─wake─▶ follow: one read for all ─▶ partition ─┬─▶ reader ─▶ stream ─▶ client
//!                                           newest     │   queue      ▲
//! journal ─── pages, at the client's pace ─────────────┼──────────────┘ until it is near the end
//! ```
//!
//! A stream reads pages of the journal until it is where its partitions are. Then it joins them:
//! what they have handed on since its last page is still at hand, and what comes from there on is put
//! into its queue, under one lock, so that nothing is lost and nothing comes twice. While nobody
//! reads, nobody follows.
//!
//! | who is slow | what happens |
//! |---|---|
//! | a reader that catches up | its next page is read when it has taken the last one |
//! | a reader whose queue is full | its queue is thrown away, and its stream ends: [`End::Slow`] |
//! | Postgres | streams wait, with [`BACKOFF`] between two tries, and go on where they were |
//!
//! Bounds: [`Bounds`], [`KEPT`] events in memory besides the queues, [`HELD`] bytes in all queues,
//! [`CONNECTIONS`] to Postgres.

mod catch_up;
mod event;
mod follow;
mod page;
mod partition;
mod reader;
mod stream;
mod types;
mod wanted;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use florin_application::journal::JournalError;
use sqlx::PgPool;
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::postgres::{ConnectError, connect_sized, follow as journal};
use follow::Followers;
use partition::Partition;

pub use event::LiveEvent;
pub use page::Page;
pub use stream::{End, Step, Stream};
pub use types::Types;
pub use wanted::Wanted;

/// How many events are at hand, over all partitions: half a second under full load, some 10 MB.
const KEPT: usize = 8_192;

/// How many bytes the events in all queues have together. Beyond, whoever is more than a few events
/// behind counts as slow.
const HELD: usize = 128 * 1024 * 1024;

/// How many streams ask Postgres at once, where the journal ends or for a page; others wait for
/// their turn. So a thousand that come at the same time keep nobody from what is new.
const ASK_AT_ONCE: usize = 3;

/// Connections to Postgres: for those, two to follow the heads, and one to read what is new.
const CONNECTIONS: u32 = 6;

/// The first and the longest wait before Postgres is asked again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What bounds the streams of a process.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many streams there are at once.
    pub streams: usize,
    /// How many events wait for a reader of one wallet.
    pub wallet_queue: usize,
    /// How many events wait for a reader of all wallets.
    pub ledger_queue: usize,
    /// How long a stream is silent.
    pub heartbeat: Duration,
    /// How long a stream lasts.
    pub age: Duration,
}

impl Bounds {
    /// Streams: half of the connections, so that they leave room for commands. Queues: what a client
    /// of one wallet is behind after a moment without network, some 0.7 MB; and of the whole ledger
    /// what is kept anyway, so that such a queue holds nothing by itself. Heartbeat: half of the
    /// silence that proxies commonly allow. Age: so that clients spread over new processes within a
    /// day.
    pub const SERVICE: Self = Self {
        streams: 4_096,
        wallet_queue: 1_024,
        ledger_queue: KEPT,
        heartbeat: Duration::from_secs(15),
        age: Duration::from_secs(6 * 60 * 60),
    };
}

/// There is no room for another stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{streams} streams are open, as many as there may be")]
pub struct Full {
    /// How many there are.
    pub streams: usize,
}

/// The streams of a process. Cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Hub>);

/// What streams and followers share.
struct Hub {
    pool: PgPool,
    bounds: Bounds,
    partitions: Vec<Partition>,
    /// The bytes of all events that somebody holds.
    held: Arc<AtomicUsize>,
    streams: Arc<Semaphore>,
    turns: Semaphore,
    /// Held by each stream.
    followers: Mutex<Weak<Followers>>,
    stopping: watch::Sender<bool>,
}

impl Hub {
    /// Waits for one's turn to ask Postgres.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, JournalError> {
        self.turns.acquire().await.map_err(JournalError::corrupt)
    }

    /// Those who follow the journal, begun if nobody has read.
    fn followers(self: &Arc<Self>) -> Arc<Followers> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.upgrade().unwrap_or_else(|| {
            let begun = Arc::new(Followers::start(self));
            *followers = Arc::downgrade(&begun);
            begun
        })
    }
}

impl Live {
    /// Without a stream yet. Postgres may be away.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL is malformed.
    pub fn start(database_url: &str, partitions: u32) -> Result<Self, ConnectError> {
        Self::start_within(Bounds::SERVICE, database_url, partitions)
    }

    /// The same within other bounds.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL is malformed.
    pub fn start_within(
        bounds: Bounds,
        database_url: &str,
        partitions: u32,
    ) -> Result<Self, ConnectError> {
        let pool = connect_sized(database_url, CONNECTIONS)?;
        let kept = KEPT / partitions.max(1) as usize;
        Ok(Self(Arc::new(Hub {
            pool,
            bounds,
            partitions: (0..partitions).map(|_| Partition::new(kept)).collect(),
            held: Arc::default(),
            streams: Arc::new(Semaphore::new(bounds.streams)),
            turns: Semaphore::new(ASK_AT_ONCE),
            followers: Mutex::default(),
            stopping: watch::Sender::new(false),
        })))
    }

    /// How many partitions the ledger has.
    pub fn partitions(&self) -> u32 {
        u32::try_from(self.0.partitions.len()).unwrap_or(u32::MAX)
    }

    /// Where the journal ends now, by partition.
    ///
    /// # Errors
    /// [`JournalError`] when Postgres is away.
    pub async fn now(&self) -> Result<Vec<u64>, JournalError> {
        let _turn = self.0.turn().await?;
        let heads = journal::heads(&self.0.pool).await?;
        Ok(heads.into_iter().map(|(_, position, _)| position).collect())
    }

    /// Opens a stream of what is wanted, after these positions, one for each of its partitions. Up
    /// to where the journal ends `now`, it reads pages.
    ///
    /// # Errors
    /// [`Full`].
    pub fn open(&self, wanted: Wanted, after: &[u64], now: &[u64]) -> Result<Stream, Full> {
        let hub = Arc::clone(&self.0);
        let full = Full { streams: hub.bounds.streams };
        let place = Arc::clone(&hub.streams).try_acquire_owned().map_err(|_| full)?;
        Ok(Stream::new(hub, place, wanted, after, now))
    }

    /// Ends every stream, and each that is opened from now on at once.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }
}

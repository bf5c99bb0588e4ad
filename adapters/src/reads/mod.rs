//! What clients read: the read models, each with a position that the answer is at least as of.
//!
//! ```text
//! GET ─▶ how far must the model be? ─▶ wait ─▶ cache, or Postgres ─▶ answer, as of a position
//!        asked for, and told before      ▲        ▲
//!                            board ──────┘        │
//! batches ─announce▶ follow ─▶ cache: old rows out┘
//! ```
//!
//! - **Read your writes**: a client that names a position is answered from there on. Without asking,
//!   whoever is told of a wallet's event by this process is told no less of that wallet afterwards
//!   ([`told`]), by whichever model.
//! - **Nothing goes back in time**: for the same reason, and because a position is compared with
//!   the one in the answer's own statement, also when a crash of Postgres took a model back.
//! - **Ready means caught up**: see [`warm`].
//!
//! Bounds: a read waits [`WAIT`], then it is [`ReadError::Behind`]; [`CONNECTIONS`] to Postgres besides
//! the one that listens; so many balances in memory as configured, about 1 KB each.

mod board;
mod cache;
mod follow;
mod standing;
mod told;
mod warm;

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use florin_domain::{WalletId, partition_of};
use florin_projections::balance::{self, Balance, WalletList};
use florin_projections::checkpoint::ReadAt;
use florin_projections::fraud::Fraud;
use florin_projections::fraud::review::{self, AlertList, Cursor};
use florin_projections::history::{self, History, Page, Period, Place, Statement};
use florin_projections::read_model::ReadModel;
use florin_projections::stats::{self, Days, Stats, WalletStats};
use sqlx::PgPool;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::postgres::{ConnectError, connect_sized};
use crate::telemetry::metrics::recorded;
use board::Board;
use cache::Cache;
use told::Told;

pub use cache::KnownWallet;
pub use standing::{RelayStanding, Standing, Standings, StandingsError, State, standings};
pub use warm::WARM_UP;

/// How long a read waits for its model: some seconds of lag are nothing unusual after an outage, and
/// whoever waits for longer is better told.
pub const WAIT: Duration = Duration::from_secs(5);

/// How many connections serve reads: more than there are processors, few enough for several
/// processes on one Postgres.
pub const CONNECTIONS: u32 = 8;

/// How long to wait before the table is asked again when it is behind what was announced: a crash
/// took the model back, and it comes again.
const AGAIN: Duration = Duration::from_millis(20);

/// How many balances are kept in memory when nobody says otherwise.
pub const CACHED_BALANCES: usize = 50_000;

/// Why a read has no answer.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The model has not come so far in time.
    #[error("{model} is at {position} of partition {partition}, and not at {wanted}")]
    Behind {
        /// Which.
        model: &'static str,
        /// Where.
        partition: u32,
        /// Where it is.
        position: u64,
        /// Where it should be.
        wanted: u64,
    },
    /// The position did not come in time, and nobody would have heard of it: Postgres is away.
    #[error("the read models cannot be followed")]
    Unfollowed,
    /// Postgres is away.
    #[error("Postgres is away: {0}")]
    Away(#[from] sqlx::Error),
}

/// Something that is known as of a position in each partition that it is about.
pub trait AsOf {
    /// The position; 0 in a partition that the model has not begun with.
    fn position_in(&self, partition: u32) -> u64;
}

impl<T> AsOf for (Option<T>, ReadAt) {
    fn position_in(&self, _: u32) -> u64 {
        self.1.position
    }
}

impl AsOf for Page {
    fn position_in(&self, _: u32) -> u64 {
        self.at.position
    }
}

impl AsOf for Statement {
    fn position_in(&self, _: u32) -> u64 {
        self.at.position
    }
}

impl AsOf for WalletList {
    fn position_in(&self, partition: u32) -> u64 {
        position_among(&self.positions, partition)
    }
}

impl AsOf for AlertList {
    fn position_in(&self, partition: u32) -> u64 {
        position_among(&self.positions, partition)
    }
}

fn position_among(positions: &[(u32, u64)], partition: u32) -> u64 {
    let found = positions.iter().find(|(of, _)| *of == partition);
    found.map_or(0, |(_, position)| *position)
}

/// A wallet, if there is one, and what that is as of.
#[derive(Debug, Clone)]
pub struct Found {
    /// The wallet.
    pub wallet: Option<Arc<KnownWallet>>,
    /// Where it lies, or would.
    pub partition: u32,
    /// The position.
    pub position: u64,
}

/// A wallet's sums, and why it is suspicious if it is.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The sums; none of a wallet that is not known.
    pub stats: Option<WalletStats>,
    /// One sentence a reason, newest first; none if it is not suspicious.
    pub suspicion: Option<Vec<String>>,
    /// What they are as of.
    pub at: ReadAt,
}

/// The reading side of a process. Cheap to clone; it follows the models until the last clone is gone.
#[derive(Clone)]
pub struct Reads {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    partitions: u32,
    board: Arc<Board>,
    cache: Arc<Cache>,
    told: Told,
    is_warm: watch::Receiver<bool>,
    _tasks: Tasks,
}

/// What follows the models; it ends with them.
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Inner {
    /// With nobody yet who looks where the models are.
    fn unmoved(
        database_url: &str,
        partitions: u32,
        cached_balances: usize,
    ) -> Result<(Self, watch::Sender<bool>), ConnectError> {
        let max = NonZeroUsize::new(cached_balances).unwrap_or(NonZeroUsize::MIN);
        let (warmed, is_warm) = watch::channel(false);
        let inner = Self {
            pool: connect_sized(database_url, CONNECTIONS + 1)?,
            partitions,
            board: Arc::new(Board::new(partitions)),
            cache: Arc::new(Cache::new(max)),
            told: Told::new(partitions),
            is_warm,
            _tasks: Tasks(Vec::new()),
        };
        Ok((inner, warmed))
    }
}

impl Reads {
    /// Begins to follow. Postgres may be away.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL is malformed.
    pub fn start(
        database_url: &str,
        partitions: u32,
        cached_balances: usize,
    ) -> Result<Self, ConnectError> {
        let (inner, warmed) = Inner::unmoved(database_url, partitions, cached_balances)?;
        let (board, cache) = (Arc::clone(&inner.board), Arc::clone(&inner.cache));
        let warming = warm::warm_up(inner.pool.clone(), Arc::clone(&board), warmed);
        let following = follow::follow(inner.pool.clone(), partitions, board, cache);
        let _tasks = Tasks(vec![tokio::spawn(following), tokio::spawn(warming)]);
        Ok(Self { inner: Arc::new(Inner { _tasks, ..inner }) })
    }

    /// The same of read models that stand still.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL is malformed.
    pub fn still(
        database_url: &str,
        partitions: u32,
        cached_balances: usize,
    ) -> Result<Self, ConnectError> {
        let (inner, warmed) = Inner::unmoved(database_url, partitions, cached_balances)?;
        let (board, cache) = (Arc::clone(&inner.board), Arc::clone(&inner.cache));
        let look = follow::look_once(inner.pool.clone(), partitions, board, cache, warmed);
        let _tasks = Tasks(vec![tokio::spawn(look)]);
        Ok(Self { inner: Arc::new(Inner { _tasks, ..inner }) })
    }

    /// Whether the models have come, in time or not, to where the journal was at the start.
    pub fn is_warm(&self) -> bool {
        *self.inner.is_warm.borrow()
    }

    /// Where a wallet lies.
    pub fn partition_of(&self, wallet: &WalletId) -> u32 {
        partition_of(wallet, self.inner.partitions)
    }

    /// How many partitions the ledger has.
    pub fn partitions(&self) -> u32 {
        self.inner.partitions
    }

    /// A client is told of a wallet's event there, and is told no less from now on.
    pub fn tell(&self, wallet: &WalletId, partition: u32, position: u64) {
        self.inner.told.tell(wallet, partition, position);
    }

    /// A wallet, from memory if it is there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn wallet(&self, id: &WalletId, least: u64) -> Result<Found, ReadError> {
        let Inner { cache, pool, .. } = &*self.inner;
        let (partition, floor) = self.floor_of(id, least);
        if let Some((wallet, position)) = cache.get(id.as_str())
            && position >= floor
        {
            recorded::wallet_read(true);
            return Ok(Found { wallet: Some(wallet), partition, position });
        }
        recorded::wallet_read(false);
        let read = || async move {
            let ticket = cache.ticket();
            let (row, at) = balance::wallet(pool, partition, id).await?;
            Ok((row.map(|row| (ticket, row)), at))
        };
        let floors = [(partition, floor)];
        let (row, at) = self.as_of(Balance::NAME, &floors, self.deadline(), read).await?;
        let wallet = row.map(|(ticket, row)| {
            let wallet = Arc::new(KnownWallet { row, at, text: OnceLock::new() });
            self.tell(id, partition, wallet.row.position);
            cache.keep(ticket, &wallet);
            wallet
        });
        Ok(Found { wallet, partition, position: at.position })
    }

    /// A page of the wallets; `least` as [`Self::wallet`] has it, by partition.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn wallets(
        &self,
        least: &[(u32, u64)],
        filter: &balance::Filter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<WalletList, ReadError> {
        let (pool, floors) = (&self.inner.pool, self.floors_of_all(least));
        let read = || async move { Ok(balance::list(pool, filter, after, limit).await?) };
        let list = self.as_of(Balance::NAME, &floors, self.deadline(), read).await?;
        for row in &list.wallets {
            if let Ok(id) = row.wallet_id.parse() {
                self.tell(&id, row.partition, row.position);
            }
        }
        Ok(list)
    }

    /// A page of a wallet's history; empty for a wallet that is not known.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn history(
        &self,
        id: &WalletId,
        least: u64,
        filter: &history::Filter,
        place: Place,
        limit: u32,
    ) -> Result<Page, ReadError> {
        let Inner { pool, .. } = &*self.inner;
        let (partition, floor) = self.floor_of(id, least);
        let read =
            || async move { Ok(history::page(pool, partition, id, filter, place, limit).await?) };
        let floors = [(partition, floor)];
        let page = self.as_of(History::NAME, &floors, self.deadline(), read).await?;
        if let Some(newest) = page.entries.first() {
            self.tell(id, partition, newest.position);
        }
        Ok(page)
    }

    /// A wallet's statement; empty for a wallet that is not known.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn statement(
        &self,
        id: &WalletId,
        least: u64,
        period: Period,
    ) -> Result<Statement, ReadError> {
        let Inner { pool, .. } = &*self.inner;
        let (partition, floor) = self.floor_of(id, least);
        let read = || async move { Ok(history::statement(pool, partition, id, period).await?) };
        let floors = [(partition, floor)];
        let statement = self.as_of(History::NAME, &floors, self.deadline(), read).await?;
        if let Some(newest) = statement.entries.last() {
            self.tell(id, partition, newest.position);
        }
        Ok(statement)
    }

    /// A wallet's sums, the days on which its money moved, and whether it is suspicious.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn stats(&self, id: &WalletId, least: u64, days: Days) -> Result<Summary, ReadError> {
        let Inner { pool, .. } = &*self.inner;
        let (partition, floor) = self.floor_of(id, least);
        let (floors, deadline) = ([(partition, floor)], self.deadline());
        let read = || async move { Ok(stats::wallet(pool, partition, id, days).await?) };
        let (stats, at) = self.as_of(Stats::NAME, &floors, deadline, read).await?;
        self.reached(Fraud::NAME, &floors, deadline).await?;
        let suspicion = review::suspicion(pool, id).await?;
        if stats.is_some() {
            // The sums do not say which event they end with.
            self.tell(id, partition, at.position);
        }
        Ok(Summary { stats, suspicion, at })
    }

    /// A page of the alerts.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn alerts(
        &self,
        least: &[(u32, u64)],
        filter: &review::Filter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<AlertList, ReadError> {
        let floors = match &filter.wallet {
            None => self.floors_of_all(least),
            Some(wallet) => {
                let (partition, told) = self.floor_of(wallet, 0);
                least.iter().copied().chain([(partition, told)]).collect()
            }
        };
        let pool = &self.inner.pool;
        let read = || async move { Ok(review::list(pool, filter, after, limit).await?) };
        let list = self.as_of(Fraud::NAME, &floors, self.deadline(), read).await?;
        for alert in list.alerts.iter().map(|reviewed| &reviewed.alert) {
            self.tell(&alert.wallet, alert.event.partition, alert.event.position);
        }
        Ok(list)
    }

    /// Waits until models have these positions, for what is read elsewhere; what all of them have, by
    /// partition, as far as it is known.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn wait_for(
        &self,
        models: &[&'static str],
        least: &[(u32, u64)],
    ) -> Result<Vec<(u32, u64)>, ReadError> {
        let deadline = self.deadline();
        for model in models {
            self.reached(model, least, deadline).await?;
        }
        let position = |partition| {
            let positions = models.iter().map(|model| self.inner.board.position(model, partition));
            (partition, positions.min().unwrap_or(0))
        };
        Ok((0..self.inner.partitions).map(position).collect())
    }

    fn deadline(&self) -> Instant {
        Instant::now() + WAIT
    }

    fn floor_of(&self, wallet: &WalletId, least: u64) -> (u32, u64) {
        let partition = self.partition_of(wallet);
        (partition, self.inner.told.of_wallet(wallet, partition).max(least))
    }

    /// What was asked for, and what was told of any wallet.
    fn floors_of_all(&self, least: &[(u32, u64)]) -> Vec<(u32, u64)> {
        let told = (0..).zip(self.inner.told.of_all());
        least.iter().copied().chain(told).collect()
    }

    /// Waits until a model has these positions.
    async fn reached(
        &self,
        model: &'static str,
        floors: &[(u32, u64)],
        deadline: Instant,
    ) -> Result<(), ReadError> {
        for (partition, wanted) in floors.iter().copied().filter(|(_, wanted)| *wanted > 0) {
            if !self.inner.board.reached(model, partition, wanted, deadline).await {
                if !self.inner.board.is_followed() {
                    return Err(ReadError::Unfollowed);
                }
                let position = self.inner.board.position(model, partition);
                return Err(ReadError::Behind { model, partition, position, wanted });
            }
        }
        Ok(())
    }

    /// Reads what is as of these positions.
    async fn as_of<T: AsOf, F: Future<Output = Result<T, ReadError>>>(
        &self,
        model: &'static str,
        floors: &[(u32, u64)],
        deadline: Instant,
        read: impl Fn() -> F,
    ) -> Result<T, ReadError> {
        loop {
            self.reached(model, floors, deadline).await?;
            let answer = read().await?;
            let older = floors.iter().find(|(of, wanted)| answer.position_in(*of) < *wanted);
            let Some((partition, wanted)) = older.copied() else { return Ok(answer) };
            if Instant::now() >= deadline {
                let position = answer.position_in(partition);
                return Err(ReadError::Behind { model, partition, position, wanted });
            }
            sleep(AGAIN).await;
        }
    }
}

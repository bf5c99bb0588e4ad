//! Leases: what only one process may do at a time, taken over when that process dies.
//!
//! ```text
//! Leases ── one task, one connection ── every second ── one statement: renew mine, take what is free
//!    └ run(name, work): hold ─▶ work ─▶ lost: work is dropped ─▶ hold again …
//! ```
//!
//! - **By the database's clock** a lease ends [`TTL`] after it was renewed; by then its holder has
//!   stopped: it counts its own monotonic time from *before* the renewal was sent, and gives up
//!   [`MARGIN`] early. So no two processes work under one lease, however their clocks are set.
//! - **Work is stopped by dropping it** at its next `await`. What it writes must therefore be
//!   conditional or in a transaction, which also covers a process that was frozen meanwhile.
//! - **Shares are even**: every process holds a lease of its own besides, so each can count the
//!   others, and who has more than its share gives the surplus back for another to take. All
//!   processes are taken to want the same.
//!
//! Bounds: takeover after a `kill -9` within [`TTL`] + [`BEAT`], after a graceful stop within [`BEAT`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use florin_application::journal::JournalError;
use sqlx::{PgExecutor, PgPool};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use uuid::Uuid;

use super::row::{column, read_error};

/// How long a lease lasts without renewal. Three renewals may fail before it is lost, and a takeover
/// stays well within five seconds, on a busy machine too.
pub const TTL: Duration = Duration::from_millis(2500);

/// How often leases are renewed, and free ones are looked for.
pub const BEAT: Duration = Duration::from_millis(500);

/// How long before its end a holder stops by itself: what a task may take to come to its next
/// `await` on a busy machine.
const MARGIN: Duration = Duration::from_millis(500);

/// How long one statement may take. The next one could still save the lease.
const STATEMENT_WAIT: Duration = Duration::from_secs(1);

/// Under which every process holds a lease of its own, to be counted.
const PROCESS: &str = "process:";

/// Renews what is ours (`$1`), takes `$4` of what is wanted (`$5`) and free or run out, and says what is
/// ours now and how many other processes there are. In the order of the names, so that two processes
/// never wait for each other crosswise.
const BEAT_STATEMENT: &str = "
WITH free AS (
  SELECT name FROM unnest($5::text[]) AS wanted (name) LEFT JOIN leases USING (name)
   WHERE coalesce(expires_at <= clock_timestamp(), true) ORDER BY name LIMIT $4),
ours AS (
  INSERT INTO leases AS l (name, holder, expires_at, acquired_at)
  SELECT name, $2, clock_timestamp() + $3, clock_timestamp()
    FROM (SELECT unnest($1::text[]) AS name UNION SELECT name FROM free) AS asked ORDER BY name
  ON CONFLICT (name) DO UPDATE
     SET holder = excluded.holder, expires_at = excluded.expires_at,
         acquired_at = CASE WHEN l.holder = excluded.holder AND l.expires_at > clock_timestamp()
                            THEN l.acquired_at ELSE excluded.acquired_at END
   WHERE l.holder = excluded.holder OR l.expires_at <= clock_timestamp()
  RETURNING name)
SELECT array(SELECT name FROM ours) AS names,
       (SELECT count(*) FROM leases
         WHERE name LIKE 'process:%' AND holder <> $2 AND expires_at > clock_timestamp()) AS others";

/// The leases of this process.
#[derive(Clone)]
pub struct Leases {
    shared: Arc<Shared>,
    keeper: Arc<Keeper>,
}

struct Shared {
    pool: PgPool,
    holder: String,
    wishes: Mutex<BTreeMap<String, watch::Sender<Hold>>>,
    /// Somebody wants a lease, or no longer wants one.
    changed: Notify,
}

/// The task that renews; it ends with the last handle.
struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Until when a lease is ours, by this process's monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
struct Hold {
    until: Option<Instant>,
}

impl Hold {
    fn is_good(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

/// A lease, as anybody may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseHolder {
    /// What is held.
    pub name: String,
    /// By which process.
    pub holder: String,
    /// Since when.
    pub acquired_at: DateTime<Utc>,
}

/// Every lease that has not run out, by name.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn holders(executor: impl PgExecutor<'_>) -> Result<Vec<LeaseHolder>, JournalError> {
    let rows = sqlx::query(
        "SELECT name, holder, acquired_at FROM leases
          WHERE expires_at > clock_timestamp() AND name NOT LIKE 'process:%' ORDER BY name",
    )
    .fetch_all(executor)
    .await
    .map_err(read_error)?;
    rows.iter()
        .map(|row| {
            Ok(LeaseHolder {
                name: column(row, "name")?,
                holder: column(row, "holder")?,
                acquired_at: column(row, "acquired_at")?,
            })
        })
        .collect()
}

impl Leases {
    /// Begins to hold leases for this process. The pool should have a connection for it alone: a
    /// renewal that waits for one may come too late.
    pub fn start(pool: PgPool) -> Self {
        let holder = format!("{}-{}", std::process::id(), Uuid::now_v7());
        let shared = Arc::new(Shared {
            pool,
            holder,
            wishes: Mutex::new(BTreeMap::new()),
            changed: Notify::new(),
        });
        let keeper = Arc::new(Keeper(tokio::spawn(keep(Arc::clone(&shared)))));
        Self { shared, keeper }
    }

    /// By what name this process holds leases.
    pub fn holder(&self) -> &str {
        &self.shared.holder
    }

    /// Does the work while this process holds the lease; drops it when the lease is lost, and begins
    /// anew when it is held again. Returns what the work returns, and gives the lease back.
    ///
    /// One call a name at a time: a second one would work under the same lease.
    pub async fn run<T, F: Future<Output = T>>(
        &self,
        name: &str,
        mut work: impl FnMut() -> F,
    ) -> T {
        let mut wish = self.wish(name);
        loop {
            wish.held().await;
            tracing::info!(lease = name, "held");
            tokio::select! {
                // First, because work that is always ready would never let go.
                biased;
                () = wish.lost() => tracing::info!(lease = name, "no longer held"),
                done = work() => return done,
            }
        }
    }

    /// Gives every lease back. What runs under them must have ended.
    pub async fn stop(self) {
        self.keeper.0.abort();
        let back = sqlx::query("DELETE FROM leases WHERE holder = $1")
            .bind(&self.shared.holder)
            .execute(&self.shared.pool);
        // If it cannot be done they run out by themselves.
        let _ = timeout(STATEMENT_WAIT, back).await;
    }

    fn wish(&self, name: &str) -> Wish {
        let (sender, hold) = watch::channel(Hold::default());
        self.shared.wishes().insert(name.to_owned(), sender);
        self.shared.changed.notify_one();
        Wish { name: name.to_owned(), hold, shared: Arc::clone(&self.shared) }
    }
}

/// One lease that is wanted here; dropping it ends that.
struct Wish {
    name: String,
    hold: watch::Receiver<Hold>,
    shared: Arc<Shared>,
}

impl Wish {
    async fn held(&mut self) {
        if self.hold.wait_for(Hold::is_good).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until the lease is not renewed in time, or is given back.
    async fn lost(&mut self) {
        loop {
            let Hold { until: Some(until) } = *self.hold.borrow_and_update() else { return };
            tokio::select! {
                () = sleep_until(until) => return,
                changed = self.hold.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.shared.wishes().remove(&self.name);
        self.shared.changed.notify_one();
    }
}

impl Shared {
    /// The lock is held for moments only, and nothing in them can leave the map half changed.
    fn wishes(&self) -> MutexGuard<'_, BTreeMap<String, watch::Sender<Hold>>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews, takes and gives back, for as long as the process lives.
async fn keep(shared: Arc<Shared>) {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut state = Beat::default();
    let mut is_away = false;
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = shared.changed.notified() => {}
        }
        let done = timeout(STATEMENT_WAIT, state.once(&shared)).await;
        let done = done.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        match (&done, is_away) {
            (Err(error), false) => tracing::warn!(%error, "leases cannot be renewed"),
            (Ok(()), true) => tracing::info!("leases are renewed again"),
            (Ok(()), false) | (Err(_), true) => {}
        }
        is_away = done.is_err();
    }
}

/// What the last beat found.
#[derive(Default)]
struct Beat {
    /// Ours, and worked under.
    held: BTreeSet<String>,
    /// More than our share, and when whoever works under them was told to stop.
    leaving: BTreeMap<String, Instant>,
    /// How many other processes there are, once it is known.
    others: Option<usize>,
}

impl Beat {
    async fn once(&mut self, shared: &Shared) -> Result<(), sqlx::Error> {
        let wanted: BTreeSet<String> = shared.wishes().keys().cloned().collect();
        self.give_back(shared, &wanted).await?;
        let share = |others: usize| wanted.len().div_ceil(others + 1);
        // None until the others have been counted: the first beat only shows them that we are here.
        let room = self.others.map_or(0, share).saturating_sub(self.held.len());
        let is_free =
            |name: &&String| !self.held.contains(*name) && !self.leaving.contains_key(*name);
        let free: Vec<String> = wanted.iter().filter(is_free).cloned().collect();
        let sent = Instant::now();
        let others = self.renew(shared, &free, room).await?;
        if self.others.replace(others).is_none() {
            shared.changed.notify_one();
        }
        let surplus = self.held.len().saturating_sub(share(others));
        let leaving: Vec<String> = self.held.iter().rev().take(surplus).cloned().collect();
        self.held.retain(|name| !leaving.contains(name));
        self.tell(shared, sent + (TTL - MARGIN));
        self.leaving.extend(leaving.into_iter().map(|name| (name, Instant::now())));
        Ok(())
    }

    /// Gives back what nobody works under: what is no longer wanted, and what was left a while ago.
    async fn give_back(
        &mut self,
        shared: &Shared,
        wanted: &BTreeSet<String>,
    ) -> Result<(), sqlx::Error> {
        let left = self.leaving.iter().filter(|(_, told)| told.elapsed() >= MARGIN);
        let left = left.map(|(name, _)| name);
        let names: Vec<String> = self.held.difference(wanted).chain(left).cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        sqlx::query("DELETE FROM leases WHERE holder = $1 AND name = ANY ($2)")
            .bind(&shared.holder)
            .bind(&names)
            .execute(&shared.pool)
            .await?;
        for name in names {
            self.held.remove(&name);
            self.leaving.remove(&name);
        }
        Ok(())
    }

    /// Renews what is ours and takes up to `room` of what is free; returns the number of others.
    async fn renew(
        &mut self,
        shared: &Shared,
        free: &[String],
        room: usize,
    ) -> Result<usize, sqlx::Error> {
        let process = format!("{PROCESS}{}", shared.holder);
        let mut ours: Vec<&str> = self.held.iter().map(String::as_str).collect();
        ours.push(&process);
        let (names, others): (Vec<String>, i64) = sqlx::query_as(BEAT_STATEMENT)
            .bind(&ours)
            .bind(&shared.holder)
            .bind(TTL)
            .bind(i64::try_from(room).unwrap_or(i64::MAX))
            .bind(free)
            .fetch_one(&shared.pool)
            .await?;
        self.held = names.into_iter().filter(|name| *name != process).collect();
        Ok(usize::try_from(others).unwrap_or(0))
    }

    /// Says to everybody who wants a lease until when it is theirs.
    fn tell(&self, shared: &Shared, until: Instant) {
        for (name, wish) in &*shared.wishes() {
            let until = self.held.contains(name).then_some(until);
            wish.send_if_modified(|hold| std::mem::replace(&mut hold.until, until) != until);
        }
    }
}

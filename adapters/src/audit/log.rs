//! Keeps the calls that led to no append: what was refused, repeated or never reached the ledger.
//!
//! They gather for a tenth of a second and go in one insert. While Postgres is away they wait, up to
//! a bound; what comes beyond it is lost, counted, and said to be, because a call must not wait for
//! its record. Nothing comes here of callers who ask for more than they may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use florin_application::audit::AuditRow;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::postgres::calls;
use crate::telemetry::metrics::recorded;

/// How many calls wait at most: some ten megabytes of ordinary calls, and 400 MB of the largest.
const QUEUE: usize = 8192;

/// How many are inserted at once: some ten milliseconds of Postgres.
const BATCH: usize = 1000;

/// How long they gather. With the insert it leaves most of the second that a record may take.
const GATHER: Duration = Duration::from_millis(100);

/// The first and the longest wait for a Postgres that is away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How long the end of the process waits for what is not kept yet.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Where such calls go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditLog {
    rows: mpsc::Sender<AuditRow>,
    lost: Arc<AtomicU64>,
    keeper: Arc<Mutex<Option<JoinHandle<()>>>>,
    stop: mpsc::Sender<()>,
}

impl AuditLog {
    /// Begins to keep what is [`Self::record`]ed.
    pub fn start(pool: PgPool) -> Self {
        let (rows, queued) = mpsc::channel(QUEUE);
        let (stop, stopped) = mpsc::channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let keeper = Keeper { pool, lost: Arc::clone(&lost) };
        let keeper = tokio::spawn(keeper.run(queued, stopped));
        Self { rows, lost, keeper: Arc::new(Mutex::new(Some(keeper))), stop }
    }

    /// Keeps a call soon, if there is room.
    pub fn record(&self, row: AuditRow) {
        if self.rows.try_send(row).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps what is queued, within a bounded time; nothing is taken any more.
    pub async fn stop(&self) {
        // One stop is enough.
        let _ = self.stop.try_send(());
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(keeper) = keeper else { return };
        let abort = keeper.abort_handle();
        if timeout(STOP_WAIT, keeper).await.is_err() {
            abort.abort();
            let queued = QUEUE - self.rows.capacity();
            tracing::error!(queued, "calls are not on record: Postgres is away at the end");
        }
        tell_lost(&self.lost);
    }
}

struct Keeper {
    pool: PgPool,
    lost: Arc<AtomicU64>,
}

impl Keeper {
    async fn run(self, mut queued: mpsc::Receiver<AuditRow>, mut stopped: mpsc::Receiver<()>) {
        let mut rows = Vec::new();
        loop {
            // Closed, the queue is taken to its end.
            tokio::select! {
                biased;
                _ = stopped.recv(), if !queued.is_closed() => queued.close(),
                taken = queued.recv_many(&mut rows, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    self.gather(&mut queued, &mut stopped, &mut rows).await;
                    self.keep(&rows).await;
                    rows.clear();
                    tell_lost(&self.lost);
                }
            }
        }
    }

    /// Takes what comes within the time.
    async fn gather(
        &self,
        queued: &mut mpsc::Receiver<AuditRow>,
        stopped: &mut mpsc::Receiver<()>,
        rows: &mut Vec<AuditRow>,
    ) {
        let filling = async {
            while rows.len() < BATCH {
                let room = BATCH - rows.len();
                if queued.recv_many(rows, room).await == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            _ = stopped.recv() => {}
            _ = timeout(GATHER, filling) => return,
        }
        queued.close();
    }

    /// Inserts them, however long Postgres is away.
    async fn keep(&self, rows: &[AuditRow]) {
        let mut wait = BACKOFF.0;
        while let Err(cause) = calls::record(&self.pool, rows).await {
            if is_of_a_row(&cause) {
                return Box::pin(self.keep_apart(rows, &cause)).await;
            }
            tracing::warn!(%cause, "calls wait to be recorded");
            sleep(wait).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
        // An append that comes late leaves them as they are.
        rows.iter().for_each(AuditRow::kept);
    }

    /// One of them cannot be kept: finds it by halves.
    async fn keep_apart(&self, rows: &[AuditRow], cause: &sqlx::Error) {
        if let [row] = rows {
            tracing::error!(%cause, id = %row.entry.call.id, "a call cannot be recorded");
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (front, back) = rows.split_at(rows.len() / 2);
        self.keep(front).await;
        self.keep(back).await;
    }
}

fn tell_lost(lost: &AtomicU64) {
    let lost = lost.swap(0, Ordering::Relaxed);
    if lost > 0 {
        recorded::audit_lost(lost);
        tracing::error!(lost, "calls are not on record: more came than could be kept");
    }
}

/// Whether Postgres refuses what is in a row, whenever it is sent.
fn is_of_a_row(cause: &sqlx::Error) -> bool {
    let code = cause.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

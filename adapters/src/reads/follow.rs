//! Following the read models' checkpoints: one connection listens to what their batches announce.
//!
//! An announcement throws old rows out of the cache first and moves the position then, so that no
//! reader finds a row older than the position that it was told. Announcements are lost with their
//! connection: then the cache is emptied and everything begins anew from the table. A connection that
//! has died without a sound is found by looking: what the table said [`LOOK`] ago has been announced
//! by now, or something is lost.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use florin_projections::announcement::{Announcement, CHANNEL};
use florin_projections::balance::Balance;
use florin_projections::checkpoint;
use florin_projections::read_model::ReadModel;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::board::Board;
use super::cache::Cache;

/// How often the table is looked at: what a connection that died silently costs is twice this.
const LOOK: Duration = Duration::from_millis(500);

/// The first and the longest wait before a lost connection is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Follows for as long as it is let, whatever happens to Postgres.
pub(super) async fn follow(pool: PgPool, partitions: u32, board: Arc<Board>, cache: Arc<Cache>) {
    let mut wait = BACKOFF.0;
    loop {
        let Err(error) = listen(&pool, partitions, &board, &cache).await;
        cache.end();
        if board.is_followed() {
            wait = BACKOFF.0;
        }
        board.follow(false);
        tracing::debug!(%error, "the read models are not followed");
        sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// Where the read models are, once, because they stand still; waits for a Postgres that is away.
pub(super) async fn look_once(
    pool: PgPool,
    partitions: u32,
    board: Arc<Board>,
    cache: Arc<Cache>,
    is_warm: watch::Sender<bool>,
) {
    let mut wait = BACKOFF.0;
    loop {
        match checkpoint::positions_of_all(&pool).await {
            Ok(positions) => {
                board.set(&positions);
                cache.begin((0..partitions).map(|p| board.position(Balance::NAME, p)).collect());
                board.follow(true);
                is_warm.send_replace(true);
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "the read models are not looked at");
                sleep(wait).await;
                wait = (wait * 2).min(BACKOFF.1);
            }
        }
    }
}

async fn listen(
    pool: &PgPool,
    partitions: u32,
    board: &Board,
    cache: &Cache,
) -> Result<Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    // From here on everything is announced; what was before is in the table.
    let mut positions = checkpoint::positions_of_all(pool).await?;
    board.set(&positions);
    cache.begin((0..partitions).map(|p| board.position(Balance::NAME, p)).collect());
    board.follow(true);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            heard = listener.try_recv() => match heard? {
                Some(told) => take(told.payload(), board, cache),
                None => return Err(lost("the connection was lost")),
            },
            _ = look.tick() => {
                if !board.has(&positions) {
                    return Err(lost("something was not announced"));
                }
                positions = checkpoint::positions_of_all(pool).await?;
                board.measure();
            }
        }
    }
}

fn take(payload: &str, board: &Board, cache: &Cache) {
    let Ok(told) = payload.parse::<Announcement>() else {
        tracing::warn!(payload, "not an announcement");
        return;
    };
    let Announcement { projection, partition, position, changed } = told;
    if projection == Balance::NAME {
        cache.announced(partition, position, &changed);
    }
    board.raise(&projection, partition, position);
}

fn lost(why: &'static str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other(why))
}

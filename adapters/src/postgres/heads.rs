//! The end of every partition as it moves: one connection a process listens, for all who wait.
//!
//! An append notifies with the new head in the same transaction, so whoever waits wakes a moment
//! after the commit and needs no look at the table. Notifications can be lost with the connection
//! that they come over: therefore all heads are also read every [`POLL`].

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use florin_application::journal::JournalError;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::follow;
use super::row::read_error;

/// The channel that an append notifies.
const CHANNEL: &str = "florin_journal";

/// How often the heads are read whether or not somebody notified: what a lost notification costs.
pub const POLL: Duration = Duration::from_millis(500);

/// The first and the longest wait before a lost connection is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The heads as this process knows them. Clones share one listener, which ends with the last.
#[derive(Clone)]
pub struct Heads {
    known: watch::Receiver<Vec<u64>>,
    _listener: Arc<Listener>,
}

struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Heads {
    /// Begins to listen. It holds one connection of the pool, and uses another one every [`POLL`].
    pub fn follow(pool: PgPool, partitions: u32) -> Self {
        Self::follow_with(pool, partitions, POLL)
    }

    /// The same with another wait between two looks at the table.
    pub fn follow_with(pool: PgPool, partitions: u32, poll: Duration) -> Self {
        let (sender, known) = watch::channel(vec![0; partitions as usize]);
        let listener = tokio::spawn(listen(pool, sender, poll));
        Self { known, _listener: Arc::new(Listener(listener)) }
    }

    /// The last position of a partition, as far as it is known; 0 before the first look.
    pub fn head(&self, partition: u32) -> u64 {
        head_of(&self.known.borrow(), partition)
    }

    /// Waits until there is an event after that position.
    pub async fn beyond(&mut self, partition: u32, position: u64) {
        let is_beyond = |heads: &Vec<u64>| head_of(heads, partition) > position;
        if self.known.wait_for(is_beyond).await.is_err() {
            // The listener lives as long as this value; without it nothing ever happens.
            std::future::pending().await
        }
    }
}

fn head_of(heads: &[u64], partition: u32) -> u64 {
    heads.get(partition as usize).copied().unwrap_or(0)
}

/// Listens, and begins again with a longer wait each time that Postgres is away.
async fn listen(pool: PgPool, heads: watch::Sender<Vec<u64>>, poll: Duration) {
    let mut wait = BACKOFF.0;
    loop {
        let before = heads.borrow().clone();
        let Err(error) = listen_once(&pool, &heads, poll).await;
        if *heads.borrow() != before {
            wait = BACKOFF.0;
        }
        tracing::debug!(%error, "the heads cannot be followed");
        sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

async fn listen_once(
    pool: &PgPool,
    heads: &watch::Sender<Vec<u64>>,
    poll: Duration,
) -> Result<Infallible, JournalError> {
    let mut listener = PgListener::connect_with(pool).await.map_err(read_error)?;
    listener.listen(CHANNEL).await.map_err(read_error)?;
    // The first tick is at once: what came before the connection listened is seen by it.
    let mut look = interval(poll);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            notification = listener.recv() => {
                let notification = notification.map_err(read_error)?;
                if let Some((partition, head)) = parse(notification.payload()) {
                    raise(heads, &[(partition, head)]);
                }
            }
            _ = look.tick() => {
                let read = follow::heads(pool).await?;
                let read: Vec<_> = read.into_iter().map(|(p, head, _)| (p, head)).collect();
                raise(heads, &read);
            }
        }
    }
}

/// `<partition>:<head>`.
fn parse(payload: &str) -> Option<(u32, u64)> {
    let (partition, head) = payload.split_once(':')?;
    Some((partition.parse().ok()?, head.parse().ok()?))
}

/// Heads only rise; wakes nobody when nothing is new.
fn raise(heads: &watch::Sender<Vec<u64>>, seen: &[(u32, u64)]) {
    heads.send_if_modified(|known| {
        let mut is_new = false;
        for (partition, head) in seen {
            if let Some(known) = known.get_mut(*partition as usize)
                && *known < *head
            {
                *known = *head;
                is_new = true;
            }
        }
        is_new
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_names_a_partition_and_its_head() {
        assert_eq!(parse("3:120"), Some((3, 120)));
        for other in ["", "3", "3:", "x:1", "-1:2"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_head_only_rises() {
        let (heads, mut known) = watch::channel(vec![0, 5]);
        raise(&heads, &[(0, 7), (1, 4), (9, 9)]);
        assert_eq!(*known.borrow_and_update(), [7, 5]);
        raise(&heads, &[(0, 7)]);
        assert!(!known.has_changed().unwrap());
    }
}

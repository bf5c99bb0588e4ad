//! What the rest of the process may know of a runner, and wait for.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

/// What a runner is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is not running in this process.
    Idle,
    /// It reads the journal, because it is far behind.
    CatchingUp,
    /// It follows its source.
    Following,
    /// Something is away, and it tries again.
    Retrying,
}

/// How a projection is in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Which projection.
    pub projection: &'static str,
    /// Which partition.
    pub partition: u32,
    /// What it is doing.
    pub state: State,
    /// The last position that it has.
    pub checkpoint: u64,
    /// The last position that it knows of.
    pub head: u64,
    /// When the next event was recorded, if it knows of one.
    pub behind_since: Option<DateTime<Utc>>,
    /// How many wallets are parked.
    pub parked: u32,
    /// How many events a second it applied lately.
    pub rate: u64,
    /// What last went wrong; stays after it went well again.
    pub last_error: Option<String>,
}

impl Health {
    /// How many events it lacks.
    pub fn lag(&self) -> u64 {
        self.head.saturating_sub(self.checkpoint)
    }

    /// For how long it has lacked the next one.
    pub fn lag_at(&self, now: DateTime<Utc>) -> TimeDelta {
        let zero = TimeDelta::zero();
        self.behind_since.map_or(zero, |since| (now - since).max(zero))
    }
}

/// Over how long the rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// The board on which a runner writes. It outlives the runner: the next one goes on there.
#[derive(Debug)]
pub struct Progress {
    health: watch::Sender<Health>,
    position: watch::Sender<u64>,
}

impl Progress {
    /// Of a projection that does not run yet.
    pub fn new(projection: &'static str, partition: u32) -> Self {
        let health = Health {
            projection,
            partition,
            state: State::Idle,
            checkpoint: 0,
            head: 0,
            behind_since: None,
            parked: 0,
            rate: 0,
            last_error: None,
        };
        Self { health: watch::Sender::new(health), position: watch::Sender::new(0) }
    }

    /// How it is.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// The last position that it is known to have.
    pub fn position(&self) -> u64 {
        *self.position.borrow()
    }

    /// Its position, as it moves.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.position.subscribe()
    }

    /// Waits until the projection has a position; for ever, if it never comes there.
    pub async fn reached(&self, position: u64) {
        // The sender lives as long as `self`.
        let _ = self.position.subscribe().wait_for(|at| *at >= position).await;
    }

    /// Learns from elsewhere (a notification, the table) that the projection has a position: where
    /// another process runs it.
    pub fn saw(&self, position: u64) {
        self.position.send_if_modified(|at| {
            let is_news = position > *at;
            *at = position.max(*at);
            is_news
        });
    }

    /// Learns where the projection is from its runner. That may be further back: a crash of Postgres
    /// takes the last batches back.
    pub(super) fn stands(&self, position: u64) {
        self.position.send_if_modified(|at| std::mem::replace(at, position) != position);
    }

    /// Notes that no runner works here any more.
    pub fn stopped(&self) {
        self.update(|health| {
            health.state = State::Idle;
            health.rate = 0;
        });
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Health)) {
        self.health.send_modify(change);
    }
}

/// Counts what was applied, and says how many that is a second.
#[derive(Debug)]
pub(super) struct Meter {
    since: Instant,
    count: u64,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), count: 0 }
    }

    /// Counts; gives the rate whenever a window is over.
    pub(super) fn count(&mut self, events: u64) -> Option<u64> {
        self.count += events;
        let elapsed = self.since.elapsed();
        if elapsed < RATE_WINDOW {
            return None;
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = self.count.saturating_mul(1000) / millis;
        *self = Self::new();
        Some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_seen_from_elsewhere_never_goes_back() {
        let progress = Progress::new("balance", 0);
        progress.saw(7);
        progress.saw(3);
        assert_eq!(progress.position(), 7);
    }

    #[test]
    fn the_lag_in_time_is_the_age_of_the_next_event() {
        let progress = Progress::new("balance", 0);
        let now = DateTime::from_timestamp(100, 0).unwrap();
        assert_eq!(progress.health().lag_at(now), TimeDelta::zero());
        progress.update(|health| health.behind_since = DateTime::from_timestamp(98, 0));
        assert_eq!(progress.health().lag_at(now), TimeDelta::seconds(2));
    }
}

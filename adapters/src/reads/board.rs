//! Where each read model is, as far as this process has heard; what readers wait on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use florin_projections::models;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Over how long a rate is measured: long enough for some dozens of batches.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// A read model's checkpoint in a partition, as `(name, partition, position)`.
pub(super) type Position = (String, u32, u64);

impl Pace {
    /// As of now; the same until the window is over.
    fn at(self, now: Instant, position: u64) -> Self {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < RATE_WINDOW {
            return self;
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = position.saturating_sub(self.from).saturating_mul(1000) / millis;
        Self { since: now, from: position, rate }
    }
}

/// The positions of every read model in every partition.
pub(super) struct Board {
    places: Vec<Place>,
    /// Whether somebody listens to what moves.
    is_followed: AtomicBool,
}

/// One read model in one partition.
struct Place {
    model: &'static str,
    partition: u32,
    position: watch::Sender<u64>,
    pace: watch::Sender<Pace>,
}

/// How fast the checkpoint moves, over the last window.
#[derive(Debug, Clone, Copy)]
struct Pace {
    since: Instant,
    from: u64,
    rate: u64,
}

impl Board {
    /// On which everything stands at the beginning.
    pub(super) fn new(partitions: u32) -> Self {
        let in_partition = |partition| {
            models::all().into_iter().map(move |model| Place {
                model: model.name(),
                partition,
                position: watch::Sender::new(0),
                pace: watch::Sender::new(Pace { since: Instant::now(), from: 0, rate: 0 }),
            })
        };
        let places = (0..partitions).flat_map(in_partition).collect();
        Self { places, is_followed: AtomicBool::new(false) }
    }

    /// Whether positions move here when they do.
    pub(super) fn is_followed(&self) -> bool {
        self.is_followed.load(Ordering::Relaxed)
    }

    /// Says whether they do from now on.
    pub(super) fn follow(&self, is_followed: bool) {
        self.is_followed.store(is_followed, Ordering::Relaxed);
    }

    fn place(&self, model: &str, partition: u32) -> Option<&Place> {
        self.places.iter().find(|place| place.model == model && place.partition == partition)
    }

    /// Where a model is; 0 for one that has never run.
    pub(super) fn position(&self, model: &str, partition: u32) -> u64 {
        self.place(model, partition).map_or(0, |place| *place.position.borrow())
    }

    /// How many events a second a model takes in.
    pub(super) fn rate(&self, model: &str, partition: u32) -> u64 {
        self.place(model, partition).map_or(0, |place| place.pace.borrow().rate)
    }

    /// Waits until a model has a position; `false` if it has not by the deadline.
    pub(super) async fn reached(
        &self,
        model: &str,
        partition: u32,
        position: u64,
        deadline: Instant,
    ) -> bool {
        let Some(place) = self.place(model, partition) else { return position == 0 };
        let mut moving = place.position.subscribe();
        let reached = timeout_at(deadline, moving.wait_for(|at| *at >= position)).await;
        matches!(reached, Ok(Ok(_)))
    }

    /// Learns that a checkpoint has moved.
    pub(super) fn raise(&self, model: &str, partition: u32, position: u64) {
        let Some(place) = self.place(model, partition) else { return };
        place.position.send_if_modified(|at| {
            let is_news = position > *at;
            *at = position.max(*at);
            is_news
        });
    }

    /// Learns where everything is, from the table. That may be further back: a crash of Postgres
    /// takes the last batches of the read models back, which are then folded again.
    pub(super) fn set(&self, positions: &[Position]) {
        for place in &self.places {
            let is_it = |(model, partition, _): &&Position| {
                *model == place.model && *partition == place.partition
            };
            let position = positions.iter().find(is_it).map_or(0, |(_, _, position)| *position);
            place.position.send_if_modified(|at| std::mem::replace(at, position) != position);
            // A jump is not a rate.
            let still = Pace { since: Instant::now(), from: position, rate: 0 };
            place.pace.send_replace(still);
        }
    }

    /// Whether all of this has been heard.
    pub(super) fn has(&self, positions: &[Position]) -> bool {
        positions.iter().all(|(model, partition, position)| {
            self.place(model, *partition).is_none_or(|place| *place.position.borrow() >= *position)
        })
    }

    /// Looks how far everything came since the last window ended.
    pub(super) fn measure(&self) {
        for place in &self.places {
            let position = *place.position.borrow();
            place.pace.send_modify(|pace| *pace = pace.at(Instant::now(), position));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> Vec<Position> {
        vec![("balance".to_owned(), 1, position)]
    }

    #[tokio::test]
    async fn whoever_waits_is_told_in_time_or_not_at_all() {
        let board = Board::new(2);
        let soon = Instant::now() + Duration::from_millis(10);
        assert!(!board.reached("balance", 1, 7, soon).await);
        assert!(board.reached("balance", 1, 0, soon).await);
        let late = Instant::now() + Duration::from_secs(10);
        let waiting = board.reached("balance", 1, 7, late);
        let moving = async {
            board.raise("balance", 0, 9);
            board.raise("balance", 1, 7);
        };
        let (reached, ()) = tokio::join!(waiting, moving);
        assert!(reached);
    }

    #[test]
    fn what_is_announced_late_moves_nothing_back_and_the_table_does() {
        let board = Board::new(2);
        board.raise("balance", 1, 7);
        board.raise("balance", 1, 3);
        assert_eq!(board.position("balance", 1), 7);
        assert!(board.has(&at(7)) && !board.has(&at(8)));
        board.set(&at(5));
        assert_eq!(board.position("balance", 1), 5);
        assert_eq!(board.position("history", 1), 0);
    }

    #[test]
    fn the_rate_is_that_of_the_last_window() {
        let begun = Instant::now();
        let pace = Pace { since: begun, from: 100, rate: 0 };
        assert_eq!(pace.at(begun + RATE_WINDOW / 2, 700).rate, 0, "not yet");
        let first = pace.at(begun + RATE_WINDOW, 700);
        assert_eq!(first.rate, 300);
        assert_eq!(first.at(begun + 2 * RATE_WINDOW, 700).rate, 0);
    }
}

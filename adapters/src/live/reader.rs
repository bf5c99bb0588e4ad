//! The queue of one stream: what was handed to it and is not yet with its client.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event::LiveEvent;
use super::wanted::Wanted;

/// How many events a reader may be behind when memory is short: what a moment of bad luck costs.
const FEW: usize = 32;

/// A reader.
pub(super) struct Reader {
    wanted: Wanted,
    bound: usize,
    inner: Mutex<Inner>,
    wake: Notify,
}

struct Inner {
    queue: VecDeque<Arc<LiveEvent>>,
    /// Up to where it was told, by partition.
    told: Vec<u64>,
    is_slow: bool,
}

/// What a reader is given.
pub(super) enum Taken {
    /// The next events.
    Events(Vec<Arc<LiveEvent>>),
    /// It was not fast enough.
    Slow,
    /// There is nothing.
    Nothing,
}

impl Reader {
    pub(super) fn new(wanted: Wanted, bound: usize) -> Self {
        let told = vec![0; wanted.partitions.len()];
        let inner = Inner { queue: VecDeque::new(), told, is_slow: false };
        Self { wanted, bound, inner: Mutex::new(inner), wake: Notify::new() }
    }

    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// How many events of a partition it may lack when it joins: all partitions together fill half
    /// of its queue, because what comes afterwards needs room, too.
    pub(super) fn room(&self) -> usize {
        (self.bound / 2 / self.wanted.partitions.len().max(1)).max(1)
    }

    /// It knows everything up to there by itself.
    pub(super) fn begin(&self, partition: u32, position: u64) {
        if let Some(told) = self.inner().told.get_mut(self.index(partition)) {
            *told = position;
        }
    }

    /// Tells it of an event, whether it wants it or not; false if it is not to be told any more.
    pub(super) fn tell(&self, event: &Arc<LiveEvent>, is_memory_short: bool) -> bool {
        let mut inner = self.inner();
        if inner.is_slow {
            return false;
        }
        let Some(told) = inner.told.get_mut(self.index(event.recorded.partition)) else {
            return false;
        };
        if event.recorded.position <= *told {
            return true;
        }
        *told = event.recorded.position;
        if !self.wanted.includes(&event.recorded) {
            return true;
        }
        let bound = if is_memory_short { FEW.min(self.bound) } else { self.bound };
        if inner.queue.len() >= bound {
            // What it has not taken it reads from the journal when it comes again.
            inner.queue = VecDeque::new();
            inner.is_slow = true;
        } else {
            inner.queue.push_back(Arc::clone(event));
        }
        let is_news = inner.queue.len() <= 1;
        drop(inner);
        if is_news {
            self.wake.notify_one();
        }
        true
    }

    /// What is there for it, so many at most.
    pub(super) fn take(&self, max: usize) -> Taken {
        let mut inner = self.inner();
        if inner.is_slow {
            return Taken::Slow;
        }
        let count = inner.queue.len().min(max);
        match count {
            0 => Taken::Nothing,
            _ => Taken::Events(inner.queue.drain(..count).collect()),
        }
    }

    /// Up to where it was told, by partition, if it has taken all of that.
    pub(super) fn is_told(&self) -> Option<Vec<u64>> {
        let inner = self.inner();
        (inner.queue.is_empty() && !inner.is_slow).then(|| inner.told.clone())
    }

    /// Returns when there may be something.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn index(&self, partition: u32) -> usize {
        partition.wrapping_sub(self.wanted.partitions.start) as usize
    }

    /// The lock is held for moments only, and nothing in them can leave the queue half changed.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::live::types::Types;

    /// A reader of partition 0.
    pub(in crate::live) fn reader(wallet: Option<&str>, bound: usize) -> Arc<Reader> {
        let wallet = wallet.map(|wallet| wallet.parse().unwrap());
        let wanted = Wanted { wallet, partitions: 0..1, types: Types::default() };
        Arc::new(Reader::new(wanted, bound))
    }

    /// The positions of what it was given.
    pub(in crate::live) fn positions(reader: &Reader) -> Vec<u64> {
        match reader.take(usize::MAX) {
            Taken::Events(events) => events.iter().map(|event| event.recorded.position).collect(),
            Taken::Slow | Taken::Nothing => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::testing::event;
    use super::testing::{positions, reader};
    use super::*;

    #[test]
    fn an_event_comes_once_and_only_if_it_is_wanted() {
        let reader = reader(Some("alice"), 8);
        reader.begin(0, 3);
        for (wallet, position) in [("alice", 3), ("alice", 4), ("bob", 5), ("alice", 4)] {
            assert!(reader.tell(&event(wallet, position), false));
        }
        assert_eq!(reader.is_told(), None);
        assert_eq!(positions(&reader), [4]);
        assert_eq!(reader.is_told(), Some(vec![5]));
    }

    #[test]
    fn whoever_lets_its_queue_run_full_is_told_no_more_and_holds_nothing() {
        let reader = reader(None, 2);
        let events: Vec<_> = (1..=4).map(|position| event("alice", position)).collect();
        let told: Vec<_> = events.iter().map(|event| reader.tell(event, false)).collect();
        assert_eq!(told, [true, true, true, false]);
        assert!(matches!(reader.take(8), Taken::Slow));
        assert!(events.iter().all(|event| Arc::strong_count(event) == 1));
    }

    #[test]
    fn when_memory_is_short_a_few_events_are_too_many() {
        let reader = reader(None, 1_000);
        let few = FEW as u64;
        for position in 1..=few {
            reader.tell(&event("alice", position), true);
        }
        assert_eq!(positions(&reader).len(), FEW);
        for position in few + 1..=2 * few + 1 {
            reader.tell(&event("alice", position), true);
        }
        assert!(matches!(reader.take(1), Taken::Slow));
    }
}

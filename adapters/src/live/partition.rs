//! One partition as it grows: its newest events, and who is told of the next ones.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::LiveEvent;
use super::reader::Reader;

/// A partition.
pub(super) struct Partition {
    kept: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Up to where everything was handed on.
    at: u64,
    /// The last events up to there, without a gap.
    newest: VecDeque<Arc<LiveEvent>>,
    /// By wallet, who wants to be told of it.
    of_wallets: HashMap<Box<str>, Vec<Arc<Reader>>>,
    of_all: Vec<Arc<Reader>>,
}

impl Inner {
    fn is_idle(&self) -> bool {
        self.of_wallets.is_empty() && self.of_all.is_empty()
    }
}

impl Partition {
    /// At the beginning, with so many events at hand at most.
    pub(super) fn new(kept: usize) -> Self {
        Self { kept, inner: Mutex::default() }
    }

    /// Up to where everything was handed on.
    pub(super) fn at(&self) -> u64 {
        self.inner().at
    }

    /// From now on a reader that knows everything up to there is told of what comes after.
    ///
    /// # Errors
    /// Up to where it must read by itself before it can join.
    pub(super) fn join(&self, reader: &Arc<Reader>, partition: u32, after: u64) -> Result<(), u64> {
        let mut inner = self.inner();
        if after > inner.at && inner.is_idle() {
            // Nobody is there who would miss what is between.
            inner.at = after;
            inner.newest.clear();
        }
        let missed = usize::try_from(inner.at.saturating_sub(after)).unwrap_or(usize::MAX);
        let first = inner.newest.len().checked_sub(missed);
        let Some(first) = first.filter(|_| missed <= reader.room()) else {
            return Err(inner.at);
        };
        reader.begin(partition, after);
        for event in inner.newest.iter().skip(first) {
            reader.tell(event, false);
        }
        match &reader.wanted().wallet {
            None => inner.of_all.push(Arc::clone(reader)),
            Some(wallet) => {
                let readers = inner.of_wallets.entry(wallet.as_str().into()).or_default();
                readers.push(Arc::clone(reader));
            }
        }
        Ok(())
    }

    /// A reader is not told any more.
    pub(super) fn leave(&self, reader: &Arc<Reader>) {
        let mut inner = self.inner();
        let others = |other: &Arc<Reader>| !Arc::ptr_eq(other, reader);
        let Some(wallet) = &reader.wanted().wallet else {
            inner.of_all.retain(others);
            return;
        };
        if let Some(readers) = inner.of_wallets.get_mut(wallet.as_str()) {
            readers.retain(others);
            if readers.is_empty() {
                inner.of_wallets.remove(wallet.as_str());
            }
        }
    }

    /// Goes on to a head without an event, if nobody reads.
    pub(super) fn skip_to(&self, head: u64) -> bool {
        let mut inner = self.inner();
        if !inner.is_idle() {
            return false;
        }
        inner.at = head.max(inner.at);
        inner.newest = VecDeque::new();
        true
    }

    /// Hands on an event if it is the next one; how many were told of it.
    pub(super) fn hand_on(&self, event: Arc<LiveEvent>, is_memory_short: bool) -> usize {
        let mut inner = self.inner();
        if event.recorded.position != inner.at + 1 {
            return 0;
        }
        inner.at = event.recorded.position;
        let mut count = inner.of_all.len();
        inner.of_all.retain(|reader| reader.tell(&event, is_memory_short));
        if event.recorded.aggregate_type == "Wallet"
            && let Some(readers) = inner.of_wallets.get_mut(&*event.recorded.aggregate_id)
        {
            count += readers.len();
            readers.retain(|reader| reader.tell(&event, is_memory_short));
            if readers.is_empty() {
                inner.of_wallets.remove(&*event.recorded.aggregate_id);
            }
        }
        if inner.newest.len() >= self.kept {
            inner.newest.pop_front();
        }
        inner.newest.push_back(event);
        count
    }

    /// The lock is held while the readers of one event are told, and nothing in that can leave the
    /// partition half changed.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::testing::event;
    use super::super::reader::testing::{positions, reader};
    use super::*;

    /// A partition where somebody reads, with events at hand.
    fn partition(kept: usize, up_to: u64) -> Partition {
        let partition = Partition::new(kept);
        partition.join(&reader(Some("nobody"), 8), 0, 0).unwrap();
        for position in 1..=up_to {
            partition.hand_on(event("alice", position), false);
        }
        partition
    }

    #[test]
    fn whoever_joins_is_told_of_what_it_lacks_and_of_what_comes() {
        let partition = partition(4, 9);
        let late = reader(Some("alice"), 8);
        assert_eq!(partition.join(&late, 0, 4), Err(9), "5 is not at hand any more");
        partition.join(&late, 0, 5).unwrap();
        partition.hand_on(event("alice", 10), false);
        partition.hand_on(event("bob", 11), false);
        assert_eq!(positions(&late), [6, 7, 8, 9, 10]);
        let ahead = reader(None, 8);
        partition.join(&ahead, 0, 12).unwrap();
        for position in 12..=13 {
            partition.hand_on(event("bob", position), false);
        }
        assert_eq!(positions(&ahead), [13], "it knew what others were told later");
    }

    #[test]
    fn whoever_lacks_more_than_it_has_room_for_reads_it_first() {
        let partition = partition(100, 50);
        let reader = reader(Some("alice"), 20);
        assert_eq!(partition.join(&reader, 0, 39), Err(50));
        partition.join(&reader, 0, 40).unwrap();
        assert_eq!(positions(&reader), (41..=50).collect::<Vec<_>>());
    }

    #[test]
    fn an_event_out_of_order_is_not_handed_on() {
        let partition = partition(4, 3);
        for position in [3, 5] {
            assert_eq!(partition.hand_on(event("nobody", position), false), 0);
        }
        assert_eq!((partition.at(), partition.hand_on(event("nobody", 4), false)), (3, 1));
    }

    #[test]
    fn without_readers_the_partition_goes_on_without_events() {
        let partition = Partition::new(4);
        assert!(partition.skip_to(7));
        let reader = reader(Some("alice"), 8);
        assert_eq!(partition.join(&reader, 0, 5), Err(7));
        partition.join(&reader, 0, 7).unwrap();
        assert!(!partition.skip_to(9));
        partition.leave(&reader);
        assert!(partition.skip_to(9));
        assert_eq!(partition.at(), 9);
    }

    #[test]
    fn a_slow_reader_is_forgotten_and_others_go_on() {
        let partition = Partition::new(4);
        let (slow, fast) = (reader(None, 1), reader(None, 8));
        partition.join(&slow, 0, 0).unwrap();
        partition.join(&fast, 0, 0).unwrap();
        let told: Vec<_> = (1..=4).map(|at| partition.hand_on(event("a", at), false)).collect();
        assert_eq!(told, [2, 2, 2, 1]);
        assert_eq!(positions(&fast), [1, 2, 3, 4]);
    }
}

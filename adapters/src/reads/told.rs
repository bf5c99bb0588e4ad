//! What this process has told its clients of each wallet, so that it never tells them less
//! afterwards: a read waits until its model is as far as what was told.
//!
//! By wallet and not by client, because a connection lives in one process: whatever it was told, it
//! was told here. The newest [`MAX_WALLETS`] are known one by one. Of those before them only the
//! furthest position of their partition is known, up to which every read of the partition waits then;
//! models have long come there, unless they are far behind.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use florin_domain::{WalletId, hash_of};
use lru::LruCache;

/// How many wallets are known one by one: those of several seconds under full load, in some
/// megabytes.
const MAX_WALLETS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// What was told.
pub(super) struct Told(Mutex<Inner>);

struct Inner {
    /// By the hash of the wallet's id, its partition and position. Two wallets with one hash wait
    /// for each other, and for nothing worse.
    wallets: LruCache<u64, (u32, u64)>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Partition {
    /// The furthest position of any wallet.
    newest: u64,
    /// The furthest position of a wallet that is not known any more.
    forgotten: u64,
}

impl Told {
    /// Nothing yet.
    pub(super) fn new(partitions: u32) -> Self {
        Self::of_at_most(MAX_WALLETS, partitions)
    }

    fn of_at_most(max: NonZeroUsize, partitions: u32) -> Self {
        let partitions = vec![Partition::default(); partitions as usize];
        Self(Mutex::new(Inner { wallets: LruCache::new(max), partitions }))
    }

    /// Somebody is told of a wallet's event there.
    pub(super) fn tell(&self, wallet: &WalletId, partition: u32, position: u64) {
        let mut inner = self.inner();
        let hash = hash_of(wallet.as_str());
        let before = inner.wallets.get(&hash).map_or(0, |(_, position)| *position);
        if position <= before {
            return;
        }
        if let Some((old, (of, at))) = inner.wallets.push(hash, (partition, position))
            && old != hash
            && let Some(of) = inner.partitions.get_mut(of as usize)
        {
            of.forgotten = at.max(of.forgotten);
        }
        if let Some(of) = inner.partitions.get_mut(partition as usize) {
            of.newest = position.max(of.newest);
        }
    }

    /// Up to where a wallet's model must be.
    pub(super) fn of_wallet(&self, wallet: &WalletId, partition: u32) -> u64 {
        let inner = self.inner();
        let known = inner.wallets.peek(&hash_of(wallet.as_str())).map_or(0, |(_, at)| *at);
        let forgotten = inner.partitions.get(partition as usize).map_or(0, |of| of.forgotten);
        known.max(forgotten)
    }

    /// Up to where a model must be in each partition, to tell of all wallets.
    pub(super) fn of_all(&self) -> Vec<u64> {
        self.inner().partitions.iter().map(|of| of.newest).collect()
    }

    /// The lock is held for moments only, and nothing in them can leave the map half changed.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> WalletId {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_told_of_a_wallet_concerns_no_other_one() {
        let told = Told::new(2);
        told.tell(&id("alice"), 1, 7);
        told.tell(&id("alice"), 1, 5);
        assert_eq!(told.of_wallet(&id("alice"), 1), 7);
        assert_eq!(told.of_wallet(&id("bob"), 1), 0);
        assert_eq!(told.of_all(), [0, 7]);
    }

    #[test]
    fn a_wallet_that_is_forgotten_is_waited_for_all_the_same() {
        let told = Told::of_at_most(NonZeroUsize::new(2).unwrap(), 2);
        for (wallet, position) in [("alice", 9), ("bob", 3), ("carol", 4)] {
            told.tell(&id(wallet), 0, position);
        }
        assert_eq!(told.of_wallet(&id("alice"), 0), 9);
        assert_eq!(told.of_wallet(&id("bob"), 0), 9, "it might be the forgotten one");
        assert_eq!(told.of_wallet(&id("dave"), 1), 0, "of another partition nothing is forgotten");
    }
}

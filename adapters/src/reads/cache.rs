//! Balances that were asked for, in memory: a hot wallet is answered without Postgres.
//!
//! What makes a row old is announced by the batch that changed it, before the position of the model
//! moves here ([`super::follow`]). So a row that is kept is as good as a fresh one at the position that
//! was last announced. It is kept only if nothing was announced between the question to Postgres and
//! the answer, so no row comes in that an announcement would have thrown out; and nothing is kept
//! while nobody listens.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::body::Bytes;
use florin_projections::announcement::{Changed, Tag};
use florin_projections::balance::WalletRow;
use florin_projections::checkpoint::ReadAt;
use lru::LruCache;

/// A wallet as it was read.
#[derive(Debug)]
pub struct KnownWallet {
    /// The row.
    pub row: WalletRow,
    /// What it was as of when it was read.
    pub at: ReadAt,
    /// Its JSON text, once somebody wrote it.
    pub text: OnceLock<Bytes>,
}

/// Proof that somebody asked Postgres after this many announcements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// The rows of the wallets that were last asked for.
pub(super) struct Cache(Mutex<Inner>);

struct Inner {
    rows: LruCache<Tag, Arc<KnownWallet>>,
    /// Up to where everything was announced, by partition; empty while nobody listens.
    announced: Vec<u64>,
    /// How many announcements there were, and interruptions.
    count: u64,
}

impl Cache {
    /// Of at most so many rows.
    pub(super) fn new(max: NonZeroUsize) -> Self {
        let inner = Inner { rows: LruCache::new(max), announced: Vec::new(), count: 0 };
        Self(Mutex::new(inner))
    }

    /// The row of a wallet and the position that it is as of.
    pub(super) fn get(&self, wallet: &str) -> Option<(Arc<KnownWallet>, u64)> {
        let mut inner = self.inner();
        let known = inner.rows.get(&Tag::of(wallet))?;
        // Another wallet may have the same tag.
        let known = (*known.row.wallet_id == *wallet).then(|| Arc::clone(known))?;
        let announced = inner.announced.get(known.row.partition as usize)?;
        let position = known.at.position.max(*announced);
        Some((known, position))
    }

    /// To be taken before Postgres is asked.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.inner().count)
    }

    /// Keeps a row, if nothing was announced since.
    pub(super) fn keep(&self, ticket: Ticket, wallet: &Arc<KnownWallet>) {
        let mut inner = self.inner();
        if ticket == Ticket(inner.count) && !inner.announced.is_empty() {
            inner.rows.put(Tag::of(&wallet.row.wallet_id), Arc::clone(wallet));
        }
    }

    /// Begins: everything after these positions will be announced.
    pub(super) fn begin(&self, positions: Vec<u64>) {
        let mut inner = self.inner();
        inner.count += 1;
        inner.announced = positions;
    }

    /// Forgets everything: nobody listens.
    pub(super) fn end(&self) {
        let mut inner = self.inner();
        inner.count += 1;
        inner.rows.clear();
        inner.announced = Vec::new();
    }

    /// Throws out what an announcement says is old.
    pub(super) fn announced(&self, partition: u32, position: u64, changed: &Changed) {
        let mut inner = self.inner();
        inner.count += 1;
        match changed {
            Changed::All => inner.rows.clear(),
            Changed::Wallets(tags) => {
                for tag in tags {
                    inner.rows.pop(tag);
                }
            }
        }
        if let Some(announced) = inner.announced.get_mut(partition as usize) {
            *announced = position.max(*announced);
        }
    }

    /// The lock is held for moments only, and nothing in them can leave the rows half changed.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use florin_domain::wallet::Status;

    use super::*;

    fn wallet(id: &str, position: u64) -> Arc<KnownWallet> {
        let row = WalletRow {
            wallet_id: id.into(),
            partition: 0,
            balance: 5.into(),
            currency: "USD".parse().unwrap(),
            status: Status::Active,
            owner: None,
            metadata: None,
            version: 1,
            position,
            opened_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        };
        let at = ReadAt { position, stale_since: None };
        Arc::new(KnownWallet { row, at, text: OnceLock::new() })
    }

    fn cache() -> Cache {
        let cache = Cache::new(NonZeroUsize::new(2).unwrap());
        cache.begin(vec![10]);
        cache
    }

    /// As of which position a wallet is known.
    fn known(cache: &Cache, id: &str) -> Option<u64> {
        cache.get(id).map(|(_, position)| position)
    }

    #[test]
    fn a_row_is_as_good_as_what_was_last_announced() {
        let cache = cache();
        cache.keep(cache.ticket(), &wallet("alice", 12));
        assert_eq!(known(&cache, "alice"), Some(12), "read after what was announced");
        cache.announced(0, 20, &Changed::Wallets(vec![Tag::of("bob")]));
        assert_eq!(known(&cache, "alice"), Some(20));
        cache.announced(0, 21, &Changed::Wallets(vec![Tag::of("alice")]));
        assert_eq!(known(&cache, "alice"), None);
        cache.keep(cache.ticket(), &wallet("alice", 21));
        cache.announced(0, 99, &Changed::All);
        assert_eq!(known(&cache, "alice"), None);
    }

    #[test]
    fn a_row_that_may_be_older_than_an_announcement_is_not_kept() {
        let cache = cache();
        let asked = cache.ticket();
        cache.announced(0, 11, &Changed::Wallets(vec![Tag::of("alice")]));
        cache.keep(asked, &wallet("alice", 10));
        assert_eq!(known(&cache, "alice"), None);
    }

    #[test]
    fn nothing_is_kept_while_nobody_listens() {
        let cache = cache();
        cache.keep(cache.ticket(), &wallet("alice", 10));
        let asked = cache.ticket();
        cache.end();
        assert_eq!(known(&cache, "alice"), None);
        cache.keep(cache.ticket(), &wallet("alice", 10));
        cache.begin(vec![10]);
        cache.keep(asked, &wallet("alice", 10));
        assert_eq!(known(&cache, "alice"), None, "asked before the interruption");
    }

    #[test]
    fn the_wallet_that_was_not_asked_for_longest_goes_first() {
        let cache = cache();
        cache.keep(cache.ticket(), &wallet("alice", 10));
        cache.keep(cache.ticket(), &wallet("bob", 10));
        assert!(cache.get("alice").is_some());
        cache.keep(cache.ticket(), &wallet("carol", 10));
        let ids = ["alice", "bob", "carol"].map(|id| cache.get(id).is_some());
        assert_eq!(ids, [true, false, true]);
    }
}

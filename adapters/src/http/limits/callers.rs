//! What callers have spent, in a bounded memory.
//!
//! For `governor` a caller is one number: when they will have a whole budget again. Its own stores of
//! them grow with every address that ever asked, until they are swept. Here at most [`MAX_CALLERS`]
//! are known, and a new one beyond that takes the place of who has not asked for the longest time;
//! which costs nobody anything, and gives that one a whole budget, as the time that it was away nearly
//! always has. To be forgotten on purpose somebody needs as many other accounts.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use lru::LruCache;

/// How many callers are known: those of a minute at a thousand new ones a second, in some 6 MB.
const MAX_CALLERS: usize = 65_536;

/// In how many parts, each behind a lock of its own: more than threads that come at once.
const PARTS: usize = 32;

const A_PART: NonZeroUsize = NonZeroUsize::new(MAX_CALLERS / PARTS).unwrap();

/// When each caller will have a whole budget again, by the hash of who they are.
#[derive(Clone)]
pub(super) struct Callers(Arc<[Mutex<LruCache<u64, Nanos>>; PARTS]>);

impl Default for Callers {
    fn default() -> Self {
        Self::of_at_most(A_PART)
    }
}

impl Callers {
    fn of_at_most(a_part: NonZeroUsize) -> Self {
        Self(Arc::new(std::array::from_fn(|_| Mutex::new(LruCache::new(a_part)))))
    }

    fn part(&self, caller: u64) -> MutexGuard<'_, LruCache<u64, Nanos>> {
        // The hash is even in all its bytes.
        let [byte, ..] = caller.to_le_bytes();
        let part = &self.0[usize::from(byte) % PARTS];
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Callers {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, caller: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut part = self.part(*caller);
        if let Some(known) = part.get_mut(caller) {
            let (measured, next) = measure(Some(*known))?;
            *known = next;
            return Ok(measured);
        }
        let (measured, next) = measure(None)?;
        part.put(*caller, next);
        Ok(measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was known of a caller, who is then known.
    fn seen(callers: &Callers, caller: u64) -> Option<u64> {
        let seen: Result<_, ()> =
            callers.measure_and_replace(&caller, |known| Ok((known, Nanos::new(caller))));
        seen.unwrap().map(Nanos::as_u64)
    }

    #[test]
    fn beyond_the_bound_the_one_who_asked_least_recently_is_forgotten() {
        let callers = Callers::of_at_most(NonZeroUsize::new(2).unwrap());
        // All in one part.
        let [a, b, c] = [1, 2, 3].map(|n| n * PARTS as u64);
        for caller in [a, b] {
            assert_eq!(seen(&callers, caller), None);
        }
        assert_eq!(seen(&callers, a), Some(a));
        assert_eq!(seen(&callers, c), None);
        assert_eq!(seen(&callers, b), None, "it was forgotten for the third one");
        assert_eq!(seen(&callers, c), Some(c));
    }

    #[test]
    fn who_is_refused_is_asked_of_and_not_written() {
        let callers = Callers::default();
        let refused = callers.measure_and_replace(&1, |_| Err::<((), Nanos), _>("no"));
        assert_eq!(refused, Err("no"));
        assert_eq!(seen(&callers, 1), None);
    }

    #[test]
    fn however_many_come_only_so_many_are_known() {
        let callers = Callers::default();
        for caller in 0..3 * MAX_CALLERS as u64 {
            seen(&callers, caller);
        }
        let known: usize = callers.0.iter().map(|part| part.lock().unwrap().len()).sum();
        assert_eq!(known, MAX_CALLERS);
    }
}

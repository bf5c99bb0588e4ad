//! The budget of reads, or of writes: what every caller has of it, as a bucket that fills evenly.
//!
//! Two limiters keep one record. `limiter` lets in what the burst has room for; `credit`, whose burst
//! is larger by the largest bulk, charges the commands of a bulk that was let in. What goes beyond the
//! burst is a debt: the first limiter lets nothing in until time has paid it.

use std::num::NonZeroU32;

use axum::http::HeaderValue;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::{InsufficientCapacity, NotUntil, Quota, RateLimiter};

use super::Rate;
use super::callers::Callers;
use crate::http::bulk::MAX_COMMANDS;

/// How far a budget goes into debt: as far as the largest bulk takes it.
const CREDIT: u32 = 1_000;
const _: () = assert!(CREDIT as usize == MAX_COMMANDS);

type Limiter<C> = RateLimiter<u64, Callers, C, StateInformationMiddleware>;

/// What became of a request's charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was taken.
    Left {
        /// So many more may follow at once.
        remaining: u32,
        /// After so many seconds the whole burst is there again.
        whole_in: u64,
    },
    /// There was nothing to take.
    Refused {
        /// After so many seconds there is; at least one.
        seconds: u64,
    },
}

/// What each caller may ask for, and has asked for.
pub(super) struct Budget<C: Clock = MonotonicClock> {
    name: &'static str,
    rate: Rate,
    policy: HeaderValue,
    limiter: Limiter<C>,
    credit: Limiter<C>,
}

impl Budget {
    pub(super) fn new(name: &'static str, rate: Rate) -> Self {
        Self::by(&MonotonicClock, name, rate)
    }
}

impl<C: Clock + Clone> Budget<C> {
    /// By this clock.
    pub(super) fn by(clock: &C, name: &'static str, rate: Rate) -> Self {
        let callers = Callers::default();
        let limiter = |burst: NonZeroU32| {
            let quota = Quota::per_second(rate.per_second).allow_burst(burst);
            Limiter::new(quota, callers.clone(), clock.clone())
        };
        let Rate { per_second, burst } = rate;
        let policy = format!(r#""{name}";q={per_second};w=1;florin-burst={burst}"#);
        Self {
            name,
            rate,
            // ASCII is always the value of a header.
            policy: HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("")),
            limiter: limiter(burst),
            credit: limiter(burst.saturating_add(CREDIT)),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// The field that says how much a caller may ask for.
    pub(super) fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }

    /// Takes one, if there is one.
    pub(super) fn spend(&self, caller: u64) -> Taken {
        match self.limiter.check_key(&caller) {
            Ok(now) => self.left(&now, 0),
            Err(until) => self.refused(&until),
        }
    }

    /// Takes more, though the caller then owes it; not when they owe a bulk's worth already.
    pub(super) fn owe(&self, caller: u64, more: NonZeroU32) -> Taken {
        let taken = self.credit.check_key_n(&caller, more);
        // There is capacity: the credit is that of the largest bulk.
        let taken = taken.unwrap_or_else(|InsufficientCapacity(_)| self.credit.check_key(&caller));
        match taken {
            Ok(now) => self.left(&now, CREDIT),
            // To be let in again takes longer than to be given credit.
            Err(_) => match self.limiter.check_key(&caller) {
                Ok(_) => Taken::Refused { seconds: 1 },
                Err(until) => self.refused(&until),
            },
        }
    }

    /// Of a limiter whose burst is larger by so many.
    fn left(&self, now: &StateSnapshot, credit: u32) -> Taken {
        let Rate { per_second, burst } = self.rate;
        let remaining = now.remaining_burst_capacity();
        let missing = (burst.get().saturating_add(credit)).saturating_sub(remaining);
        Taken::Left {
            remaining: remaining.saturating_sub(credit),
            whole_in: missing.div_ceil(per_second.get()).into(),
        }
    }

    fn refused(&self, until: &NotUntil<C::Instant>) -> Taken {
        let wait = until.wait_time_from(self.limiter.clock().now());
        let started = u64::from(wait.subsec_nanos() > 0);
        Taken::Refused { seconds: wait.as_secs().saturating_add(started).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn budget(per_second: u32, burst: u32) -> (Budget<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let [per_second, burst] = [per_second, burst].map(|n| n.try_into().unwrap());
        (Budget::by(&clock, "writes", Rate { per_second, burst }), clock)
    }

    fn owe(budget: &Budget<FakeRelativeClock>, more: u32) -> Taken {
        budget.owe(1, more.try_into().unwrap())
    }

    fn left(remaining: u32, whole_in: u64) -> Taken {
        Taken::Left { remaining, whole_in }
    }

    #[test]
    fn a_burst_is_let_in_and_then_the_rate() {
        let (budget, clock) = budget(10, 20);
        for spent in 1..=20 {
            assert_eq!(budget.spend(1), left(20 - spent, u64::from(spent.div_ceil(10))));
        }
        assert_eq!(budget.spend(1), Taken::Refused { seconds: 1 });
        assert_eq!(budget.spend(2), left(19, 1), "another caller has a budget of their own");
        clock.advance(Duration::from_millis(100));
        assert_eq!(budget.spend(1), left(0, 2));
        assert_eq!(budget.spend(1), Taken::Refused { seconds: 1 });
        clock.advance(Duration::from_secs(5));
        assert_eq!(budget.spend(1), left(19, 1));
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_suffices() {
        let (budget, clock) = budget(1, 1);
        assert_eq!(budget.spend(1), left(0, 1));
        clock.advance(Duration::from_millis(1));
        let Taken::Refused { seconds } = budget.spend(1) else { panic!("it is spent") };
        assert_eq!(seconds, 1);
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(budget.spend(1), left(0, 1));
    }

    #[test]
    fn a_bulk_beyond_the_burst_is_let_in_and_paid_by_time() {
        let (budget, clock) = budget(100, 10);
        assert_eq!(budget.spend(1), left(9, 1));
        assert_eq!(owe(&budget, CREDIT - 1), left(0, 10));
        // It owes all but the burst.
        assert_eq!(budget.spend(1), Taken::Refused { seconds: 10 });
        clock.advance(Duration::from_millis(9_900));
        assert_eq!(budget.spend(1), Taken::Refused { seconds: 1 });
        clock.advance(Duration::from_millis(10));
        assert_eq!(budget.spend(1), left(0, 1));
    }

    #[test]
    fn the_debt_of_bulks_that_come_together_has_a_bound() {
        let (budget, _) = budget(100, 10);
        let spent: Vec<Taken> = (0..10).map(|_| budget.spend(1)).collect();
        assert!(!spent.iter().any(|taken| matches!(taken, Taken::Refused { .. })));
        assert_eq!(owe(&budget, CREDIT), left(0, 11));
        assert_eq!(owe(&budget, 1), Taken::Refused { seconds: 11 });
    }

    #[test]
    fn within_the_burst_a_bulk_leaves_the_rest() {
        let (budget, _) = budget(1_000, 2_000);
        assert_eq!(budget.spend(1), left(1_999, 1));
        assert_eq!(owe(&budget, 499), left(1_500, 1));
        assert_eq!(budget.spend(1), left(1_499, 1));
    }

    #[test]
    fn the_policy_is_a_structured_field() {
        let (budget, _) = budget(1_000, 2_000);
        assert_eq!(budget.policy(), r#""writes";q=1000;w=1;florin-burst=2000"#);
    }
}

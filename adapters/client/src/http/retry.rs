//! How often a call is sent again, and after which waits.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::problem::{CallError, Problem};

/// The longest `Retry-After` that is waited for: whoever is told to wait for longer is told so.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// How often a call is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often in all; at least once.
    pub tries: u32,
    /// How long to wait after the first; twice as long after each one that follows.
    pub first_wait: Duration,
    /// How long to wait at most, unless the service asks for longer.
    pub longest_wait: Duration,
}

impl Retries {
    /// For half a minute: longer than a service takes to start again, or Postgres to recover.
    pub const USUAL: Self = Self {
        tries: 12,
        first_wait: Duration::from_millis(50),
        longest_wait: Duration::from_secs(5),
    };

    /// Once, and not again.
    pub const NONE: Self =
        Self { tries: 1, first_wait: Duration::ZERO, longest_wait: Duration::ZERO };
}

/// Why to send again.
#[derive(Debug)]
pub(super) enum Again {
    /// There was no answer, or half of one.
    Unanswered(reqwest::Error),
    /// It passes, perhaps after so long.
    Problem(Problem, Option<Duration>),
}

impl Again {
    /// What the caller is told after the last try.
    pub(super) fn given_up(self, tries: u32) -> CallError {
        match self {
            Self::Unanswered(cause) => CallError::Unreachable { tries, cause },
            Self::Problem(problem, _) => CallError::Problem(problem),
        }
    }
}

/// The waits between the tries of one call.
#[derive(Debug)]
pub(super) struct Backoff {
    retries: Retries,
    wait: Duration,
    tries: u32,
}

impl Backoff {
    pub(super) fn of(retries: Retries) -> Self {
        Self { retries, wait: retries.first_wait, tries: 0 }
    }

    /// How many tries there were.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// How long to wait after a try that came to this; none when it was the last.
    pub(super) fn next(&mut self, again: &Again) -> Option<Duration> {
        self.tries += 1;
        let asked = match again {
            Again::Unanswered(_) => Duration::ZERO,
            Again::Problem(_, asked) => asked.unwrap_or_default(),
        };
        if self.tries >= self.retries.tries || asked > LONGEST_ASKED {
            return None;
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(self.retries.longest_wait);
        Some(wait.max(asked))
    }
}

/// What `Retry-After` asks for, in seconds, as this service has it.
pub(super) fn after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(asked: Option<u64>) -> Again {
        let problem = Problem::read(503, br#"{"code":"busy"}"#, false);
        Again::Problem(problem, asked.map(Duration::from_secs))
    }

    fn waits(asked: Option<u64>) -> Vec<u64> {
        let retries = Retries {
            tries: 5,
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_millis(300),
        };
        let mut backoff = Backoff::of(retries);
        let next = || backoff.next(&busy(asked));
        std::iter::from_fn(next).map(|wait| u64::try_from(wait.as_millis()).unwrap()).collect()
    }

    #[test]
    fn waits_double_up_to_a_bound_and_end() {
        assert_eq!(waits(None), [100, 200, 300, 300]);
    }

    #[test]
    fn the_service_is_given_the_time_that_it_asks_for_if_that_is_reasonable() {
        assert_eq!(waits(Some(2)), [2_000; 4]);
        assert_eq!(waits(Some(3_600)), [0; 0]);
    }
}

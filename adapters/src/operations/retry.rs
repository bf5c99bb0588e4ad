//! What an attempt came to: an end, or another attempt later.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use florin_application::SubmitError;
use florin_application::command::{Answer, Outcome, Receipt, Refused};
use florin_domain::Refusal;
use florin_domain::transfer::Phase;

use super::row::Verdict;

/// How often an operation is tried, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often it is begun before it is set aside.
    pub max_attempts: u32,
    /// The first wait between two attempts, which doubles, and the longest.
    pub backoff: (Duration, Duration),
}

impl Retries {
    /// Half an hour, most of it a minute apart: what Postgres takes to be failed over, and people to be
    /// woken. While Postgres is away no attempt is begun, because none could be recorded.
    pub const USUAL: Self =
        Self { max_attempts: 40, backoff: (Duration::from_millis(250), Duration::from_secs(60)) };

    /// How long to wait after so many attempts.
    pub(crate) fn wait(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        (self.backoff.0 * 2_u32.pow(doublings)).min(self.backoff.1)
    }
}

/// How long an attempt whose end nobody saw may still come to something: its process may have been
/// frozen, or have the command in a queue. Longer than any wait in the ledger and any statement.
const DOUBT: TimeDelta = TimeDelta::seconds(60);

/// What is known of an operation when an attempt has been made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// Its number.
    pub(super) number: u32,
    /// Which it is since the operation was last queued by somebody.
    pub(super) in_a_row: u32,
    /// Whether it is in the name of an owner.
    pub(super) has_owner: bool,
    /// When the last attempt was made whose end nobody saw.
    pub(super) in_doubt_at: Option<DateTime<Utc>>,
    /// When this one was begun.
    pub(super) begun_at: DateTime<Utc>,
}

/// What is to be put on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It has an outcome, and only this one.
    End(Verdict),
    /// Not now.
    Later {
        /// When.
        wait: Duration,
        /// What is the matter.
        why: String,
        /// Whether it may still come to something without anybody seeing it.
        is_in_doubt: bool,
    },
    /// Not at all, as far as anybody can see.
    Fail(String),
}

/// What follows from what the ledger said; `None` if it said nothing in time.
pub(super) fn step(
    attempt: Attempt,
    answered: Option<Result<Answer, SubmitError>>,
    retries: &Retries,
) -> Step {
    let (why, is_in_doubt) = match answered {
        Some(Ok(answer)) if is_under_way(&answer.outcome) => {
            ("the transfer is under way".to_owned(), false)
        }
        Some(Ok(Answer { outcome, replayed })) => {
            let is_kept = replayed || is_kept(&outcome, attempt.has_owner);
            return ended(attempt, Verdict::Decided { outcome, replayed }, is_kept);
        }
        Some(Err(SubmitError::VersionMismatch { actual })) => {
            return ended(attempt, Verdict::VersionMismatch { actual }, false);
        }
        Some(Err(SubmitError::KeyReused)) => return Step::End(Verdict::KeyReused),
        Some(Err(
            error @ (SubmitError::InProgress
            | SubmitError::Busy
            | SubmitError::Rejected
            | SubmitError::Apart { .. }),
        )) => (error.to_string(), false),
        Some(Err(error @ SubmitError::Unavailable)) => (error.to_string(), true),
        None => ("the ledger did not answer in time".to_owned(), true),
    };
    match attempt.in_a_row >= retries.max_attempts {
        true => Step::Fail(why),
        false => Step::Later { wait: retries.wait(attempt.in_a_row), why, is_in_doubt },
    }
}

/// A verdict that the ledger does not keep is the last word only if no attempt before this one can
/// still come to another: the operation waits until that is sure.
fn ended(attempt: Attempt, verdict: Verdict, is_kept: bool) -> Step {
    let sure_at = attempt.in_doubt_at.map(|at| at + DOUBT).filter(|at| *at > attempt.begun_at);
    match sure_at {
        Some(sure_at) if !is_kept => Step::Later {
            wait: (sure_at - attempt.begun_at).to_std().unwrap_or_default(),
            why: "an attempt before this one may still come to something".to_owned(),
            is_in_doubt: false,
        },
        Some(_) | None => Step::End(verdict),
    }
}

/// Its client is told when it has ended.
fn is_under_way(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Accepted(Receipt::Transfer(receipt)) => receipt.phase == Phase::Debited,
        Outcome::Accepted(
            Receipt::Wallet(_) | Receipt::Movement(_) | Receipt::Leg(_) | Receipt::All(_),
        )
        | Outcome::Refused(_) => false,
    }
}

/// Whether the key has this outcome for ever. A stranger is refused before a key is looked at.
fn is_kept(outcome: &Outcome, has_owner: bool) -> bool {
    match outcome {
        Outcome::Refused(Refused { refusal: Refusal::WalletNotFound, .. }) if has_owner => false,
        Outcome::Accepted(_) | Outcome::Refused(_) => outcome.is_kept(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIES: Retries =
        Retries { max_attempts: 3, backoff: (Duration::from_secs(1), Duration::from_secs(3)) };

    fn attempt(number: u32) -> Attempt {
        let begun_at = DateTime::UNIX_EPOCH;
        Attempt { number, in_a_row: number, has_owner: false, in_doubt_at: None, begun_at }
    }

    /// One that comes so many seconds after one whose end nobody saw.
    fn after_doubt(seconds: i64) -> Attempt {
        let doubt = DateTime::UNIX_EPOCH - TimeDelta::seconds(seconds);
        Attempt { in_doubt_at: Some(doubt), ..attempt(2) }
    }

    fn refused(refusal: Refusal) -> Answer {
        Answer { outcome: Outcome::Refused(Refused::because(refusal)), replayed: false }
    }

    fn of(attempt: Attempt, answered: Result<Answer, SubmitError>) -> Step {
        step(attempt, Some(answered), &RETRIES)
    }

    fn is_end(step: &Step) -> bool {
        matches!(step, Step::End(_))
    }

    #[test]
    fn what_cannot_be_now_is_tried_again_later_and_later_and_then_set_aside() {
        for (error, is_in_doubt) in [
            (SubmitError::Busy, false),
            (SubmitError::InProgress, false),
            (SubmitError::Rejected, false),
            (SubmitError::Unavailable, true),
        ] {
            let why = error.to_string();
            let later = |seconds| Step::Later {
                wait: Duration::from_secs(seconds),
                why: why.clone(),
                is_in_doubt,
            };
            let step = |number| of(attempt(number), Err(error.clone()));
            assert_eq!(step(1), later(1));
            assert_eq!(step(2), later(2));
            assert_eq!(step(3), Step::Fail(why.clone()));
        }
        let silence = |attempt| step(attempt, None, &RETRIES);
        assert!(matches!(silence(attempt(1)), Step::Later { is_in_doubt: true, .. }));
        let queued_again = Attempt { number: 4, ..attempt(1) };
        assert!(matches!(silence(queued_again), Step::Later { .. }));
    }

    #[test]
    fn a_wait_doubles_up_to_the_longest() {
        let waits: Vec<u64> = [1, 2, 3, 4, 100].map(|n| RETRIES.wait(n).as_secs()).into();
        assert_eq!(waits, [1, 2, 3, 3, 3]);
    }

    #[test]
    fn an_outcome_ends_it_whichever_attempt_it_was() {
        let same = refused(Refusal::SameWallet);
        for attempt in [attempt(1), attempt(3), after_doubt(1)] {
            assert!(is_end(&of(attempt, Ok(same.clone()))));
            assert_eq!(of(attempt, Err(SubmitError::KeyReused)), Step::End(Verdict::KeyReused));
        }
    }

    #[test]
    fn what_is_not_kept_ends_it_only_when_no_attempt_before_is_in_doubt() {
        let mismatch = || Err(SubmitError::VersionMismatch { actual: 3 });
        let exists = || Ok(refused(Refusal::WalletExists));
        for answered in [mismatch, exists] {
            assert!(is_end(&of(attempt(1), answered())));
            assert!(is_end(&of(attempt(2), answered())));
            let step = of(after_doubt(20), answered());
            assert!(matches!(step, Step::Later { wait, .. } if wait.as_secs() == 40), "{step:?}");
            assert!(is_end(&of(after_doubt(60), answered())));
        }
        let owned = Attempt { has_owner: true, ..after_doubt(0) };
        assert!(!is_end(&of(owned, Ok(refused(Refusal::WalletNotFound)))));
        assert!(is_end(&of(after_doubt(0), Ok(refused(Refusal::WalletNotFound)))));
    }
}

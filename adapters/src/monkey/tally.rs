//! What is counted while the run is on, shared by everything in flight.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::args::MonkeyArgs;
use super::offence::Offence;

/// A service that is off is off in thousands of places; the first ones tell the story.
const MAX_OFFENCES_KEPT: usize = 1_000;

/// Why a call had to go out again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// 409: the key is still running, or contended.
    InProgress,
    /// 429.
    Throttled,
    /// 502 to 504: the service, or what is behind it, is away for now.
    Away(u16),
    /// Any other 5xx.
    ServerError(u16),
    /// No reply at all: refused, reset, timed out.
    Broken(String),
}

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct Counts {
    pub replies: u64,
    pub copies_at_once: u64,
    pub late_retries: u64,
    pub mismatches: u64,
    pub bad_input: u64,
    pub replayed_keys: u64,
    pub in_progress: u64,
    pub throttled: u64,
    pub away: u64,
    pub server_errors: u64,
    pub broken_connections: u64,
}

/// Counts, latencies and offences of a run.
pub struct Tally {
    expect_no_5xx: bool,
    tolerate_outages: bool,
    given_up: AtomicBool,
    sheet: Mutex<Sheet>,
}

/// What a tally comes to.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// How often what happened.
    pub counts: Counts,
    /// Of every definite reply, in microseconds.
    pub latencies: Vec<u64>,
    /// The first [`MAX_OFFENCES_KEPT`].
    pub offences: Vec<Offence>,
    /// All of them.
    pub offences_met: u64,
}

impl Tally {
    /// An empty tally with the tolerance of the arguments.
    pub fn new(args: &MonkeyArgs) -> Self {
        Self {
            expect_no_5xx: args.expect_no_5xx,
            tolerate_outages: args.tolerate_outages,
            given_up: AtomicBool::new(false),
            sheet: Mutex::default(),
        }
    }

    /// Counts.
    pub fn count(&self, increment: impl FnOnce(&mut Counts)) {
        increment(&mut self.sheet().counts);
    }

    /// Takes down an offence.
    pub fn offend(&self, offence: Offence) {
        let mut sheet = self.sheet();
        sheet.offences_met += 1;
        if sheet.offences.len() < MAX_OFFENCES_KEPT {
            sheet.offences.push(offence);
        }
    }

    /// Takes down an offence after which nothing new is begun: with the service away for good, each
    /// further step would wait its full patience.
    pub fn give_up(&self, offence: Offence) {
        self.given_up.store(true, Ordering::Relaxed);
        self.offend(offence);
    }

    /// Whether to begin nothing new.
    pub fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// A definite reply came after so long.
    pub fn answered_after(&self, elapsed: Duration) {
        let mut sheet = self.sheet();
        sheet.counts.replies += 1;
        sheet.latencies.push(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX));
    }

    /// A call has to go out again. Whether that is an offence, the arguments say.
    pub fn met(&self, trouble: &Trouble, to: &str) {
        let to = to.to_owned();
        match trouble {
            Trouble::InProgress => self.count(|counts| counts.in_progress += 1),
            Trouble::Throttled => self.count(|counts| counts.throttled += 1),
            Trouble::Away(status) => {
                self.count(|counts| counts.away += 1);
                if self.expect_no_5xx && !self.tolerate_outages {
                    self.offend(Offence::ServerError { to, status: *status });
                }
            }
            Trouble::ServerError(status) => {
                self.count(|counts| counts.server_errors += 1);
                if self.expect_no_5xx {
                    self.offend(Offence::ServerError { to, status: *status });
                }
            }
            Trouble::Broken(why) => {
                self.count(|counts| counts.broken_connections += 1);
                if !self.tolerate_outages {
                    self.offend(Offence::Outage { to, why: why.clone() });
                }
            }
        }
    }

    /// What it came to so far.
    pub fn total(&self) -> Sheet {
        self.sheet().clone()
    }

    fn sheet(&self) -> MutexGuard<'_, Sheet> {
        // A count is whole after every line, so a poisoned lock holds nothing broken.
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

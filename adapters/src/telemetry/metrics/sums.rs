//! Whether the money adds up, made by the trial balance that operators ask for, in the background.
//!
//! It reads every row of two read models, so it has a pace: not before [`PAUSE`] after the last one, and
//! not before [`REST`] times as long as that took. However many wallets there are, and however often
//! somebody asks for figures, it takes a fiftieth of one of Postgres's backends for each process that
//! is asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use rust_decimal::prelude::ToPrimitive as _;
use tokio::time::Instant;

use crate::reports::{ReportDesk, When};

/// How long between two of them at least: an alarm within some minutes is soon enough for a defect that
/// no customer can cause.
const PAUSE: Duration = Duration::from_secs(60);

/// How many times as long as one took is waited for the next.
const REST: u32 = 49;

/// The last trial balance. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sums {
    desk: ReportDesk,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// When the next one may be made; `None` while one is being made.
    next_at: Option<Instant>,
    is_making: bool,
    last: Option<Last>,
}

struct Last {
    made_at: Duration,
    /// By currency.
    differences: Vec<(String, f64)>,
}

impl Sums {
    pub(super) fn new(desk: ReportDesk) -> Self {
        Self { desk, known: Arc::default() }
    }

    pub(super) fn observe(&self, meter: &Meter) {
        let known = Arc::clone(&self.known);
        meter
            .f64_observable_gauge("florin.trial_balance.difference")
            .with_description(
                "Deposits - withdrawals - balances - in flight, by currency: zero, or the ledger \
                 is wrong.",
            )
            .with_callback(move |gauge| {
                for (currency, difference) in lock(&known).last.iter().flat_map(|l| &l.differences)
                {
                    gauge.observe(*difference, &[KeyValue::new("currency", currency.clone())]);
                }
            })
            .build();
        let known = Arc::clone(&self.known);
        meter
            .f64_observable_gauge("florin.trial_balance.made")
            .with_unit("s")
            .with_description("When the last trial balance was made, in seconds since 1970.")
            .with_callback(move |gauge| {
                if let Some(last) = &lock(&known).last {
                    gauge.observe(last.made_at.as_secs_f64(), &[]);
                }
            })
            .build();
    }

    /// Makes the next one, if it is time, while whoever asks goes on.
    pub(super) fn make_soon(&self) {
        let mut known = lock(&self.known);
        let is_due = known.next_at.is_none_or(|next| next <= Instant::now());
        if known.is_making || !is_due {
            return;
        }
        known.is_making = true;
        let this = self.clone();
        tokio::spawn(async move { this.make().await });
    }

    async fn make(&self) {
        let begun = Instant::now();
        let made = self.desk.trial_balance(When::Now).await;
        let mut known = lock(&self.known);
        known.is_making = false;
        known.next_at = Some(Instant::now() + PAUSE.max(begun.elapsed() * REST));
        match made {
            Ok(made) => {
                let difference = |of: &florin_projections::trial_balance::Figures| {
                    // A difference that no float holds is one all the same.
                    let difference = of.difference.to_f64().unwrap_or(f64::NAN);
                    (of.currency.to_string(), difference)
                };
                let differences = made.figures.iter().map(difference).collect();
                let made_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                known.last = Some(Last { made_at, differences });
            }
            Err(error) => tracing::warn!(%error, "no trial balance for the figures"),
        }
    }
}

/// The lock is held for moments only, and nothing in them can fail half-way.
fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

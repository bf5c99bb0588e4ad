//! Traces by OpenTelemetry: which spans a request leaves, and those of whatever follows from it.
//!
//! ```text
//! POST /wallets/{id}/deposit ┬ append events          its commit, with others
//!   in the request's trace   ├ publish LEDGER         sent until acknowledged
//!                            └ project balance        … and one for each other read model
//!                                  └─ linked to and from ─ append, publish, project batch
//!                                                          each in a trace of its own
//! ```
//!
//! The trace context that is stored with an event names the span of the request, or of the operation or
//! message, that asked for it. Whatever happens to the event later is a child of that span, in whichever
//! process. What an event shares with thousands of others, an append for one, is a span of another
//! trace: the two are linked.
//!
//! | file | holds |
//! |---|---|
//! | `asked` | the spans of what asks for commands: requests, operations, messages of other services |
//! | `batch` | the spans of what happens to events, many at once |
//! | `context` | trace contexts as text |
//! | `export` | the way to the collector, which holds nobody up |
//!
//! What is traced is decided once, where it comes in: as the caller says in their `traceparent`, or else by
//! chance ([`Ratio`]). Whoever comes later reads that from the stored context. Off, all of this is the
//! look at one pointer.
//!
//! Names and attributes are those of the semantic conventions
//! (<https://opentelemetry.io/docs/specs/semconv/>) where they have one, and `florin.*` where not. There
//! is nothing of a wallet, an owner or an amount in them.

mod asked;
mod batch;
pub(crate) mod context;
mod export;

use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use thiserror::Error;

pub(crate) use asked::{Asked, AskedFor};
pub(crate) use batch::{Batch, ProjectionTraces, Stage};
use export::Delivery;

/// How long the end of the process waits for spans that are not exported yet.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// The traces of this process, where they are on.
static TRACES: OnceLock<Traces> = OnceLock::new();

/// How traces are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where they are sent: a collector's address for OTLP by HTTP (`http://127.0.0.1:4318`).
    pub endpoint: String,
    /// How many of the requests are traced whose callers do not say.
    pub ratio: Ratio,
    /// What this service is called.
    pub service: String,
}

/// Why there are no traces.
#[derive(Debug, Error)]
pub enum TracesError {
    /// The address is none, or what else the environment says to OpenTelemetry.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}: say http://host:4318, or leave it out")]
    Exporter(#[from] ExporterBuildError),
    /// They were begun before.
    #[error("traces are set up already")]
    Twice,
}

/// How many of all requests: 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ratio(u64);

/// Not a [`Ratio`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a ratio is a number from 0 (none) to 1 (all), such as 0.01")]
pub struct NoRatio;

impl FromStr for Ratio {
    type Err = NoRatio;

    fn from_str(text: &str) -> Result<Self, NoRatio> {
        let ratio: Decimal = text.parse().map_err(|_| NoRatio)?;
        if ratio < Decimal::ZERO || ratio > Decimal::ONE {
            return Err(NoRatio);
        }
        let bound = (ratio * Decimal::from(u64::MAX)).trunc().to_u64();
        bound.map(Self).ok_or(NoRatio)
    }
}

impl Ratio {
    /// So many of so many times.
    fn hits(self) -> bool {
        self.0 == u64::MAX || rand::random::<u64>() < self.0
    }
}

/// Begins to trace.
///
/// What is not exported yet is when the guard is dropped, so it lives as long as `main`, and shorter
/// than that of the log.
///
/// # Errors
/// [`TracesError`], by name.
pub fn start(settings: &Settings) -> Result<Guard, TracesError> {
    let (provider, delivery) = export::provider(settings)?;
    let traces = Traces::of(&provider, settings.ratio, Arc::clone(&delivery));
    TRACES.set(traces).map_err(|_| TracesError::Twice)?;
    Ok(Guard { provider, delivery })
}

/// The same, where that is wanted.
///
/// # Errors
/// As of [`start`].
pub fn start_if(settings: Option<&Settings>) -> Result<Option<Guard>, TracesError> {
    settings.map(start).transpose()
}

/// The traces of this process, where they are on.
pub(crate) fn traces() -> Option<&'static Traces> {
    TRACES.get()
}

/// Exports what is not exported yet when it is dropped, within a bounded time.
#[must_use]
#[derive(Debug)]
pub struct Guard {
    provider: SdkTracerProvider,
    delivery: Arc<Delivery>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // What failed is in the count of what is lost.
        let _ = self.provider.shutdown_with_timeout(STOP_WAIT);
        self.delivery.tell_lost();
    }
}

/// Where spans are made. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    tracer: SdkTracer,
    ratio: Ratio,
    delivery: Arc<Delivery>,
}

impl Traces {
    fn of(provider: &SdkTracerProvider, ratio: Ratio, delivery: Arc<Delivery>) -> Self {
        Self { tracer: provider.tracer(env!("CARGO_PKG_NAME")), ratio, delivery }
    }
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_from_none_to_all() {
        assert_eq!("0".parse(), Ok(Ratio(0)));
        assert_eq!("1.0".parse(), Ok(Ratio(u64::MAX)));
        let hundredth: Ratio = "0.01".parse().unwrap();
        assert_eq!(u64::MAX / hundredth.0, 100);
        for bad in ["", "-0.1", "1.1", "many", "NaN"] {
            assert_eq!(bad.parse::<Ratio>(), Err(NoRatio), "{bad}");
        }
    }

    #[test]
    fn all_and_none_leave_nothing_to_chance() {
        assert!((0..1000).all(|_| Ratio(u64::MAX).hits()));
        assert!((0..1000).all(|_| !Ratio(0).hits()));
    }
}

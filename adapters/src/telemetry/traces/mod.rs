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
//! | `sampler` | which requests are traced |
//!
//! What is traced is decided once, where it comes in ([`Sampler`]): as the caller says in their `traceparent`,
//! or else by chance. Whoever comes later reads that from the stored context. Off, all of this is the look
//! at one pointer.
//!
//! Names and attributes are those of the semantic conventions
//! (<https://opentelemetry.io/docs/specs/semconv/>) where they have one, and `florin.*` where not. There
//! is nothing of a wallet, an owner or an amount in them.

mod asked;
mod batch;
pub(crate) mod context;
mod export;
mod sampler;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use thiserror::Error;

pub(crate) use asked::{Asked, AskedFor};
pub(crate) use batch::{Batch, ProjectionTraces, Stage};
use export::Delivery;
pub use sampler::{NoRatio, Ratio, Rule, Sampler};

/// How long the end of the process waits for spans that are not exported yet.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// The traces of this process, where they are on.
static TRACES: OnceLock<Traces> = OnceLock::new();

/// How traces are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where they are sent: a collector's address for OTLP by HTTP (`http://127.0.0.1:4318`).
    pub endpoint: String,
    /// Which requests are traced.
    pub sampler: Sampler,
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

/// Begins to trace.
///
/// What is not exported yet is when the guard is dropped, so it lives as long as `main`, and shorter
/// than that of the log.
///
/// # Errors
/// [`TracesError`], by name.
pub fn start(settings: &Settings) -> Result<Guard, TracesError> {
    let (provider, delivery) = export::provider(settings)?;
    let traces = Traces::of(&provider, settings.sampler, Arc::clone(&delivery));
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

/// The trace context of a request that this process does not trace, as whatever follows from it is told: a
/// process that traces has decided that for all that come later.
pub(crate) fn passed_on(traceparent: &str) -> Arc<str> {
    match traces() {
        Some(_) => context::untraced(traceparent).into(),
        None => traceparent.into(),
    }
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
    sampler: Sampler,
    delivery: Arc<Delivery>,
}

impl Traces {
    fn of(provider: &SdkTracerProvider, sampler: Sampler, delivery: Arc<Delivery>) -> Self {
        Self { tracer: provider.tracer(env!("CARGO_PKG_NAME")), sampler, delivery }
    }
}

#[cfg(test)]
mod testing;

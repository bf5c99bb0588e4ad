//! Figures: what the process does, and how far everything behind the journal is.
//!
//! ```text
//! requests, commands, appends … ─ recorded where they happen ─┐
//! queues, memory ─ looked at when somebody asks ──────────────┼─▶ meter ─▶ Prometheus text, OTLP
//! lags, dead letters, sums ─ read from Postgres ─▶ known ─────┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `recorded` | what is counted and timed where it happens |
//! | `series` | the labels of what happens with every request, looked up once |
//! | `process` | what this process is: its build, memory, age, and what waits in it |
//! | `database` | what Postgres knows, read for whoever asks, and no more often than every few seconds |
//! | `sums` | whether the money adds up, read at a pace of its own |
//! | `export` | the way to a collector, where there is one |
//!
//! As with the log there is one meter a process, set up at its start, and none unless somebody asked
//! for figures: what is recorded then costs a look at an empty cell. Names are those of the semantic
//! conventions where there are any, and begin with `florin.` where there are none; Prometheus has
//! them with underscores, units and `_total` (`florin_append_duration_seconds`).
//!
//! Labels are routes and never paths, codes, currencies, and the names of read models and consumers: so
//! there is nothing of anybody's in them, and as many series as this program has routes and codes: at
//! most some hundreds a figure. OpenTelemetry bounds each all the same, at 2,000; what comes beyond
//! is one series by itself, with the label `otel_metric_overflow`.

pub(crate) mod database;
mod export;
mod process;
pub(crate) mod recorded;
mod series;
mod sums;

use std::sync::OnceLock;

use florin_application::Depth;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use thiserror::Error;
use uuid::Uuid;

pub use recorded::CountCommands;
use recorded::Instruments;

/// As what the figures come.
const SCOPE: &str = "florin";

/// How figures are taken.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What this service is called.
    pub service: String,
    /// The collector that they are sent to besides (`http://127.0.0.1:4318/v1/metrics`), if any.
    pub collector: Option<String>,
}

/// What is recorded to, once somebody asked for figures.
static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();

fn instruments() -> Option<&'static Instruments> {
    INSTRUMENTS.get()
}

/// There are no figures.
#[derive(Debug, Error)]
pub enum MetricsError {
    /// The meter cannot be set up.
    #[error("figures cannot be taken: {0}")]
    Meter(#[from] OTelSdkError),
    /// The address of the collector is none.
    #[error(
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: {0}: say http://host:4318/v1/metrics, or leave it out"
    )]
    Collector(#[from] ExporterBuildError),
    /// They cannot be written down.
    #[error("figures cannot be written: {0}")]
    Text(#[from] prometheus::Error),
    /// The process takes them already.
    #[error("figures are taken already")]
    Twice,
}

/// The figures of this process, for whoever asks for them.
pub struct Metrics {
    registry: Registry,
    provider: SdkMeterProvider,
    meter: Meter,
}

impl Metrics {
    /// Begins to take figures.
    ///
    /// # Errors
    /// [`MetricsError`], by name.
    pub fn start(settings: &Settings) -> Result<Self, MetricsError> {
        let metrics = Self::idle(settings)?;
        let instruments = Instruments::new(&metrics.meter);
        INSTRUMENTS.set(instruments).map_err(|_| MetricsError::Twice)?;
        process::observe(&metrics.meter);
        Ok(metrics)
    }

    /// With a meter that nothing is recorded to.
    fn idle(settings: &Settings) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(settings.service.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", Uuid::new_v4().to_string()))
            .build();
        let builder = SdkMeterProvider::builder().with_resource(resource).with_reader(exporter);
        let provider = match &settings.collector {
            None => builder.build(),
            Some(url) => builder.with_periodic_exporter(export::exporter(url)?).build(),
        };
        let meter = provider.meter(SCOPE);
        Ok(Self { registry, provider, meter })
    }

    /// Where further figures are registered.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Looks at the queues of a ledger, too, by partition.
    pub fn watch_queues(&self, depths: Vec<Depth>) {
        process::observe_queues(&self.meter, depths);
    }

    /// All of them, as Prometheus reads them.
    ///
    /// # Errors
    /// [`MetricsError::Text`], for a defect.
    pub fn text(&self) -> Result<String, MetricsError> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    /// Sends the last of them to the collector, if there is one, within a bounded time. Nothing is
    /// sent after that.
    pub fn finish(&self) {
        // Whether it came there is told where it is sent.
        let _ = self.provider.shutdown();
    }
}

//! The way of figures to a collector (OTLP by HTTP), every minute, or as `OTEL_METRIC_EXPORT_INTERVAL`
//! says. Nothing of the service waits for it: a thread of its own collects and sends.
//!
//! While the collector is away its minute is lost, and the next one tells all the counts again: they
//! are sums since the beginning. That it is away is said once, and once that it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_otlp::{ExporterBuildError, MetricExporter, Protocol, WithExportConfig as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;

/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What sends figures to a collector.
pub(super) fn exporter(endpoint: &str) -> Result<Watched<MetricExporter>, ExporterBuildError> {
    let exporter = MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT)
        .build()?;
    Ok(Watched { exporter, is_away: AtomicBool::new(false) })
}

/// An exporter whose trouble is told, once.
#[derive(Debug)]
pub(super) struct Watched<E> {
    exporter: E,
    is_away: AtomicBool,
}

impl<E> Watched<E> {
    fn note(&self, sent: &OTelSdkResult) {
        let was_away = self.is_away.swap(sent.is_err(), Ordering::Relaxed);
        match sent {
            Ok(()) if was_away => tracing::info!("the collector takes figures again"),
            Err(error) if !was_away => {
                tracing::warn!(%error, "the collector does not take figures");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let sent = self.exporter.export(metrics).await;
        self.note(&sent);
        sent
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

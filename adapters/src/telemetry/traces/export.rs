//! The way of spans to the collector.
//!
//! ```text
//! span ends ─▶ queue (bounded; full, it drops) ─▶ a thread of its own ─OTLP by HTTP─▶ collector
//! ```
//!
//! Nothing of the service waits for it. While the collector is away, spans are lost: that is said once when
//! it goes and once when it is back, with how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter as OtlpExporter, WithExportConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use uuid::Uuid;

use super::Settings;

/// How many spans wait at most: some four megabytes, and what a hundredth of the largest load makes in
/// four seconds.
const QUEUE: usize = 8_192;

/// How many spans are sent at once: some hundred kilobytes.
const BATCH: usize = 1_024;

/// How long spans gather.
const EVERY: Duration = Duration::from_secs(1);

/// How long the collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where OTLP takes traces, behind the address of a collector.
const PATH: &str = "/v1/traces";

/// What makes spans, and what became of those that it made.
pub(super) fn provider(
    settings: &Settings,
) -> Result<(SdkTracerProvider, Arc<Delivery>), ExporterBuildError> {
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}{PATH}", settings.endpoint.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .build()?;
    let delivery = Arc::new(Delivery::default());
    let resource = Resource::builder()
        .with_service_name(settings.service.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", Uuid::new_v4().to_string()))
        .build();
    Ok((provided(exporter, resource, Arc::clone(&delivery)), delivery))
}

/// The same, for any exporter.
pub(super) fn provided(
    exporter: impl SpanExporter + 'static,
    resource: Resource,
    delivery: Arc<Delivery>,
) -> SdkTracerProvider {
    let exporter = Watched { exporter, delivery };
    let bounds = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(EVERY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(bounds).build();
    SdkTracerProvider::builder()
        .with_span_processor(processor)
        // Whoever makes a span has decided that it is wanted.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource)
        .build()
}

/// What became of the spans.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    ended: AtomicU64,
    delivered: AtomicU64,
    /// Since the collector went away.
    failed: AtomicU64,
}

impl Delivery {
    /// One more has ended.
    pub(super) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// How many did not come there; those that wait count, too.
    pub(super) fn lost(&self) -> u64 {
        let delivered = self.delivered.load(Ordering::Relaxed);
        self.ended.load(Ordering::Relaxed).saturating_sub(delivered)
    }

    /// Says at the end how many are lost, if any are.
    pub(super) fn tell_lost(&self) {
        let lost = self.lost();
        if lost > 0 {
            tracing::warn!(lost, "spans did not come to the collector");
        }
    }

    fn took(&self, spans: u64, result: &OTelSdkResult) {
        match result {
            Ok(()) => {
                self.delivered.fetch_add(spans, Ordering::Relaxed);
                let lost = self.failed.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::info!(lost, "the collector takes spans again");
                }
            }
            Err(error) => {
                if self.failed.fetch_add(spans, Ordering::Relaxed) == 0 {
                    tracing::warn!(%error, "the collector does not take spans: they are lost");
                }
            }
        }
    }
}

/// An exporter whose success is noted.
#[derive(Debug)]
struct Watched<E> {
    exporter: E,
    delivery: Arc<Delivery>,
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        self.delivery.took(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use axum::http::Method;

    use super::super::testing::{Away, Kept, Tracing};
    use super::*;

    /// Takes a batch, and then nothing until it is let.
    #[derive(Debug)]
    struct Stuck(std::sync::Mutex<mpsc::Receiver<()>>);

    impl SpanExporter for Stuck {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            // Either way it goes on.
            let _ = self.0.lock().unwrap().recv();
            Ok(())
        }
    }

    #[test]
    fn a_collector_that_takes_nothing_holds_nobody_up() {
        let (release, stuck) = mpsc::channel();
        let tracing = Tracing::to(Stuck(std::sync::Mutex::new(stuck)), Kept::default(), "1");
        let begun = Instant::now();
        let spans = 4 * QUEUE;
        for _ in 0..spans {
            drop(tracing.traces.request(None, &Method::GET, Some("/livez")));
        }
        let took = begun.elapsed();
        assert!(took < EVERY * 3, "{spans} spans take {took:?}");
        drop(release);
        tracing.spans();
        let lost = tracing.delivery.lost();
        assert!(lost >= (spans - 2 * QUEUE) as u64, "{lost} of {spans} are lost");
    }

    #[test]
    fn what_a_collector_does_not_take_is_counted() {
        let tracing = Tracing::to(Away, Kept::default(), "1");
        for _ in 0..3 {
            drop(tracing.traces.request(None, &Method::GET, None));
        }
        tracing.spans();
        assert_eq!(tracing.delivery.lost(), 3);
        tracing.delivery.took(2, &Ok(()));
        assert_eq!(tracing.delivery.lost(), 1);
    }
}

//! Traces whose spans stay in this process.

use std::sync::{Arc, Mutex};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

use super::export::{Delivery, provided};
use super::{Sampler, Traces};

/// Every span that was exported.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// Takes nothing.
#[derive(Debug)]
pub(super) struct Away;

impl SpanExporter for Away {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Err(OTelSdkError::InternalFailure("it is away".to_owned()))
    }
}

/// Traces, and where their spans are kept.
pub(super) struct Tracing {
    pub(super) traces: Traces,
    pub(super) delivery: Arc<Delivery>,
    provider: SdkTracerProvider,
    kept: Kept,
}

impl Tracing {
    /// So many requests are traced whose callers do not say.
    pub(super) fn of(ratio: &str) -> Self {
        let kept = Kept::default();
        Self::to(kept.clone(), kept, ratio)
    }

    /// The same, to any exporter.
    pub(super) fn to(exporter: impl SpanExporter + 'static, kept: Kept, ratio: &str) -> Self {
        let delivery = Arc::new(Delivery::default());
        let resource = Resource::builder_empty().build();
        let provider = provided(exporter, resource, Arc::clone(&delivery));
        let sampler = Sampler { ratio: ratio.parse().unwrap(), ..Sampler::default() };
        let traces = Traces::of(&provider, sampler, Arc::clone(&delivery));
        Self { traces, delivery, provider, kept }
    }

    /// The spans that have ended, in that order.
    pub(super) fn spans(&self) -> Vec<SpanData> {
        // One that cannot be exported is no concern of the provider.
        let _ = self.provider.force_flush();
        self.kept.0.lock().unwrap().clone()
    }
}

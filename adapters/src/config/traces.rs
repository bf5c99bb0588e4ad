//! Whether traces are made, and where they go: by the variables that OpenTelemetry has for that. What
//! else it knows (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES` …) its library reads itself.

use clap::Args;

use crate::telemetry::traces::{Ratio, Rule, Sampler, Settings};

/// Whether traces are made, and where they go.
#[derive(Debug, Clone, Default, Args)]
pub struct TraceArgs {
    /// The collector that takes traces and figures (OTLP by HTTP), such as http://127.0.0.1:4318. Without
    /// one there are no traces.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Which requests are traced: as their caller says (by `traceparent`) and else by the ratio, unless
    /// told otherwise.
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER",
        default_value = "parentbased_traceidratio",
        value_name = "RULE"
    )]
    pub trace_sampler: Rule,
    /// How many of the requests are traced where that is left to chance: 0 for none, 1 for all.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "0.01", value_name = "RATIO")]
    pub trace_ratio: Ratio,
    /// What this service is called there; florin-api, florin-worker or florin-dev unless said.
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub service_name: Option<String>,
}

impl TraceArgs {
    /// As traces take them; nothing where there are none.
    pub fn settings(&self, unless_said: &str) -> Option<Settings> {
        let endpoint = self.endpoint()?.to_owned();
        let sampler = Sampler { rule: self.trace_sampler, ratio: self.trace_ratio };
        Some(Settings { endpoint, sampler, service: self.service(unless_said) })
    }

    /// Where the collector takes something else.
    pub fn endpoint_of(&self, signal: &str) -> Option<String> {
        Some(format!("{}/v1/{signal}", self.endpoint()?.trim_end_matches('/')))
    }

    /// What this service is called there.
    pub fn service(&self, unless_said: &str) -> String {
        self.service_name.clone().unwrap_or_else(|| unless_said.to_owned())
    }

    fn endpoint(&self) -> Option<&str> {
        self.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty())
    }
}

//! The operator port: figures and probes, apart from what clients ask.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use super::TraceArgs;
use crate::telemetry::metrics::Settings;

/// Where operators look.
#[derive(Debug, Clone, Args)]
pub struct OperatorArgs {
    /// The address of the operator port. Whoever can connect to it is answered.
    #[arg(long, env = "FLORIN_OPERATOR_HOST", default_value = "127.0.0.1", value_name = "IP")]
    pub operator_host: IpAddr,
    /// The port of /metrics (Prometheus), /livez, /readyz and /log-filter; 0 for any free one. There is
    /// none unless it is said.
    #[arg(long, env = "FLORIN_OPERATOR_PORT", value_name = "PORT")]
    pub operator_port: Option<u16>,
    /// The collector that figures are sent to every minute (OTLP by HTTP), such as
    /// http://127.0.0.1:4318/v1/metrics; that of traces unless it is said.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", value_name = "URL")]
    pub otlp_metrics_endpoint: Option<String>,
}

impl OperatorArgs {
    /// How figures are taken of a service of that name; not at all, where nobody is there for them.
    pub fn metrics(&self, traces: &TraceArgs, unless_said: &str) -> Option<Settings> {
        let own = self.otlp_metrics_endpoint.clone().filter(|url| !url.is_empty());
        let collector = own.or_else(|| traces.endpoint_of("metrics"));
        let is_wanted = self.operator_port.is_some() || collector.is_some();
        is_wanted.then(|| Settings { service: traces.service(unless_said), collector })
    }

    /// Where to listen, if anywhere.
    pub fn address(&self) -> Option<SocketAddr> {
        self.operator_port.map(|port| SocketAddr::new(self.operator_host, port))
    }
}

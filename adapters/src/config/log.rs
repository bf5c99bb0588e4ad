//! What is logged, and how it looks.

use clap::Args;

use crate::telemetry::{DEFAULT_FILTER, Format};

/// What is logged.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// Which events are logged, as `tracing` filters them: `info`, `florin_adapters=debug,http=warn` …
    #[arg(long, env = "FLORIN_LOG", default_value = DEFAULT_FILTER, value_name = "FILTER")]
    pub log: String,
    /// How a line of the log looks.
    #[arg(long, env = "FLORIN_LOG_FORMAT", default_value = "auto", value_name = "FORMAT")]
    pub log_format: Format,
}

//! What is logged, how it looks, and where it goes besides standard output.

use std::path::PathBuf;

use clap::Args;

use crate::telemetry::{self, Bounds, DEFAULT_FILTER, Files, Format, Role};

/// What is logged.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// Which events, as `tracing` filters them: `info`, `florin_adapters=debug,http=warn` …
    #[arg(long, env = "FLORIN_LOG", default_value = DEFAULT_FILTER, value_name = "FILTER")]
    pub log: String,
    /// How they look.
    #[arg(long, env = "FLORIN_LOG_FORMAT", default_value = "auto", value_name = "FORMAT")]
    pub log_format: Format,
    /// The directory of api.log and worker.log, which have as JSON what stdout has; no files unless
    /// said. Each process needs one of its own.
    #[arg(long, env = "FLORIN_LOG_DIR", value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// How many bytes a log file has before it becomes an older one (api.log.1 …).
    #[arg(
        long,
        env = "FLORIN_LOG_FILE_BYTES",
        default_value_t = Bounds::USUAL.bytes,
        value_parser = clap::value_parser!(u64).range(MIN_LOG_FILE_BYTES..),
        value_name = "BYTES"
    )]
    pub log_file_bytes: u64,
    /// How many older files of a log are kept.
    #[arg(
        long,
        env = "FLORIN_LOG_FILES_KEPT",
        default_value_t = Bounds::USUAL.kept,
        value_parser = clap::value_parser!(u32).range(..=MAX_LOG_FILES),
        value_name = "N"
    )]
    pub log_files_kept: u32,
}

/// A buffer of lines, and so few files that it makes no difference.
const MIN_LOG_FILE_BYTES: u64 = 64 * 1024;

/// All of them are renamed in turn.
const MAX_LOG_FILES: i64 = 1_000;

impl LogArgs {
    /// As the log takes them, for a process that does this.
    pub fn settings(&self, role: Role) -> telemetry::Settings {
        let bounds = Bounds { bytes: self.log_file_bytes, kept: self.log_files_kept };
        telemetry::Settings {
            format: self.log_format,
            filter: self.log.clone(),
            files: self.log_dir.clone().map(|dir| Files { dir, bounds, role }),
        }
    }
}

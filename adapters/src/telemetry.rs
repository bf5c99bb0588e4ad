//! Logs: one stream of events to stdout, for people on a terminal and as JSON lines for machines.
//!
//! Writing happens in a thread of its own, so a slow pipe does not hold up requests until the buffer
//! between them is full; then it does, because a log with holes is worse than a slow one.

use std::io::{IsTerminal, stdout};

use thiserror::Error;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, fmt};

/// What is logged where nobody says otherwise.
pub const DEFAULT_FILTER: &str = "info";

/// How many lines wait for the writer: three seconds of 20,000 requests/s, some 20 MB.
const BUFFERED_LINES: usize = 65_536;

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// [`Format::Human`] on a terminal, [`Format::Json`] into a pipe or a file.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// Why there is no log.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("the log filter is not understood: {0}")]
    Filter(#[from] ParseError),
    /// Something else took the log first.
    #[error("the log is set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Begins to log what passes the filter (`info`, `florin_adapters=debug,http=warn` …).
///
/// Buffered lines are written when the guard is dropped, so it lives as long as `main`.
///
/// # Errors
/// [`TelemetryError`], by name.
pub fn init(format: Format, filter: &str) -> Result<WorkerGuard, TelemetryError> {
    let filter = EnvFilter::try_new(filter)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(false)
        .buffered_lines_limit(BUFFERED_LINES)
        .thread_name("log")
        .finish(stdout());
    let builder = fmt().with_env_filter(filter).with_writer(writer);
    if is_human(format, stdout().is_terminal()) {
        builder.finish().try_init()?;
    } else {
        let json = builder.json().flatten_event(true);
        let json = json.with_current_span(false).with_span_list(false);
        json.finish().try_init()?;
    }
    Ok(guard)
}

fn is_human(format: Format, on_terminal: bool) -> bool {
    match format {
        Format::Auto => on_terminal,
        Format::Human => true,
        Format::Json => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_gets_json_unless_a_person_asks() {
        assert!(is_human(Format::Auto, true));
        assert!(!is_human(Format::Auto, false));
        assert!(is_human(Format::Human, false));
        assert!(!is_human(Format::Json, true));
    }

    #[test]
    fn a_filter_that_is_none_is_named() {
        let error = init(Format::Json, "a=b=c").unwrap_err();
        assert!(error.to_string().starts_with("the log filter"), "{error}");
    }
}

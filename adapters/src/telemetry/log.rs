//! Logs: one stream of events to stdout, for people on a terminal and as JSON lines for machines.
//!
//! Lines gather in a bounded buffer that is written when it is full and every tenth of a second: at
//! 20,000 requests/s a write for each line, or a thread to do it, costs a tenth of the service. A
//! slow pipe holds requests up rather than losing lines; a `kill -9` loses the last tenth of a second.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write, stdout};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, fmt};

/// What is logged where nobody says otherwise.
pub const DEFAULT_FILTER: &str = "info";

/// How much is written at once: some 300 lines.
const BUFFER: usize = 64 * 1024;

/// How long a line waits at most: a person who watches does not notice.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

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
/// What is buffered is written when the guard is dropped, so it lives as long as `main`.
///
/// # Errors
/// [`TelemetryError`], by name.
pub fn init(format: Format, filter: &str) -> Result<Guard, TelemetryError> {
    let filter = EnvFilter::try_new(filter)?;
    let log = Log(Arc::new(Mutex::new(BufWriter::with_capacity(BUFFER, stdout()))));
    let guard = Guard(log.clone());
    let builder = fmt().with_env_filter(filter).with_writer(log.clone());
    if is_human(format, stdout().is_terminal()) {
        builder.finish().try_init()?;
    } else {
        let json = builder.json().flatten_event(true);
        let json = json.with_current_span(false).with_span_list(false);
        json.finish().try_init()?;
    }
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(FLUSH_EVERY);
            log.flush();
        }
    });
    Ok(guard)
}

/// Writes what is buffered when it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Guard(Log);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Standard output behind a buffer that all threads share.
#[derive(Debug, Clone)]
struct Log(Arc<Mutex<BufWriter<Stdout>>>);

impl Log {
    fn buffer(&self) -> MutexGuard<'_, BufWriter<Stdout>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self) {
        // Nobody could be told that standard output is gone.
        let _ = self.buffer().flush();
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self.buffer())
    }
}

/// The buffer, held for one line.
struct Line<'a>(MutexGuard<'a, BufWriter<Stdout>>);

impl Write for Line<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
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

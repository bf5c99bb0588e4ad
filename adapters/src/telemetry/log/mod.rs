//! Logs: one stream of events to stdout, for people on a terminal and as JSON lines for machines; and the
//! same lines as JSON to files, where there is a directory for them.
//!
//! ```text
//! event ─▶ filter, which changes at run time ─▶ line ┬▶ buffer ─▶ stdout
//!                                                    └▶ buffer ─▶ <dir>/api.log or worker.log, in turns
//! ```
//!
//! Lines gather in a bounded buffer that is written when it is full and every tenth of a second: at
//! 20,000 requests/s a write for each line, or a thread to do it, costs a tenth of the service. A
//! slow pipe holds requests up rather than losing lines; a `kill -9` loses the last tenth of a second.
//! A disk that is full loses lines of the file and holds nobody up.
//!
//! | file | holds |
//! |---|---|
//! | `control` | the filter, and its route |
//! | `file` | a file that takes turns with older ones |
//!
//! Nothing secret and nothing personal is logged: routes and not paths, no bodies, no headers.

mod control;
mod file;

use std::io::{self, BufWriter, IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

pub use control::{FilterError, LogControl, MAX_FILTER, routes};
pub use file::{Bounds, FileError};

/// What is logged where nobody says otherwise.
pub const DEFAULT_FILTER: &str = "info";

/// How much is written at once: some 300 lines.
const BUFFER: usize = 64 * 1024;

/// How long a line waits at most: a person who watches does not notice.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// What of a process that does everything is the work behind its front door.
const WORK: [&str; 8] = [
    "florin_projections",
    "florin_adapters::fraud",
    "florin_adapters::generations",
    "florin_adapters::intake",
    "florin_adapters::nats",
    "florin_adapters::operations",
    "florin_adapters::postgres::lease",
    "florin_adapters::worker",
];

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

/// What is logged, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How a line on stdout looks.
    pub format: Format,
    /// What passes (`info`, `florin_adapters=debug,http=warn` …).
    pub filter: String,
    /// The files that lines go to besides, if they do.
    pub files: Option<Files>,
}

/// The files of a log.
#[derive(Debug, Clone)]
pub struct Files {
    /// Where they are.
    pub dir: PathBuf,
    /// How large, and how many.
    pub bounds: Bounds,
    /// Of what.
    pub role: Role,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It answers: `api.log`.
    Api,
    /// It works behind what answers: `worker.log`.
    Worker,
    /// Both, each in its file.
    Both,
}

/// Why there is no log.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("FLORIN_LOG: {0}")]
    Filter(#[from] FilterError),
    /// A file cannot be had.
    #[error("FLORIN_LOG_DIR: {0}")]
    File(#[from] FileError),
    /// Something else took the log first.
    #[error("the log is set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Begins to log.
///
/// What is buffered is written when the guard is dropped, so it lives as long as `main`.
///
/// # Errors
/// [`TelemetryError`], by name.
pub fn init(settings: &Settings) -> Result<Guard, TelemetryError> {
    let filter = control::parsed(&settings.filter)?;
    let mut json = Lines::open(settings.files.as_ref())?;
    let mut human = Lines::default();
    let is_human = is_human(settings.format, stdout().is_terminal());
    let own = if is_human { &mut human } else { &mut json };
    own.stdout = Some(Log::new(stdout()));
    let logs: Vec<Log> = human.logs().chain(json.logs()).cloned().collect();
    let (filter, handle) = reload::Layer::new(filter);
    let human = is_human.then(|| fmt::layer().with_writer(human));
    let json = (!json.is_empty()).then(|| {
        let json = fmt::layer().json().flatten_event(true).with_writer(json);
        json.with_current_span(false).with_span_list(false)
    });
    Registry::default().with(filter).with(human).with(json).try_init()?;
    let guard = Guard { logs: logs.clone(), control: LogControl::new(handle, &settings.filter) };
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(FLUSH_EVERY);
            logs.iter().for_each(Log::flush);
        }
    });
    Ok(guard)
}

/// Writes what is buffered when it is dropped.
#[must_use]
#[derive(Debug)]
pub struct Guard {
    logs: Vec<Log>,
    control: LogControl,
}

impl Guard {
    /// What changes the filter.
    pub fn control(&self) -> LogControl {
        self.control.clone()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.logs.iter().for_each(Log::flush);
    }
}

/// A buffer, and what is behind it.
type Buffer = BufWriter<Box<dyn Write + Send>>;

/// An output behind a buffer that all threads share.
#[derive(Clone)]
struct Log(Arc<Mutex<Buffer>>);

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    fn new(output: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(BufWriter::with_capacity(BUFFER, Box::new(output)))))
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self) {
        // Nobody could be told that standard output is gone; a file tells by itself.
        let _ = self.buffer().flush();
    }
}

/// Where the lines of one format go.
#[derive(Debug, Default)]
struct Lines {
    stdout: Option<Log>,
    api: Option<Log>,
    worker: Option<Log>,
}

impl Lines {
    /// To the files, if there are any.
    fn open(files: Option<&Files>) -> Result<Self, FileError> {
        let Some(Files { dir, bounds, role }) = files else { return Ok(Self::default()) };
        let open = |name| file::Rotating::open(dir, name, *bounds).map(Log::new);
        let (api, worker) = match role {
            Role::Api => (true, false),
            Role::Worker => (false, true),
            Role::Both => (true, true),
        };
        Ok(Self {
            stdout: None,
            api: api.then(|| open("api.log")).transpose()?,
            worker: worker.then(|| open("worker.log")).transpose()?,
        })
    }

    fn logs(&self) -> impl Iterator<Item = &Log> {
        [&self.stdout, &self.api, &self.worker].into_iter().flatten()
    }

    fn is_empty(&self) -> bool {
        self.logs().next().is_none()
    }

    /// The file for what is told by a module.
    fn file(&self, target: &str) -> Option<&Log> {
        match (&self.api, &self.worker) {
            (Some(api), Some(worker)) => Some(if is_work(target) { worker } else { api }),
            (api, worker) => api.as_ref().or(worker.as_ref()),
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line([self.stdout.as_ref().map(Log::buffer), self.file("").map(Log::buffer)])
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        let file = self.file(metadata.target());
        Line([self.stdout.as_ref().map(Log::buffer), file.map(Log::buffer)])
    }
}

/// The buffers, held for one line; always in the same order.
struct Line<'a>([Option<MutexGuard<'a, Buffer>>; 2]);

impl Write for Line<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        for buffer in self.0.iter_mut().flatten() {
            // One that takes nothing keeps nothing from the other.
            let _ = buffer.write_all(text);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.iter_mut().flatten().try_for_each(|buffer| buffer.flush())
    }
}

fn is_human(format: Format, on_terminal: bool) -> bool {
    match format {
        Format::Auto => on_terminal,
        Format::Human => true,
        Format::Json => false,
    }
}

/// Whether a module is one of those behind the front door.
fn is_work(target: &str) -> bool {
    let within = |module: &&str| {
        let rest = target.strip_prefix(*module);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    WORK.iter().any(within)
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
        let filter = "a=b=c".to_owned();
        let error = init(&Settings { format: Format::Json, filter, files: None }).unwrap_err();
        assert!(error.to_string().starts_with("FLORIN_LOG: "), "{error}");
    }

    #[test]
    fn a_process_that_does_both_has_a_file_for_each() {
        let dir = tempfile::tempdir().unwrap();
        let files = |role| Files { dir: dir.path().to_owned(), bounds: Bounds::USUAL, role };
        let both = Lines::open(Some(&files(Role::Both))).unwrap();
        for (target, is_work) in [
            ("http", false),
            ("florin_adapters::reads", false),
            ("florin_adapters::nats::relay", true),
            ("florin_projections::runner::notes", true),
            ("florin_adapters::natsish", false),
        ] {
            let file = both.file(target).unwrap();
            let worker = both.worker.as_ref().unwrap();
            assert_eq!(Arc::ptr_eq(&file.0, &worker.0), is_work, "{target}");
        }
        drop(both);
        let api = Lines::open(Some(&files(Role::Api))).unwrap();
        assert!(api.worker.is_none() && api.file("florin_projections").is_some());
    }
}

//! A server's log file: appended to by the child, bounded from here.
//!
//! The child holds the file open in append mode, so cutting it to zero while the child writes is
//! safe: the next line lands at the new end. A log and its one predecessor (`.1`) together take
//! at most twice [`LOG_BYTES_MAX`] and what is written between two checks.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

/// A log longer than this is moved aside: weeks of a quiet server, and quick to copy.
pub(super) const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// How often the length is looked at. A server that logs 1 MB/s stays under 100 MB.
pub(super) const LOG_CHECK_EVERY: Duration = Duration::from_secs(60);

/// How much of a log an error message quotes: enough for the reason, short enough for a screen.
pub(super) const TAIL_BYTES_MAX: u64 = 2 * 1024;

/// The log of one server.
pub struct Log {
    path: PathBuf,
}

impl Log {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file for a child to append to.
    pub(super) fn open(&self) -> io::Result<File> {
        File::options().create(true).append(true).open(&self.path)
    }

    /// Its length in bytes; 0 when there is none yet.
    pub(super) fn len(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// Moves a log that is too long aside. Failing to is no reason to stop a server.
    pub(super) fn bound(&self) {
        if self.len() <= LOG_BYTES_MAX {
            return;
        }
        let moved = fs::copy(&self.path, self.path.with_extension("log.1"))
            .and_then(|_| File::options().write(true).open(&self.path)?.set_len(0));
        if let Err(error) = moved {
            tracing::warn!(log = %self.path.display(), %error, "cannot rotate a log");
        }
    }

    /// What was written after `from`, from its end at most [`TAIL_BYTES_MAX`].
    pub(super) fn since(&self, from: u64) -> String {
        let start = from.max(self.len().saturating_sub(TAIL_BYTES_MAX));
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(start))?;
            file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
            Err(error) => format!("(cannot read it: {error})"),
        }
    }
}

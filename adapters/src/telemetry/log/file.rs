//! A log file that takes turns: at a size it becomes `<name>.1`, what was `<name>.1` becomes `<name>.2`,
//! and the oldest is removed. So the files of a log are bounded, and the newest has its plain name.
//!
//! Whole lines stay in one file. A file that cannot be written is said to be so on standard error, once,
//! and tried again. One process writes to it: a lock file says so.
//!
//! Own code, because `tracing-appender` takes turns by the clock alone, has no bound in bytes and puts a
//! date into the name of the newest file, and `file-rotate` panics when somebody has moved a file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// How large a log may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many bytes a file has at most; a line that is longer has one of its own.
    pub bytes: u64,
    /// How many older files there are.
    pub kept: u32,
}

impl Bounds {
    /// Some 300,000 lines a file, and three million in all.
    pub const USUAL: Self = Self { bytes: 64 << 20, kept: 9 };
}

/// Why there is no log file.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be opened.
    #[error("{} cannot be written: {cause}", .path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Somebody else writes there.
    #[error("another process writes {}: give each a directory of its own", .0.display())]
    Taken(PathBuf),
}

/// The file.
#[derive(Debug)]
pub(super) struct Rotating {
    path: PathBuf,
    bounds: Bounds,
    file: File,
    /// How many bytes it has.
    bytes: u64,
    has_failed: bool,
    /// Held for as long as the file is written.
    _lock: File,
}

impl Rotating {
    /// Goes on with the file of that name in a directory, which is made if need be.
    pub(super) fn open(dir: &Path, name: &str, bounds: Bounds) -> Result<Self, FileError> {
        let path = dir.join(name);
        let unwritable = |cause| FileError::Unwritable { path: path.clone(), cause };
        fs::create_dir_all(dir).map_err(unwritable)?;
        let lock = append_to(&dir.join(format!(".{name}.lock"))).map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FileError::Taken(path)),
            Err(TryLockError::Error(cause)) => return Err(unwritable(cause)),
        }
        let file = append_to(&path).map_err(unwritable)?;
        let bytes = file.metadata().map_err(unwritable)?.len();
        let rotating = Self { path, bounds, file, bytes, has_failed: false, _lock: lock };
        rotating.remove_older();
        Ok(rotating)
    }

    /// Where an older file is; 1 is the youngest of them.
    fn older(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Removes what an earlier run kept beyond the bound.
    fn remove_older(&self) {
        let beyond = self.bounds.kept.saturating_add(1)..;
        // The first one that is not there, or cannot be removed, is the end.
        let _ = beyond.map(|number| fs::remove_file(self.older(number))).find(Result::is_err);
    }

    /// Begins a new file.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.bounds.kept).rev() {
            moved(fs::rename(self.older(number), self.older(number + 1)))?;
        }
        let gone = match self.bounds.kept {
            0 => fs::remove_file(&self.path),
            _ => fs::rename(&self.path, self.older(1)),
        };
        moved(gone)?;
        self.file = append_to(&self.path)?;
        self.bytes = 0;
        Ok(())
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let more = lines.len() as u64;
        if self.bytes > 0 && self.bytes + more > self.bounds.bytes {
            self.rotate()?;
        }
        self.file.write_all(lines)?;
        self.bytes += more;
        Ok(())
    }
}

impl Write for Rotating {
    /// All of it, or nothing that counts.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let written = self.append(lines);
        if let Err(error) = &written
            && !self.has_failed
        {
            eprintln!("florin: {} cannot be written, lines are lost: {error}", self.path.display());
        }
        self.has_failed = written.is_err();
        written.map(|()| lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// What is not there need not be moved.
fn moved(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn texts(dir: &TempDir) -> Vec<(String, String)> {
        let entries = fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
        let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
        let logs = entries.filter(|entry| !name(entry).starts_with('.'));
        let mut texts: Vec<_> =
            logs.map(|entry| (name(&entry), fs::read_to_string(entry.path()).unwrap())).collect();
        texts.sort();
        texts
    }

    fn open(dir: &TempDir, bytes: u64, kept: u32) -> Rotating {
        Rotating::open(dir.path(), "api.log", Bounds { bytes, kept }).unwrap()
    }

    fn pairs<const N: usize>(expected: [(&str, &str); N]) -> Vec<(String, String)> {
        expected.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
    }

    #[test]
    fn a_file_that_is_full_becomes_an_older_one_and_the_oldest_is_removed() {
        let dir = TempDir::new().unwrap();
        let mut log = open(&dir, 8, 2);
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n", "longer than a file\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let expected = pairs([
            ("api.log", "longer than a file\n"),
            ("api.log.1", "five\n"),
            ("api.log.2", "four\n"),
        ]);
        assert_eq!(texts(&dir), expected);
    }

    #[test]
    fn a_process_goes_on_with_the_file_of_the_one_before_and_with_its_own_bounds() {
        let dir = TempDir::new().unwrap();
        let mut log = open(&dir, 4, 3);
        for line in ["one\n", "two\n", "six\n", "ten\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        drop(log);
        open(&dir, 100, 1).write_all(b"new\n").unwrap();
        assert_eq!(texts(&dir), pairs([("api.log", "ten\nnew\n"), ("api.log.1", "six\n")]));
    }

    #[test]
    fn what_somebody_else_moved_or_removed_does_no_harm() {
        let dir = TempDir::new().unwrap();
        let mut log = open(&dir, 4, 2);
        log.write_all(b"one\n").unwrap();
        fs::remove_file(dir.path().join("api.log")).unwrap();
        log.write_all(b"two\n").unwrap();
        log.write_all(b"six\n").unwrap();
        assert_eq!(texts(&dir), pairs([("api.log", "six\n"), ("api.log.1", "two\n")]));
    }

    #[test]
    fn two_processes_do_not_write_to_one_file() {
        let dir = TempDir::new().unwrap();
        let first = open(&dir, 100, 1);
        let error = Rotating::open(dir.path(), "api.log", Bounds::USUAL).unwrap_err();
        assert!(error.to_string().contains("a directory of its own"), "{error}");
        drop(first);
        open(&dir, 100, 1);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Rotating::open(&file, "api.log", Bounds::USUAL).unwrap_err();
        assert!(error.to_string().contains("file/api.log cannot be written"), "{error}");
    }
}

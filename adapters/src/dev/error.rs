//! What can keep the private servers from running, each as one sentence that says what to do.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// Why `florin dev` cannot run its servers.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A program that has to be installed is not.
    #[error("florin dev needs {what}: {install}")]
    Missing {
        /// The program and the oldest version that will do.
        what: &'static str,
        /// How to get it.
        install: &'static str,
    },
    /// The data directory was written by a Postgres that is not installed here.
    #[error(
        "{} holds a Postgres {cluster} cluster and only {installed} is installed: \
         install postgresql-{cluster}, or use another data directory", dir.display()
    )]
    OtherMajor {
        /// The cluster's directory.
        dir: PathBuf,
        /// The major version that wrote it.
        cluster: u32,
        /// The versions that were found.
        installed: String,
    },
    /// Another process holds the data directory.
    #[error(
        "another florin (pid {pid}) runs on {}: stop it, or use another data directory",
        dir.display()
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The pid that the holder wrote down, or `?`.
        pid: String,
    },
    /// Postgres refuses to run as root, and there is nobody else.
    #[error("running as root without a user `postgres` or `nobody` for the servers: add one")]
    NoUser,
    /// The cluster has another password than the one in `secrets`.
    #[error(
        "the cluster in {0} refuses the password in `secrets`: put the old `secrets` back, or \
         use another data directory", dir.display()
    )]
    WrongSecrets {
        /// The data directory.
        dir: PathBuf,
    },
    /// A file or a process could not be handled.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The verb.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A server ended before it was ready.
    #[error(
        "{server} ended with {}; the end of {}:\n{log}",
        status_text(*status), path.display()
    )]
    Ended {
        /// Which one.
        server: &'static str,
        /// How it ended, if that is known.
        status: Option<ExitStatus>,
        /// Its log.
        path: PathBuf,
        /// What it wrote there since this start, at most two kilobytes of it.
        log: String,
    },
    /// A server runs and does not answer.
    #[error("{server} was not ready after {waited:?}: {last}")]
    NotReady {
        /// Which one.
        server: &'static str,
        /// How long it was given.
        waited: Duration,
        /// The last answer.
        last: String,
    },
    /// A server of an earlier run outlives every signal.
    #[error("{server} of an earlier run (pid {pid}) does not end")]
    Immortal {
        /// Which one.
        server: &'static str,
        /// Its pid.
        pid: u32,
    },
    /// A server ended and cannot be started again.
    #[error("{server} could not be restarted {failures} times in a row: {last}")]
    NotRestarted {
        /// Which one.
        server: &'static str,
        /// How often it was tried.
        failures: u32,
        /// The last reason.
        last: String,
    },
    /// A database name that would need quoting in SQL and in URLs.
    #[error("a database name is [a-z_][a-z0-9_]*, at most 63 bytes, not {0:?}")]
    DatabaseName(String),
    /// An administrative statement failed.
    #[error("cannot set up Postgres: {0}")]
    Sql(#[from] sqlx::Error),
    /// NATS or JetStream did not answer a client.
    #[error("NATS does not answer: {0}")]
    Nats(String),
}

/// `cannot <doing> <path>: …` for a failed call.
pub(super) fn cannot(
    doing: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> DevError {
    let path = path.into();
    move |source| DevError::Io { doing, path, source }
}

/// An exit status as words; unknown when the child could not be waited for.
pub(super) fn status_text(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "an unknown status".to_owned(), |status| status.to_string())
}

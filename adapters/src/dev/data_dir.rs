//! The data directory: who holds it, what is where, and the passwords.
//!
//! ```text
//! <data-dir>/lock          held while florin runs; names its pid
//!            secrets       0600: the passwords and the name of this stack, kept between runs
//!            florin.env    0600: the URLs, while florin runs
//!            postgres/     the cluster
//!            nats/         JetStream's store, the generated server.conf, nats.pid
//!            logs/         postgres.log, nats.log, and one predecessor of each
//! ```

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    DevError,
    child::{Launcher, Leftover},
    error::cannot,
    log::Log,
    programs,
};

/// A data directory that nobody else uses until this value and every server in it are dropped.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
    places: Vec<PathBuf>,
    pub(super) launcher: Launcher,
    pub(super) secrets: Secrets,
}

impl DataDir {
    /// Takes `path`, which is created when it is missing.
    ///
    /// # Errors
    /// [`DevError::Locked`] while another florin has it; [`DevError::Io`]; [`DevError::NoUser`].
    pub fn open(path: &Path) -> Result<Arc<Self>, DevError> {
        Self::open_with(path, programs::usual_places())
    }

    /// Like [`DataDir::open`], with the directories to look for programs in.
    ///
    /// # Errors
    /// Those of [`DataDir::open`].
    pub fn open_with(path: &Path, places: Vec<PathBuf>) -> Result<Arc<Self>, DevError> {
        create_private_dir(path)?;
        let path = path.canonicalize().map_err(cannot("find", path))?;
        let lock = lock(&path)?;
        let launcher = Launcher::new(&places, &path.join("postgres"))?;
        let secrets = Secrets::keep(&path.join("secrets"))?;
        create_private_dir(&path.join("logs"))?;
        Ok(Arc::new(Self { path, _lock: lock, places, launcher, secrets }))
    }

    /// The directory, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn places(&self) -> &[PathBuf] {
        &self.places
    }

    pub(super) fn log(&self, server: &str) -> Log {
        Log::new(self.path.join("logs").join(server).with_extension("log"))
    }

    /// A directory of the children.
    pub(super) fn create_for_child(&self, path: &Path) -> Result<(), DevError> {
        create_private_dir(path)?;
        self.launcher.give(path)
    }

    /// A file of the children, which only they can read.
    pub(super) fn write_for_child(&self, path: &Path, text: &str) -> Result<(), DevError> {
        write_private(path, text)?;
        self.launcher.give(path)
    }

    /// The process that `pid_file` names, if it is one that an earlier run started here.
    pub(super) fn leftover<'a>(&'a self, server: &'static str, pid_file: &'a Path) -> Leftover<'a> {
        Leftover { server, pid_file, mark: self.secrets.name() }
    }
}

fn create_private_dir(path: &Path) -> Result<(), DevError> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(cannot("create", path))
}

/// Replaces `path` in one step by a file that only its owner can read.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), DevError> {
    let beside = path.with_extension("new");
    remove_if_there(&beside)?;
    let write = || -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(cannot("write", path))
}

/// Removes a file that may be missing.
pub(super) fn remove_if_there(path: &Path) -> Result<(), DevError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(cannot("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The kernel drops the lock with the process, however that ends; so a lock file that was left
/// behind holds nobody up.
fn lock(dir: &Path) -> Result<File, DevError> {
    let path = dir.join("lock");
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    let mut file = options.open(&path).map_err(cannot("open", &path))?;
    match file.try_lock() {
        Ok(()) => {
            let name_holder = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
            name_holder.map_err(cannot("write", &path))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The holder is known to exist; its pid is a help, not a need.
            if file.read_to_string(&mut pid).is_err() || pid.is_empty() {
                pid = "?".to_owned();
            }
            Err(DevError::Locked { dir: dir.to_owned(), pid })
        }
        Err(TryLockError::Error(error)) => Err(cannot("lock", &path)(error)),
    }
}

/// The passwords, and what marks the servers' command lines as this stack's.
pub(super) struct Secrets {
    id: String,
    pub(super) postgres: String,
    pub(super) florin: String,
    pub(super) nats: String,
}

impl Secrets {
    /// Reads them, invents those that are missing, and writes all of them down first: a password
    /// that Postgres knows and we forgot would lock us out.
    fn keep(path: &Path) -> Result<Self, DevError> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.map_err(cannot("read", path))?,
        };
        let secrets = Self::parse(&text);
        let kept = secrets.to_text();
        if kept != text {
            write_private(path, &kept)?;
        }
        Ok(secrets)
    }

    fn parse(text: &str) -> Self {
        let known: HashMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once('=')).collect();
        let take = |key: &str| {
            // They go into URLs, SQL and a configuration file without quoting.
            let plain = |value: &&str| value.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let value = known.get(key).copied().filter(|value| !value.is_empty()).filter(plain);
            value.map_or_else(invent, ToOwned::to_owned)
        };
        Self {
            id: take("ID"),
            postgres: take("POSTGRES_PASSWORD"),
            florin: take("FLORIN_PASSWORD"),
            nats: take("NATS_PASSWORD"),
        }
    }

    /// The name of the servers, which is on their command lines and nowhere else.
    pub(super) fn name(&self) -> String {
        format!("florin-{}", self.id)
    }

    fn to_text(&self) -> String {
        let Self { id, postgres, florin, nats } = self;
        format!(
            "ID={id}\nPOSTGRES_PASSWORD={postgres}\nFLORIN_PASSWORD={florin}\n\
             NATS_PASSWORD={nats}\n"
        )
    }
}

/// 128 random bits: nobody guesses them, and no other command line contains them.
fn invent() -> String {
    format!("{:032x}", rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_back_as_they_were_written() {
        let text = Secrets::parse("").to_text();
        assert_eq!(Secrets::parse(&text).to_text(), text);
    }

    #[test]
    fn every_secret_is_another() {
        let secrets = Secrets::parse("");
        assert_ne!(secrets.postgres, secrets.florin);
        assert_ne!(secrets.florin, secrets.nats);
    }

    #[test]
    fn a_secret_that_would_need_quoting_is_replaced() {
        assert_ne!(Secrets::parse("NATS_PASSWORD=a'b\n").nats, "a'b");
        assert_eq!(Secrets::parse("NATS_PASSWORD=ab1\n").nats, "ab1");
    }
}

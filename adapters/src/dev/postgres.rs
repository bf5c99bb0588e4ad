//! A private Postgres: one cluster under the data directory, loopback only, durable, and set up
//! with the two roles that Florin knows.
//!
//! - `postgres` is the superuser: migrations, and nothing else.
//! - `florin` is what the service logs in as: an ordinary role, member of `florin_service`, which
//!   has no login and gets its rights from the migrations.
//!
//! The cluster is built beside its place and moved there when it is complete, so a start that was
//! interrupted leaves nothing half made. The settings are arguments of the server, not files of
//! the cluster: they are those of the florin that runs, not of the one that ran `initdb`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{Connection, Executor, PgConnection};
use tokio::time::timeout;

use super::{
    DataDir, DevError,
    child::{Child, Job, Ladder, Signal},
    error::cannot,
    log::Log,
    programs::{self, PostgresPrograms},
    server::{Port, Probe, Program, Server},
};

/// How long `initdb` may take; it writes 40 MB and syncs them.
const INITDB_DEADLINE: Duration = Duration::from_secs(120);

/// What SQLSTATE calls a wrong password.
const INVALID_PASSWORD: &str = "28P01";

/// Postgres cuts longer names off.
const NAME_BYTES_MAX: usize = 63;

/// The settings that make it private, durable, and fit for the journal's load.
const SETTINGS: &[&str] = &[
    // Private. A socket's path may be 107 bytes long, which a data directory can exceed.
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    // An acknowledged commit is on the disk, whole: the promise that the ledger passes on.
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    // A checkpoint after 15 minutes or 4 GB of log, so that a page is written whole once in a
    // while and not after every few commits; the log shrinks to 512 MB when the load ends.
    "checkpoint_timeout=15min",
    "max_wal_size=4GB",
    "min_wal_size=512MB",
    // A batch of a thousand commands fits into the buffer before it is flushed.
    "wal_buffers=16MB",
    // After a crash one call syncs the whole file system, instead of one for each of a thousand
    // files: that is most of the time that a recovery of an idle cluster takes.
    #[cfg(target_os = "linux")]
    "recovery_init_sync_method=syncfs",
    "max_connections=100",
    // Every statement is short: compiling one costs more than running it.
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_line_prefix=%m [%p] %u@%d ",
    // A log line is in English, whatever the machine speaks: some are looked for.
    "lc_messages=C",
];

/// The least and the most memory, in MB, for what Postgres holds of the tables.
const SHARED_BUFFERS_MB: (u64, u64) = (128, 2048);

/// An eighth of this machine's memory, in bounds: a journal of ten million events then keeps the hot
/// end of its indexes there. (Postgres' own advice for a machine of its own is a quarter.)
fn shared_buffers() -> String {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total_kb = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let (least, most) = SHARED_BUFFERS_MB;
    let share = total_kb.map_or(least, |kb| kb / 1024 / 8);
    format!("shared_buffers={}MB", share.clamp(least, most))
}

/// A private Postgres.
pub type PrivatePostgres = Server<Postgres>;

/// The URLs of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrls {
    /// As the ordinary role `florin`.
    pub service: String,
    /// As the superuser `postgres`.
    pub admin: String,
}

/// How Postgres is run.
pub struct Postgres {
    home: Arc<DataDir>,
    programs: PostgresPrograms,
}

impl Server<Postgres> {
    /// Starts the cluster in `<data-dir>/postgres`, which the first start creates.
    ///
    /// # Errors
    /// [`DevError::Missing`], [`DevError::OtherMajor`], [`DevError::WrongSecrets`],
    /// [`DevError::Ended`], [`DevError::NotReady`], [`DevError::Immortal`], [`DevError::Io`],
    /// [`DevError::Sql`].
    pub async fn start(home: &Arc<DataDir>, port: Port) -> Result<Self, DevError> {
        let programs = programs::postgres(&home.join("postgres"), home.places())?;
        let postgres = Postgres { home: Arc::clone(home), programs };
        postgres.create_cluster().await?;
        let server = Self::launch(postgres, port).await?;
        server.create_roles().await?;
        Ok(server)
    }

    /// The URLs of `database`, whether it exists or not.
    #[must_use]
    pub fn urls(&self, database: &str) -> DatabaseUrls {
        self.program.urls(self.port(), database)
    }

    /// Creates a database, unless it exists.
    ///
    /// # Errors
    /// [`DevError::DatabaseName`] for a name that would need quoting; [`DevError::Sql`].
    pub async fn create_database(&self, name: &str) -> Result<DatabaseUrls, DevError> {
        if !is_plain_name(name) {
            return Err(DevError::DatabaseName(name.to_owned()));
        }
        let mut admin = self.program.connect(self.port()).await?;
        let exists = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
        if !sqlx::query_scalar(exists).bind(name).fetch_one(&mut admin).await? {
            let create = format!("CREATE DATABASE {name}");
            admin.execute(create.as_str()).await?;
        }
        admin.close().await?;
        Ok(self.urls(name))
    }

    /// Every start sets the password anew: the one in `secrets` is the one that holds.
    async fn create_roles(&self) -> Result<(), DevError> {
        let mut admin = self.program.connect(self.port()).await?;
        let existing: Vec<String> =
            sqlx::query_scalar("SELECT rolname::text FROM pg_roles").fetch_all(&mut admin).await?;
        let mut statements = String::new();
        for role in ["florin_service", "florin"] {
            if !existing.iter().any(|name| name == role) {
                statements += &format!("CREATE ROLE {role};\n");
            }
        }
        let password = &self.program.home.secrets.florin;
        statements += &format!(
            "ALTER ROLE florin LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}';\n\
             GRANT florin_service TO florin;"
        );
        admin.execute(statements.as_str()).await?;
        admin.close().await?;
        Ok(())
    }
}

impl Postgres {
    fn urls(&self, port: u16, database: &str) -> DatabaseUrls {
        let secrets = &self.home.secrets;
        let url = |role: &str, password: &str| {
            format!("postgres://{role}:{password}@127.0.0.1:{port}/{database}")
        };
        DatabaseUrls {
            service: url("florin", &secrets.florin),
            admin: url("postgres", &secrets.postgres),
        }
    }

    async fn connect(&self, port: u16) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.urls(port, "postgres").admin).await
    }

    /// Makes the cluster, unless it is there: `postgres.new/cluster` first, then in one step
    /// `postgres`.
    async fn create_cluster(&self) -> Result<(), DevError> {
        let place = self.home.join("postgres");
        if programs::cluster_major(&place).is_some() {
            return Ok(());
        }
        let beside = self.home.join("postgres.new");
        if beside.exists() {
            fs::remove_dir_all(&beside).map_err(cannot("remove", &beside))?;
        }
        self.home.create_for_child(&beside)?;
        self.home.write_for_child(&beside.join("password"), &self.home.secrets.postgres)?;
        self.run_initdb(&beside).await?;
        fs::rename(beside.join("cluster"), &place).map_err(cannot("create", &place))?;
        fs::remove_dir_all(&beside).map_err(cannot("remove", &beside))
    }

    async fn run_initdb(&self, beside: &Path) -> Result<(), DevError> {
        let log = self.home.log(Self::NAME);
        let log_start = log.len();
        let seen = self.home.launcher.path_in_child(beside);
        let mut arguments: Vec<_> = [
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            // Bytes in their order: the same on every machine, and after every libc upgrade.
            "--locale=C",
            "--data-checksums",
            "--pgdata",
        ]
        .map(Into::into)
        .into();
        arguments.extend([
            seen.join("cluster").into(),
            "--pwfile".into(),
            seen.join("password").into(),
        ]);
        let program = self.programs.bin.join("initdb");
        let farewell = Signal::Terminate;
        let job = Job { program, arguments, directory: beside, log: &log, farewell };
        let child = self.home.launcher.spawn(&job).await?;
        let status = timeout(INITDB_DEADLINE, child.handle().ended()).await.ok().flatten();
        if status.is_some_and(|status| status.success()) {
            return Ok(());
        }
        let path = log.path().to_owned();
        Err(DevError::Ended { server: "initdb", status, path, log: log.since(log_start) })
    }
}

impl Program for Postgres {
    const NAME: &'static str = "postgres";

    const PASSING: &'static [&'static str] =
        &["is still in use", "could not create any TCP/IP sockets"];

    /// Fast (open transactions are rolled back, a last checkpoint is written), then immediate
    /// (the next start recovers), then not at all.
    const LADDER: Ladder = &[
        (Signal::Interrupt, Duration::from_secs(30)),
        (Signal::Quit, Duration::from_secs(10)),
        (Signal::Kill, Duration::from_secs(5)),
    ];

    fn data_dir(&self) -> &DataDir {
        &self.home
    }

    fn pid_file(&self) -> PathBuf {
        self.home.join("postgres/postmaster.pid")
    }

    async fn spawn(&self, port: u16, log: &Log) -> Result<Child, DevError> {
        let directory = self.home.join("postgres");
        let name = format!("cluster_name={}", self.home.secrets.name());
        let port = format!("port={port}");
        let mut arguments = vec!["-D".into(), self.home.launcher.path_in_child(&directory).into()];
        let buffers = shared_buffers();
        let more = [name.as_str(), port.as_str(), buffers.as_str()];
        for &setting in SETTINGS.iter().chain(&more) {
            arguments.extend(["-c".into(), setting.into()]);
        }
        let program = self.programs.bin.join("postgres");
        let farewell = Signal::Interrupt;
        let job = Job { program, arguments, directory: &directory, log, farewell };
        self.home.launcher.spawn(&job).await
    }

    async fn probe(&self, port: u16) -> Probe {
        match self.connect(port).await {
            Ok(connection) => {
                // It said yes; whether it also hears the goodbye does not matter.
                let _ = connection.close().await;
                Probe::Ready
            }
            Err(error) if is_wrong_password(&error) => {
                Probe::Never(DevError::WrongSecrets { dir: self.home.path().to_owned() })
            }
            Err(error) => Probe::NotYet(error.to_string()),
        }
    }
}

fn is_wrong_password(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == INVALID_PASSWORD)
}

/// A name that means the same in SQL and in a URL, without quotes.
fn is_plain_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.len() <= NAME_BYTES_MAX
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_needs_no_quotes() {
        assert!(is_plain_name("florin_7"));
        for name in ["", "7florin", "Florin", "a-b", "a\";drop", &"a".repeat(64)] {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }
}

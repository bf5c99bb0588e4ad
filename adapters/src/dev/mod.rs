//! `florin dev`: a private Postgres and a private NATS from the installed programs, as children of
//! this process, on loopback, with everything they keep in one directory.
//!
//! ```no_run
//! # async fn example() -> Result<(), florin_adapters::dev::DevError> {
//! use florin_adapters::dev::Stack;
//!
//! let stack = Stack::start(std::path::Path::new("data")).await?;
//! println!("the service logs in with {}", stack.urls().database);
//! stack.write_env_file("http://127.0.0.1:3000")?;
//! tokio::select! {
//!     error = stack.supervise() => eprintln!("{error}"),
//!     _ = tokio::signal::ctrl_c() => {}
//! }
//! stack.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! What holds:
//!
//! - An acknowledged commit survives `kill -9` of Postgres, of NATS and of florin itself: the
//!   settings are the durable ones, and a start recovers from whatever the last end was.
//! - One florin per directory: the second is refused, and never takes over.
//! - The children end with their parent, are not root, and listen on 127.0.0.1 only.
//! - A child that dies is restarted on its port, so the URLs stay true.
//!
//! Deliberately absent: containers, systemd, backups, upgrades between major versions of
//! Postgres, and `ALTER SYSTEM` (arguments win over it). This is for development, tests and single
//! machines; elsewhere Florin is given the URLs of servers that somebody else runs.

mod child;
mod data_dir;
mod error;
mod log;
mod nats;
mod postgres;
mod programs;
mod server;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub use data_dir::DataDir;
pub use error::DevError;
pub use nats::PrivateNats;
pub use postgres::{DatabaseUrls, PrivatePostgres};
pub use programs::usual_places;
pub use server::Port;

/// The database of the service.
const DATABASE: &str = "florin";

/// A private Postgres and a private NATS.
pub struct Stack {
    home: Arc<DataDir>,
    postgres: PrivatePostgres,
    nats: PrivateNats,
    urls: Urls,
}

/// Where the servers are. The URLs carry the passwords.
#[derive(Clone, Debug)]
pub struct Urls {
    /// `DATABASE_URL`: Postgres as the ordinary role `florin`.
    pub database: String,
    /// `DATABASE_ADMIN_URL`: the same database as the superuser, for migrations.
    pub database_admin: String,
    /// `NATS_URL`.
    pub nats: String,
}

impl Stack {
    /// Starts both servers with their data in `data_dir` and returns when both answer.
    ///
    /// # Errors
    /// Those of [`DataDir::open`], `PrivatePostgres::start` and `PrivateNats::start`.
    pub async fn start(data_dir: &Path) -> Result<Self, DevError> {
        Self::start_in(DataDir::open(data_dir)?).await
    }

    /// Like [`Stack::start`], in a directory that is held already.
    ///
    /// # Errors
    /// Those of `PrivatePostgres::start` and `PrivateNats::start`.
    pub async fn start_in(home: Arc<DataDir>) -> Result<Self, DevError> {
        // Before the work of building a cluster: is the other program there, too?
        programs::nats_server(home.places())?;
        data_dir::remove_if_there(&env_file(&home))?;
        let postgres = PrivatePostgres::start(&home, Port::Any).await?;
        let DatabaseUrls { service, admin } = postgres.create_database(DATABASE).await?;
        let nats = PrivateNats::start(&home, Port::Any).await?;
        let urls = Urls { database: service, database_admin: admin, nats: nats.url() };
        Ok(Self { home, postgres, nats, urls })
    }

    /// Where the servers are.
    #[must_use]
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// The Postgres of the stack.
    #[must_use]
    pub fn postgres(&self) -> &PrivatePostgres {
        &self.postgres
    }

    /// The NATS of the stack.
    #[must_use]
    pub fn nats(&self) -> &PrivateNats {
        &self.nats
    }

    /// Restarts whichever server dies. Returns only when one cannot be brought back.
    pub async fn supervise(&self) -> DevError {
        tokio::select! {
            error = self.postgres.keep_alive() => error,
            error = self.nats.keep_alive() => error,
        }
    }

    /// Tells other programs where everything is: `<data-dir>/florin.env`, for `source` and for
    /// `docker --env-file`, until [`Stack::stop`]. Whoever waits for the file finds it whole.
    ///
    /// # Errors
    /// [`DevError::Io`].
    pub fn write_env_file(&self, florin_url: &str) -> Result<PathBuf, DevError> {
        let Urls { database, database_admin, nats } = &self.urls;
        let path = env_file(&self.home);
        let text = format!(
            "DATABASE_URL={database}\nDATABASE_ADMIN_URL={database_admin}\nNATS_URL={nats}\n\
             FLORIN_URL={florin_url}\n"
        );
        data_dir::write_private(&path, &text)?;
        Ok(path)
    }

    /// Stops both servers cleanly, within a bounded time, and removes the environment file.
    pub async fn stop(self) {
        if let Err(error) = data_dir::remove_if_there(&env_file(&self.home)) {
            tracing::warn!(%error, "the environment file stays behind");
        }
        tokio::join!(self.nats.stop(), self.postgres.stop());
    }
}

fn env_file(home: &DataDir) -> PathBuf {
    home.join("florin.env")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_send<T: Send>(_: T) {}

    /// Compiling is the test: sqlx makes futures that cannot move between threads easy to write.
    #[test]
    fn a_stack_can_be_run_on_any_thread() {
        let start = Stack::start(Path::new("never started"));
        assert_send(start);
        let _ = |stack: &Stack| assert_send(stack.supervise());
        let _ = |stack: Stack| assert_send(stack.stop());
    }
}

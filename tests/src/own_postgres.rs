//! A Postgres for one test alone, which may do to it what it likes.

use std::path::Path;

use florin_adapters::dev::{DataDir, DatabaseUrls, Port, PrivatePostgres};
use florin_adapters::postgres::{PostgresJournal, migrate};
use tempfile::TempDir;
use tokio::process::Command;

use crate::store::Store;

/// A server in a directory of its own.
pub struct OwnPostgres {
    server: PrivatePostgres,
    // After the server, which writes there to its end.
    dir: TempDir,
}

impl OwnPostgres {
    /// Starts it.
    pub async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let home = DataDir::open(dir.path()).unwrap();
        let server = PrivatePostgres::start(&home, Port::Any).await.unwrap();
        Self { server, dir }
    }

    /// A ledger in it.
    pub async fn ledger(&self, partitions: u32) -> DatabaseUrls {
        let urls = self.server.create_database("ledger").await.unwrap();
        migrate(&urls.admin, Some(partitions)).await.unwrap();
        urls
    }

    /// A database in it that is somebody else's.
    pub async fn database(&self, name: &str) -> DatabaseUrls {
        self.server.create_database(name).await.unwrap()
    }

    /// The journal of a ledger in it.
    pub async fn store(&self, partitions: u32) -> Store {
        let urls = self.ledger(partitions).await;
        let journal = PostgresJournal::open(&urls.service, Some(partitions)).await.unwrap();
        Store::Postgres(Box::new(journal), urls)
    }

    /// A server as if on another machine, with the same passwords, on what `fill` puts into a directory.
    pub async fn elsewhere(&self, fill: impl AsyncFnOnce(&Path)) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::copy(self.dir.path().join("secrets"), dir.path().join("secrets")).unwrap();
        let cluster = dir.path().join("postgres");
        fill(&cluster).await;
        self.give(&cluster).await;
        let home = DataDir::open(dir.path()).unwrap();
        let server = PrivatePostgres::start(&home, Port::Any).await.unwrap();
        Self { server, dir }
    }

    /// Makes a file, or a directory and what is in it, that of the user whom the server runs as.
    pub async fn give(&self, path: &Path) {
        let mut chown = Command::new("chown");
        chown.arg("-R").arg("--reference").arg(self.dir.path().join("postgres")).arg(path);
        assert!(chown.status().await.unwrap().success());
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("logs/postgres.log")).unwrap()
    }

    /// Ends it as `kill -9` does.
    pub async fn kill_hard(&self) {
        self.server.kill_hard().await;
    }

    /// Starts it again, on its port.
    pub async fn restart(&self) {
        self.server.restart().await.unwrap();
    }

    /// Stops it for good.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

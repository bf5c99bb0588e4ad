//! A Postgres for one test alone, which may do to it what it likes.

use florin_adapters::dev::{DataDir, DatabaseUrls, Port, PrivatePostgres};
use florin_adapters::postgres::{PostgresJournal, migrate};
use tempfile::TempDir;

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

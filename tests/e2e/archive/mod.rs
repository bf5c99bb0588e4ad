//! A ledger as a file: `florin export` and `florin import`, as processes.

mod broken;
mod first_versions;
mod moving;
mod parts;

use std::path::Path;

use florin_adapters::dev::DatabaseUrls;
use florin_adapters::postgres::{PostgresJournal, migrate};
use florin_tests::cluster::database;
use florin_tests::process::{Ran, run};
use florin_tests::store::Store;
use sqlx::{Connection, PgConnection};

fn urls(store: &Store) -> &DatabaseUrls {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    urls
}

/// An empty ledger.
async fn empty(partitions: u32) -> DatabaseUrls {
    let urls = database().await;
    migrate(&urls.admin, Some(partitions)).await.unwrap();
    urls
}

/// What is in a database, as a test has it.
async fn opened(urls: DatabaseUrls) -> Store {
    let journal = PostgresJournal::open(&urls.service, None).await.unwrap();
    Store::Postgres(Box::new(journal), urls)
}

async fn export(urls: &DatabaseUrls, words: &[&str]) -> Ran {
    run([&["export", "--database-url", &urls.service], words].concat()).await
}

/// The whole of it, in a form.
async fn exported(urls: &DatabaseUrls, format: &str) -> String {
    let ran = export(urls, &["--format", format]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out
}

async fn import(urls: &DatabaseUrls, file: &Path, words: &[&str]) -> Ran {
    let verb = ["import", "--database-admin-url", &urls.admin, file.to_str().unwrap()];
    run([&verb, words].concat()).await
}

/// Every row of the tables that a file carries, and of those that it must leave alone.
async fn rows(urls: &DatabaseUrls) -> Vec<String> {
    let mut connection = PgConnection::connect(&urls.admin).await.unwrap();
    let mut rows = Vec::new();
    for table in ["events", "idempotency_keys", "partitions", "unfinished_transfers"] {
        let select = format!("SELECT '{table} ' || t::text FROM {table} t ORDER BY 1");
        let of_table: Vec<String> =
            sqlx::query_scalar(&select).fetch_all(&mut connection).await.unwrap();
        rows.extend(of_table);
    }
    rows
}

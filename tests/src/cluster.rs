//! One private Postgres for all tests of a run, with a database for each.
//!
//! Its directory lies beside the test program and is used again by the next run, which drops what
//! the last one left. The server ends with the test program, however that ends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};

use florin_adapters::dev::{DataDir, DatabaseUrls, Port, PrivatePostgres};
use sqlx::{Connection, Executor, PgConnection};

/// A fresh database, not migrated yet.
pub async fn database() -> DatabaseUrls {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    postgres().create_database(&name).await.unwrap()
}

/// The server, started by the first test that needs it.
pub fn postgres() -> &'static PrivatePostgres {
    static POSTGRES: OnceLock<&'static PrivatePostgres> = OnceLock::new();
    POSTGRES.get_or_init(start)
}

/// Starts it on a thread and a runtime that outlive every test.
fn start() -> &'static PrivatePostgres {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let home = DataDir::open(&directory()).unwrap();
            let postgres: &'static _ =
                Box::leak(Box::new(PrivatePostgres::start(&home, Port::Any).await.unwrap()));
            drop_old_databases(postgres).await;
            sender.send(postgres).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}

async fn drop_old_databases(postgres: &PrivatePostgres) {
    let admin = postgres.urls("postgres").admin;
    let mut connection = PgConnection::connect(&admin).await.unwrap();
    let old: Vec<String> =
        sqlx::query_scalar("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    for name in old {
        let drop = format!("DROP DATABASE \"{name}\" WITH (FORCE)");
        connection.execute(drop.as_str()).await.unwrap();
    }
}

fn directory() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().with_file_name("e2e-postgres")
}

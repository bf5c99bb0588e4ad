//! One private Postgres for all tests of a run, with a database for each.
//!
//! Its directory lies beside the test program, and the next run begins with a new cluster: dropping
//! hundreds of databases, each with a checkpoint, takes minutes. The server ends with the test
//! program, however that ends.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};

use florin_adapters::dev::{DataDir, DatabaseUrls, Port, PrivatePostgres};
use tempfile::TempDir;

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
            // Ours since the line above: no other run has it open.
            remove_old_cluster(home.path());
            let postgres: &'static _ =
                Box::leak(Box::new(PrivatePostgres::start(&home, Port::Any).await.unwrap()));
            sender.send(postgres).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}

/// Its server may be on its way out still: moved aside, it cannot disturb the new one.
fn remove_old_cluster(directory: &Path) {
    let aside = TempDir::with_prefix_in("old-", directory).unwrap();
    match std::fs::rename(directory.join("postgres"), aside.path().join("postgres")) {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("the old cluster: {error}"),
        Ok(()) | Err(_) => {}
    }
}

fn directory() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().with_file_name("e2e-postgres")
}

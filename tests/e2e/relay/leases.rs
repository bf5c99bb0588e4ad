//! Who does what only one process may do.
//!
//! A process is a [`Leases`] of its own here; it dies when it and what runs under it are dropped,
//! which leaves its rows in the table, as `kill -9` does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use florin_adapters::postgres::connect;
use florin_adapters::postgres::lease::{BEAT, Leases, TTL, holders};
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::store::{Store, eventually};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What the issue promises.
const TAKEOVER: Duration = Duration::from_secs(5);

/// Who works under which lease now; a second one at the same time fails the test.
#[derive(Clone, Default)]
struct Board(Arc<Mutex<BTreeMap<String, String>>>);

impl Board {
    fn who(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap().clone()
    }

    /// How many leases a process works under.
    fn count(&self, holder: &str) -> usize {
        self.who().values().filter(|who| *who == holder).count()
    }
}

/// A name on the board for as long as the work lives.
struct Working(Board, String);

impl Working {
    fn begin(board: &Board, name: &str, holder: &str) -> Self {
        let before = board.0.lock().unwrap().insert(name.to_owned(), holder.to_owned());
        assert_eq!(before, None, "{holder} began {name} while another worked");
        Self(board.clone(), name.to_owned())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().remove(&self.1);
    }
}

/// A process that wants some leases and works under each that it holds.
struct Process {
    leases: Leases,
    tasks: JoinSet<()>,
}

impl Process {
    fn start(pool: &PgPool, board: &Board, names: &[&str]) -> Self {
        let leases = Leases::start(pool.clone());
        let mut tasks = JoinSet::new();
        for name in names {
            let (leases, board, name) = (leases.clone(), board.clone(), (*name).to_owned());
            tasks.spawn(async move {
                let holder = leases.holder().to_owned();
                let work = || async {
                    let _working = Working::begin(&board, &name, &holder);
                    std::future::pending::<()>().await;
                };
                leases.run(&name, work).await;
            });
        }
        Self { leases, tasks }
    }

    fn holder(&self) -> String {
        self.leases.holder().to_owned()
    }

    /// As `kill -9` does: nothing is given back.
    async fn die(mut self) {
        self.tasks.shutdown().await;
    }

    async fn stop(mut self) {
        self.tasks.shutdown().await;
        self.leases.stop().await;
    }
}

async fn works(board: &Board, process: &Process, count: usize) {
    let holder = process.holder();
    eventually("the process works under its leases", async || {
        if board.count(&holder) == count { Ok(()) } else { Err(board.who()) }
    })
    .await;
}

async fn pool() -> PgPool {
    let Store::Postgres(_, urls) = Store::postgres(1).await else { unreachable!() };
    connect(&urls.service).unwrap()
}

#[tokio::test]
async fn a_lease_of_a_process_that_dies_is_taken_over_within_five_seconds() {
    let (pool, board) = (pool().await, Board::default());
    let first = Process::start(&pool, &board, &["relay:0"]);
    works(&board, &first, 1).await;
    let second = Process::start(&pool, &board, &["relay:0"]);
    let seen = holders(&pool).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((&*seen[0].name, &seen[0].holder), ("relay:0", &first.holder()));
    // Longer than a lease lasts: it is renewed.
    tokio::time::sleep(TTL + BEAT).await;
    assert_eq!(board.who(), BTreeMap::from([("relay:0".to_owned(), first.holder())]));
    let since = holders(&pool).await.unwrap();
    assert_eq!(since, seen, "held without interruption");

    first.die().await;
    let died = Instant::now();
    works(&board, &second, 1).await;
    assert!(died.elapsed() < TAKEOVER, "{:?}", died.elapsed());
    second.stop().await;
    assert_eq!(holders(&pool).await.unwrap(), []);
}

#[tokio::test]
async fn a_lease_that_is_given_back_is_taken_at_once() {
    let (pool, board) = (pool().await, Board::default());
    let first = Process::start(&pool, &board, &["relay:0"]);
    works(&board, &first, 1).await;
    let second = Process::start(&pool, &board, &["relay:0"]);
    first.stop().await;
    let stopped = Instant::now();
    works(&board, &second, 1).await;
    assert!(stopped.elapsed() < TTL, "{:?}", stopped.elapsed());
    second.stop().await;
}

#[tokio::test]
async fn processes_share_evenly_and_the_survivor_takes_all() {
    let names = ["relay:0", "relay:1", "relay:2", "relay:3", "projection:balance:0"];
    let (pool, board) = (pool().await, Board::default());
    let first = Process::start(&pool, &board, &names);
    works(&board, &first, 5).await;
    let second = Process::start(&pool, &board, &names);
    works(&board, &second, 2).await;
    works(&board, &first, 3).await;
    first.die().await;
    let died = Instant::now();
    works(&board, &second, 5).await;
    assert!(died.elapsed() < TAKEOVER, "{:?}", died.elapsed());
    let held: BTreeSet<String> =
        holders(&pool).await.unwrap().into_iter().map(|lease| lease.name).collect();
    assert_eq!(held, names.map(ToOwned::to_owned).into());
    second.stop().await;
}

#[tokio::test]
async fn work_stops_before_a_lease_that_cannot_be_renewed_runs_out() {
    let postgres = OwnPostgres::start().await;
    let urls = postgres.ledger(1).await;
    let (pool, board) = (connect(&urls.service).unwrap(), Board::default());
    let process = Process::start(&pool, &board, &["relay:0"]);
    works(&board, &process, 1).await;
    postgres.kill_hard().await;
    let killed = Instant::now();
    works(&board, &process, 0).await;
    assert!(killed.elapsed() < TTL, "{:?}", killed.elapsed());
    postgres.restart().await;
    works(&board, &process, 1).await;
    process.stop().await;
    postgres.stop().await;
}

#[tokio::test]
async fn work_that_ends_gives_its_lease_back() {
    let pool = pool().await;
    let leases = Leases::start(pool.clone());
    assert_eq!(leases.run("relay:0", || async { 7 }).await, 7);
    eventually("the lease is given back", async || {
        let held = holders(&pool).await.unwrap();
        if held.is_empty() { Ok(()) } else { Err(held) }
    })
    .await;
    leases.stop().await;
}

//! The monkey against the ledger: calm, with processes killed under it, and with two of them at once.
//!
//! The usual run takes seconds; with `FLORIN_LONG=1` it is 50,000 requests of 64 clients on 20
//! wallets, and ten kills.

use std::path::Path;
use std::time::Duration;

use florin_adapters::dev::DatabaseUrls;
use florin_adapters::monkey;
use florin_adapters::postgres::migrate;
use florin_tests::cluster;
use florin_tests::length::short_or_long;
use florin_tests::monkeys::{Effort, calm, expect_clean, expect_verified, monkeys_during, rough};
use florin_tests::process::{Florin, free_port, pid_in, run, signal};
use florin_tests::round_robin::RoundRobin;
use florin_tests::service::Service;
use tempfile::TempDir;
use tokio::time::sleep;

/// How much of it.
fn effort() -> Effort {
    short_or_long(
        Effort { requests: 1_500, concurrency: 32 },
        Effort { requests: 50_000, concurrency: 64 },
    )
}

/// How often somebody dies.
fn kills() -> u32 {
    short_or_long(4, 10)
}

async fn a_calm_run_is_clean(partitions: u32) {
    let service = Service::start(partitions).await;
    let verdict = monkey::run(&calm(service.url(), "calm", effort())).await;
    expect_clean(&verdict);
    let counts = &verdict.counts;
    assert_eq!((counts.server_errors, counts.away, counts.broken_connections), (0, 0, 0));
    let summary = service.finish().await;
    let usd = &summary.totals[&"USD".parse().unwrap()];
    assert_eq!((usd.in_wallets, usd.in_flight), (verdict.held, 0.into()), "to the cent");
    assert_eq!(summary.unfinished, 0);
}

#[tokio::test]
async fn a_calm_run_with_1_partition_is_clean() {
    a_calm_run_is_clean(1).await;
}

#[tokio::test]
async fn a_calm_run_with_4_partitions_is_clean() {
    a_calm_run_is_clean(4).await;
}

/// Lets the monkey run between two kills: long enough to be answered again, short enough to be hit at
/// work.
async fn a_while() {
    sleep(Duration::from_millis(500)).await;
}

/// Monkeys at work on a service while somebody is killed under them again and again.
async fn monkeys_during_kills(url: &str, prefix: &str, kills: impl Future<Output = ()>) {
    let troubles = monkeys_during(&rough(url, prefix, effort()), kills).await;
    assert!(troubles > 0, "nothing was killed under a monkey");
}

/// `florin dev`, whose Postgres and whose own process are killed in turn. It brings Postgres back by
/// itself, and is brought back by the test.
async fn kills_lose_and_double_nothing(partitions: &str) {
    let dir = TempDir::new().unwrap();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let start = || Florin::dev(dir.path(), port, &["--partitions", partitions]);
    let mut florin = start();
    florin.ready(&url).await;
    let killing = async {
        for kill in 0..kills() {
            a_while().await;
            if kill % 2 == 0 {
                let pid_file = dir.path().join("data/postgres/postmaster.pid");
                signal("KILL", pid_in(&pid_file).unwrap()).await;
            } else {
                florin.kill_hard().await;
                florin = start();
            }
            florin.ready(&url).await;
        }
    };
    monkeys_during_kills(&url, "killed", killing).await;
    expect_verified(&database_url(dir.path())).await;
    florin.terminate().await;
}

fn database_url(dir: &Path) -> String {
    let env = std::fs::read_to_string(dir.join("data/florin.env")).unwrap();
    env.lines().find_map(|line| line.strip_prefix("DATABASE_URL=")).unwrap().to_owned()
}

#[tokio::test]
async fn kills_with_1_partition_lose_and_double_nothing() {
    kills_lose_and_double_nothing("1").await;
}

#[tokio::test]
async fn kills_with_4_partitions_lose_and_double_nothing() {
    kills_lose_and_double_nothing("4").await;
}

/// Two processes of the service on one database.
struct Pair {
    dir: TempDir,
    database: DatabaseUrls,
    ports: [u16; 2],
    services: [Florin; 2],
}

impl Pair {
    async fn start(partitions: u32) -> Self {
        let database = cluster::database().await;
        migrate(&database.admin, Some(partitions)).await.unwrap();
        let (dir, ports) = (TempDir::new().unwrap(), [free_port(), free_port()]);
        let mut services =
            ports.map(|port| Florin::serve(dir.path(), port, &database.service, &[]));
        for (service, port) in services.iter_mut().zip(ports) {
            service.ready(&url(port)).await;
        }
        Self { dir, database, ports, services }
    }

    async fn finish(mut self) {
        expect_verified(&self.database.service).await;
        for service in &mut self.services {
            service.terminate().await;
        }
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A monkey for each process, on wallets of its own, and one that meets both with every wallet; and
/// all the while the journal is proved again and again.
async fn two_processes_agree(partitions: u32) {
    let pair = Pair::start(partitions).await;
    let both = RoundRobin::start(pair.ports.to_vec()).await;
    let [one, two] = pair.ports.map(url);
    let (one, two) = (calm(&one, "one", effort()), calm(&two, "two", effort()));
    let shared = calm(both.url(), "shared", effort());
    let monkeys =
        async { tokio::join!(monkey::run(&one), monkey::run(&two), monkey::run(&shared)) };
    let proofs = async {
        loop {
            let ran = run(["verify", "--database-url", &pair.database.service]).await;
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
    };
    let (first, second, third) = tokio::select! {
        verdicts = monkeys => verdicts,
        () = proofs => unreachable!("it goes on until the monkeys are done"),
    };
    for verdict in [first, second, third] {
        expect_clean(&verdict);
    }
    let connections = both.connections();
    assert!(connections.iter().all(|count| *count > 0), "{connections:?}");
    pair.finish().await;
}

#[tokio::test]
async fn two_processes_with_1_partition_agree() {
    two_processes_agree(1).await;
}

#[tokio::test]
async fn two_processes_with_4_partitions_agree() {
    two_processes_agree(4).await;
}

/// One of two is killed, the other goes on and finishes what it finds; then the other way round.
#[tokio::test]
async fn two_processes_stand_in_for_each_other() {
    let mut pair = Pair::start(4).await;
    let both = RoundRobin::start(pair.ports.to_vec()).await;
    let killing = async {
        for kill in 0..kills() {
            let (victim, port) = (kill as usize % 2, pair.ports[kill as usize % 2]);
            a_while().await;
            pair.services[victim].kill_hard().await;
            a_while().await;
            let (dir, database) = (pair.dir.path(), &pair.database.service);
            pair.services[victim] = Florin::serve(dir, port, database, &[]);
            pair.services[victim].ready(&url(port)).await;
        }
    };
    monkeys_during_kills(both.url(), "halved", killing).await;
    pair.finish().await;
}

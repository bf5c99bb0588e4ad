//! Reads and writes while models are rebuilt and gone back from: none fails, and none goes back in time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use florin_adapters::generations::rebuild::Manner;
use florin_application::Settings;
use florin_tests::feed::random;
use florin_tests::fresh_fold::equals_fresh_fold;
use florin_tests::service::Service;
use florin_tests::store::{Store, eventually};
use futures::future::join_all;
use serde_json::json;
use sqlx::Connection as _;

use super::{admin, named, rebuild, workshop};

const WALLETS: u64 = 6;
const READERS: u64 = 4;

/// Writes until it is told to stop.
async fn write(service: &Service, is_over: &AtomicBool) -> u64 {
    let (mut seed, mut written) = (23, 0);
    while !is_over.load(Ordering::Relaxed) {
        let (from, to) = (random(&mut seed) % WALLETS, random(&mut seed) % WALLETS);
        let answer = match random(&mut seed) % 2 {
            0 => service.post(&format!("/wallets/w{from}/deposit"), json!({"amount": "5"})).await,
            _ => {
                let body = json!({"toWalletId": format!("w{to}"), "amount": "1"});
                service.post(&format!("/wallets/w{from}/transfer"), body).await
            }
        };
        assert!(answer.status < 500, "{answer}");
        written += 1;
    }
    written
}

/// Reads until it is told to stop; each answer is as of the position of the one before, or later.
async fn read(service: &Service, mut seed: u64, reads: &AtomicU64, is_over: &AtomicBool) {
    let mut versions = [0; WALLETS as usize];
    let mut totals = [0; WALLETS as usize];
    while !is_over.load(Ordering::Relaxed) {
        let number = random(&mut seed) % WALLETS;
        let (wallet, index) = (format!("/wallets/w{number}"), usize::try_from(number).unwrap());
        let answer = service.get(&wallet).await;
        assert_eq!(answer.status, 200, "{answer}");
        let version = answer.body["version"].as_u64().unwrap();
        assert!(version >= versions[index], "{version} after {}: {answer}", versions[index]);
        versions[index] = version;

        let history = service.get(&format!("{wallet}/history?page=1&limit=3")).await;
        assert_eq!(history.status, 200, "{history}");
        let total = history.body["total"].as_u64().unwrap();
        assert!(total >= totals[index], "{total} after {}: {history}", totals[index]);
        totals[index] = total;

        let stats = service.get(&format!("{wallet}/stats")).await;
        assert_eq!(stats.status, 200, "{stats}");
        reads.fetch_add(3, Ordering::Relaxed);
    }
}

/// Asks until it is told to stop whether the money adds up.
async fn add_up(service: &Service, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let answer = service.get("/ledger/trial-balance").await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.body["data"][0]["difference"], "0.00", "{answer}");
    }
}

async fn no_read_fails_or_goes_back_in_time(partitions: u32) {
    let store = Store::postgres(partitions).await;
    let service = Service::on(store, &Settings::default()).await;
    for number in 0..WALLETS {
        let path = format!("/wallets/w{number}/deposit");
        assert_eq!(service.post(&path, json!({"amount": "100"})).await.status, 201);
    }
    let (is_over, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let rebuilding = async {
        for round in 0..3 {
            let before = reads.load(Ordering::Relaxed);
            let all = "balance,history,stats,fraud";
            let rebuilt = rebuild(service.store(), all, Manner::default()).await.unwrap();
            assert!(rebuilt.iter().all(|one| one.switched), "round {round}: {rebuilt:?}");
            for model in named(all) {
                workshop(service.store()).await.go_back(&model, &mut |_| {}).await.unwrap();
            }
            eventually("reads go on", async || {
                let now = reads.load(Ordering::Relaxed);
                if now > before { Ok(()) } else { Err(now) }
            })
            .await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let reading = join_all((0..READERS).map(|n| read(&service, 31 + n, &reads, &is_over)));
    let adding = add_up(&service, &is_over);
    let (_, (), written, ()) = tokio::join!(reading, adding, write(&service, &is_over), rebuilding);
    assert!(written > 0);
    let store = service.stop().await;
    equals_fresh_fold(&store).await;
    store.audit().await;
}

#[tokio::test]
async fn no_read_fails_or_goes_back_in_time_with_1_partition() {
    no_read_fails_or_goes_back_in_time(1).await;
}

#[tokio::test]
async fn no_read_fails_or_goes_back_in_time_with_4_partitions() {
    no_read_fails_or_goes_back_in_time(4).await;
}

#[tokio::test]
async fn a_reader_in_the_midst_of_a_report_finishes_it_before_the_switch() {
    let store = Store::postgres(1).await;
    let service = Service::on(store, &Settings::default()).await;
    service.post("/wallets/w0/deposit", json!({"amount": "100"})).await;
    let mut reader = admin(service.store()).await;
    let mut report = reader.begin().await.unwrap();
    sqlx::query("LOCK TABLE balances IN ACCESS SHARE MODE").execute(&mut *report).await.unwrap();
    let (rebuilt, ()) =
        tokio::join!(rebuild(service.store(), "balance", Manner::default()), async {
            let waiting =
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'";
            let mut watcher = admin(service.store()).await;
            eventually("the switch waits for the reader", async || {
                let count: i64 = sqlx::query_scalar(waiting).fetch_one(&mut watcher).await.unwrap();
                if count > 0 { Ok(()) } else { Err(count) }
            })
            .await;
            // Other readers are let by.
            assert_eq!(service.get("/wallets/w0/stats").await.status, 200);
            assert_eq!(service.get("/wallets?limit=1").await.status, 200);
            report.rollback().await.unwrap();
        });
    assert!(rebuilt.unwrap()[0].switched);
    equals_fresh_fold(&service.stop().await).await;
}

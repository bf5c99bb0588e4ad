//! `florin snapshot rebuild`, as a process.

use florin_application::Ledger;
use florin_application::snapshots::SNAPSHOT_EVERY;
use florin_tests::ask::{deposit, id, request};
use florin_tests::nats::pool;
use florin_tests::process::run;
use florin_tests::store::{Store, balance_of, eventually};
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;

async fn deposit_times(ledger: &Ledger, wallet: &str, times: u64) {
    let deposits = (0..times).map(|_| ledger.submit(request(deposit(&id(wallet), "1"))));
    for answer in join_all(deposits).await {
        answer.unwrap();
    }
}

/// Wallets with so many deposits each; every one of more than five hundred has its snapshot.
async fn store(wallets: &[(&str, u64)]) -> Store {
    let store = Store::postgres(2).await;
    let ledger = store.process();
    for (wallet, deposits) in wallets {
        deposit_times(&ledger, wallet, *deposits).await;
    }
    let long = wallets.iter().filter(|(_, deposits)| *deposits >= SNAPSHOT_EVERY).count();
    eventually("snapshots are saved", async || match snapshots(pool(&store)).await {
        saved if saved.len() == long => Ok(()),
        saved => Err(saved),
    })
    .await;
    store
}

/// Wallet, version and balance of each.
async fn snapshots(pool: &PgPool) -> Vec<(String, i64, String)> {
    let select = "SELECT aggregate_id, last_sequence, coalesce(payload #>> '{account,balance}', '')
                    FROM snapshots ORDER BY aggregate_id";
    sqlx::query_as(select).fetch_all(pool).await.unwrap()
}

async fn tamper(pool: &PgPool, wallet: &str, set: &str) {
    let update = format!("UPDATE snapshots SET {set} WHERE aggregate_id = '{wallet}'");
    assert_eq!(sqlx::query(&update).execute(pool).await.unwrap().rows_affected(), 1);
}

async fn rebuild(store: &Store, words: &[&str]) -> Value {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    let verb = ["snapshot", "rebuild", "--json", "--database-url", &urls.service];
    let ran = run([&verb, words].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

fn found(right: u64, wrong: &[&str], unreadable: u64, missing: u64) -> Value {
    json!({
        "wallets": right + wrong.len() as u64 + unreadable + missing,
        "right": right, "wrong": wrong.len(), "unreadable": unreadable, "missing": missing,
        "wrongWallets": wrong,
    })
}

const NOTHING: &str =
    r#"payload = '{"account":{"currency":"USD","balance":"0.00","status":"frozen"}}'"#;

#[tokio::test]
async fn wrong_torn_and_missing_snapshots_are_counted_and_written_anew() {
    let long = SNAPSHOT_EVERY + 10;
    let store = store(&[
        ("ahead", long),
        ("alice", long),
        ("gone", long),
        ("old", long),
        ("short", 3),
        ("torn", long),
        ("wrong", long),
    ])
    .await;
    let pool = pool(&store);
    tamper(pool, "wrong", NOTHING).await;
    tamper(pool, "torn", "payload = '7'").await;
    tamper(pool, "old", &format!("schema_version = 0, {NOTHING}")).await;
    // One that no newer one would ever replace.
    tamper(pool, "ahead", &format!("last_sequence = 9000, {NOTHING}")).await;
    sqlx::query("DELETE FROM snapshots WHERE aggregate_id = 'gone'").execute(pool).await.unwrap();
    sqlx::query(
        "INSERT INTO snapshots SELECT aggregate_type, 'nobody', last_sequence, 1, payload
                   FROM snapshots WHERE aggregate_id = 'alice'",
    )
    .execute(pool)
    .await
    .unwrap();
    assert_eq!(rebuild(&store, &[]).await, found(1, &["ahead", "nobody", "wrong"], 2, 1));
    let version = i64::try_from(long + 1).unwrap();
    let expected = ["ahead", "alice", "gone", "old", "torn", "wrong"];
    let expected = expected.map(|wallet| (wallet.to_owned(), version, format!("{long}.00")));
    assert_eq!(snapshots(pool).await, expected);
    assert_eq!(rebuild(&store, &[]).await, found(6, &[], 0, 0));
    assert_eq!(balance_of(&store.process(), &id("wrong")).await, format!("{long}.00"));
}

#[tokio::test]
async fn the_snapshot_of_one_wallet_is_written_also_if_its_stream_is_short() {
    let store = store(&[("alice", SNAPSHOT_EVERY + 10), ("short", 3)]).await;
    let pool = pool(&store);
    tamper(pool, "alice", NOTHING).await;
    assert_eq!(rebuild(&store, &["--wallet", "short"]).await, found(0, &[], 0, 1));
    assert_eq!(rebuild(&store, &["--wallet", "nobody"]).await, found(0, &[], 0, 0));
    let left = snapshots(pool).await;
    assert_eq!(left[0].2, "0.00", "that of another wallet is left alone");
    assert_eq!(left[1], ("short".to_owned(), 4, "3.00".to_owned()));
    assert_eq!(rebuild(&store, &["--wallet", "alice"]).await, found(0, &["alice"], 0, 0));
    assert_eq!(rebuild(&store, &["--wallet", "alice"]).await, found(1, &[], 0, 0));
}

#[tokio::test]
async fn a_rebuild_beside_a_busy_service_finds_nothing_wrong_and_takes_nothing_back() {
    let store = store(&[("alice", SNAPSHOT_EVERY + 10)]).await;
    let ledger = store.process();
    let busy = async {
        for _ in 0..10 {
            deposit_times(&ledger, "alice", SNAPSHOT_EVERY / 2).await;
        }
    };
    let rebuilding = async {
        let mut last = 0;
        for _ in 0..5 {
            let report = rebuild(&store, &[]).await;
            assert_eq!(report, found(1, &[], 0, 0));
            let now = snapshots(pool(&store)).await[0].1;
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    };
    tokio::join!(busy, rebuilding);
}

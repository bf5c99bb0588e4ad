//! Snapshots: used when they can be, ignored when they cannot, and readable by postgres-es.

use cqrs_es::EventStore;
use cqrs_es::persist::{PersistedEventRepository, PersistedEventStore};
use florin_application::Ledger;
use florin_application::snapshots::SNAPSHOT_EVERY;
use florin_domain::transfer::Phase;
use florin_domain::upcast::upcasters;
use florin_domain::{Transfer, Wallet, WalletEvent};
use florin_tests::ask::{deposit, id, request, transfer, transferred};
use florin_tests::store::{Store, balance_of, eventually};
use futures::future::join_all;
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;

/// A ledger of one wallet, `alice`, with a snapshot and a tail of some events after it.
struct Snapshotted {
    store: Store,
    pool: PgPool,
    /// What the wallet holds: one dollar for each deposit.
    balance: u64,
}

async fn snapshotted() -> Snapshotted {
    let store = Store::postgres(1).await;
    let Store::Postgres(journal, _) = &store else { panic!("snapshots are in Postgres") };
    let pool = journal.pool().clone();
    let ledger = store.process();
    deposit_times(&ledger, SNAPSHOT_EVERY + 10).await;
    eventually("a snapshot is saved", async || match snapshots(&pool).await {
        1 => Ok(()),
        count => Err(count),
    })
    .await;
    deposit_times(&ledger, 5).await;
    Snapshotted { store, pool, balance: SNAPSHOT_EVERY + 15 }
}

async fn deposit_times(ledger: &Ledger, times: u64) {
    let deposits = (0..times).map(|_| ledger.submit(request(deposit(&id("alice"), "1"))));
    for answer in join_all(deposits).await {
        answer.unwrap();
    }
}

async fn snapshots(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM snapshots").fetch_one(pool).await.unwrap()
}

/// What a process that knows nothing yet says alice holds.
async fn read_cold(store: &Store) -> String {
    balance_of(&store.process(), &id("alice")).await
}

async fn tamper(pool: &PgPool, set: &str) {
    let update = format!("UPDATE snapshots SET {set}");
    assert_eq!(sqlx::query(&update).execute(pool).await.unwrap().rows_affected(), 1);
}

/// A snapshot in which alice has nothing.
const NOTHING: &str =
    r#"payload = '{"account":{"currency":"USD","balance":"0.00","status":"frozen"}}'"#;

#[tokio::test]
async fn a_wallet_is_loaded_from_its_snapshot_and_the_events_after_it() {
    let Snapshotted { store, pool, balance } = snapshotted().await;
    assert_eq!(read_cold(&store).await, format!("{balance}.00"));
    // Only whoever reads the snapshot sees it frozen; the balance is that of the last event.
    tamper(&pool, NOTHING).await;
    let cold = store.process().wallet(&id("alice")).await.unwrap().unwrap();
    assert_eq!(cold.account.status, florin_domain::wallet::Status::Frozen);
    assert_eq!((cold.account.balance, cold.version), (balance.into(), balance + 1));
    store.audit().await;
}

#[tokio::test]
async fn a_snapshot_of_another_shape_is_ignored_and_replaced_in_time() {
    let Snapshotted { store, pool, balance } = snapshotted().await;
    tamper(&pool, &format!("{NOTHING}, schema_version = 99")).await;
    let cold = store.process().wallet(&id("alice")).await.unwrap().unwrap();
    assert_eq!(cold.account.status, florin_domain::wallet::Status::Active);
    assert_eq!((cold.account.balance, cold.version), (balance.into(), balance + 1));
    // A process saves its snapshots for as long as it runs.
    let ledger = store.process();
    deposit_times(&ledger, SNAPSHOT_EVERY).await;
    eventually("the snapshot has today's shape", async || {
        let shape = "SELECT schema_version FROM snapshots";
        match sqlx::query_scalar::<_, i32>(shape).fetch_one(&pool).await.unwrap() {
            99 => Err(99),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(read_cold(&store).await, format!("{}.00", balance + SNAPSHOT_EVERY));
    store.audit().await;
}

#[tokio::test]
async fn a_snapshot_that_is_torn_or_gone_costs_time_only() {
    let Snapshotted { store, pool, balance } = snapshotted().await;
    tamper(&pool, "payload = '{\"account\":7}'").await;
    assert_eq!(read_cold(&store).await, format!("{balance}.00"));
    sqlx::query("DELETE FROM snapshots").execute(&pool).await.unwrap();
    assert_eq!(read_cold(&store).await, format!("{balance}.00"));
    store.audit().await;
}

#[tokio::test]
async fn the_repository_of_postgres_es_loads_our_streams_and_snapshots() {
    let Snapshotted { store, pool, balance } = snapshotted().await;
    let ledger = store.process();
    let sent = ledger.submit(request(transfer(&id("alice"), &id("bob"), "1"))).await.unwrap();
    let sent = transferred(sent);
    let now = ledger.wallet(&id("alice")).await.unwrap().unwrap();

    let repository = PostgresEventRepository::new(pool.clone());
    let snapshot = repository.get_snapshot::<Wallet>("alice").await.unwrap().unwrap();
    let kept: Wallet = serde_json::from_value(snapshot.aggregate).unwrap();
    assert_eq!(kept.account().unwrap().balance, (snapshot.current_sequence as u64 - 1).into());

    let wallets = || {
        let repository = PostgresEventRepository::new(pool.clone());
        PersistedEventStore::<_, Wallet>::new_event_store(repository).with_upcasters(upcasters())
    };
    let events = wallets().load_events("alice").await.unwrap();
    assert_eq!(events.len() as u64, now.version);
    assert!(matches!(events[0].payload, WalletEvent::WalletOpened { .. }));
    assert_eq!(events.last().unwrap().metadata["correlationId"], sent.transfer_id.to_string());
    let folded = wallets().load_aggregate("alice").await.unwrap().aggregate;
    assert_eq!(folded.account(), Some(&now.account));
    assert_eq!(now.account.balance, (balance - 1).into());

    let by_snapshot = PersistedEventStore::<_, Wallet>::new_snapshot_store(repository, 500);
    let by_snapshot = by_snapshot.load_aggregate("alice").await.unwrap().aggregate;
    assert_eq!(by_snapshot.account(), Some(&now.account));

    let repository = PostgresEventRepository::new(pool);
    let transfers = PersistedEventStore::<_, Transfer>::new_event_store(repository);
    let transfer = transfers.load_aggregate(&sent.transfer_id.to_string()).await.unwrap().aggregate;
    assert_eq!(transfer.details().unwrap().phase, Phase::Completed);
    store.audit().await;
}

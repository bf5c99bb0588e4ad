//! The whole way: journal, relay, JetStream, consumers, rows; two workers, of which one is killed.

use std::time::Duration;

use florin_adapters::worker::Worker;
use florin_projections::models;
use florin_projections::runner::State;
use florin_tests::fresh_fold::equals_fresh_fold;
use florin_tests::lag::read_models_behind;
use florin_tests::nats::OwnNats;
use florin_tests::projecting::pool;
use florin_tests::store::{Store, eventually};
use tokio::time::Instant;

use super::random_ledger;

/// How long a takeover may take.
const TAKEOVER: Duration = Duration::from_secs(5);

/// Waits until every read model has everything that the journal has.
async fn caught_up(store: &Store) {
    let pool = pool(store);
    eventually("every read model has the whole journal", async || {
        let behind = read_models_behind(&pool).await;
        if behind.is_empty() { Ok(()) } else { Err(behind) }
    })
    .await;
}

/// How many read models and partitions a worker works on.
fn held(worker: &Worker) -> usize {
    worker.progress().iter().filter(|progress| progress.health().state != State::Idle).count()
}

async fn a_worker_takes_over(partitions: u32) {
    let (store, nats) = (Store::postgres(partitions).await, OwnNats::start().await);
    let ledger = store.process();
    let one = nats.worker_with(&store, models::all()).await;
    random_ledger(&store, &ledger, 1, 150).await;
    caught_up(&store).await;
    let two = nats.worker_with(&store, models::all()).await;
    random_ledger(&store, &ledger, 2, 150).await;
    caught_up(&store).await;
    drop(one);
    let killed = Instant::now();
    let all = models::all().len() * partitions as usize;
    eventually("the other worker has all its work", async || match held(&two) {
        count if count == all => Ok(()),
        count => Err(count),
    })
    .await;
    assert!(killed.elapsed() < TAKEOVER, "taken over after {:?}", killed.elapsed());
    random_ledger(&store, &ledger, 3, 150).await;
    caught_up(&store).await;
    equals_fresh_fold(&store).await;
    two.stop().await;
}

#[tokio::test]
async fn a_worker_takes_over_1_partition() {
    a_worker_takes_over(1).await;
}

#[tokio::test]
async fn a_worker_takes_over_4_partitions() {
    a_worker_takes_over(4).await;
}

use std::sync::Arc;

use florin_projections::balance::Balance;
use florin_projections::checkpoint;
use florin_projections::dead_letters;
use florin_projections::history::History;
use florin_projections::runner::State;
use florin_tests::ask::{deposit, id, request};
use florin_tests::feed::Manner;
use florin_tests::fresh_fold::equals_fresh_fold;
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::projecting::{Running, all_caught_up, every_model, pool, reader};
use florin_tests::store::{Store, eventually};
use sqlx::{Connection, PgConnection};

use super::random_ledger;

#[tokio::test]
async fn with_postgres_away_nothing_is_a_dead_letter_and_everything_is_applied_later() {
    let postgres = OwnPostgres::start().await;
    let store = postgres.store(1).await;
    let ledger = store.process();
    let runners = every_model(&store, |_| Manner::Rough(17));
    for lap in 1..=3 {
        random_ledger(&store, &ledger, lap, 60).await;
        postgres.kill_hard().await;
        eventually("every runner has noticed", async || {
            let states: Vec<State> =
                runners.iter().map(|runner| runner.progress.health().state).collect();
            if states.iter().all(|state| *state == State::Retrying) { Ok(()) } else { Err(states) }
        })
        .await;
        postgres.restart().await;
        eventually("the ledger takes commands again", async || {
            let answer = ledger.submit(request(deposit(&id("again"), "1"))).await;
            answer.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
    all_caught_up(&store, &runners).await;
    equals_fresh_fold(&store).await;
    let (pool, all) = (pool(&store), dead_letters::Filter::default());
    assert_eq!(dead_letters::list(&pool, &all, None, 10).await.unwrap().letters, []);
    drop(runners);
    postgres.stop().await;
}

/// A batch does not wait for the disk, so a crash takes the last ones back, rows and checkpoint; and
/// perhaps no event ever comes after it.
#[tokio::test]
async fn what_a_crash_took_back_is_applied_again_without_a_new_event() {
    let store = Store::postgres(1).await;
    let Store::Postgres(_, urls) = &store else { unreachable!() };
    let running = Running::start(&store, Arc::new(Balance), 0, Manner::Faithful);
    let ledger = store.process();
    random_ledger(&store, &ledger, 1, 20).await;
    running.caught_up(&store).await;
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    let keep = "CREATE TABLE old_balances AS TABLE balances;
                CREATE TABLE old_checkpoints AS TABLE checkpoints";
    sqlx::raw_sql(keep).execute(&mut admin).await.unwrap();
    random_ledger(&store, &ledger, 2, 20).await;
    running.caught_up(&store).await;
    let crash = "BEGIN; DELETE FROM balances; INSERT INTO balances TABLE old_balances;
                 UPDATE checkpoints c SET position = o.position FROM old_checkpoints o; COMMIT";
    sqlx::raw_sql(crash).execute(&mut admin).await.unwrap();
    let head = reader(&store).head(0).await.unwrap();
    eventually("the checkpoint is at the head again", async || {
        let at = checkpoint::position(&pool(&store), "balance", 0).await.unwrap();
        if at == head { Ok(()) } else { Err((at, head)) }
    })
    .await;
    equals_fresh_fold(&store).await;
}

/// Somebody holds what a batch needs for longer than it waits: the batch is no dead letter either.
#[tokio::test]
async fn a_lock_that_is_held_too_long_only_delays() {
    let store = Store::postgres(1).await;
    let Store::Postgres(_, urls) = &store else { unreachable!() };
    let running = Running::start(&store, Arc::new(History), 0, Manner::Faithful);
    let ledger = store.process();
    random_ledger(&store, &ledger, 1, 20).await;
    running.caught_up(&store).await;
    let mut other = PgConnection::connect(&urls.admin).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE movements").execute(&mut *lock).await.unwrap();
    random_ledger(&store, &ledger, 2, 20).await;
    eventually("the batch gives up waiting", async || {
        let health = running.progress.health();
        if health.state == State::Retrying { Ok(()) } else { Err(health) }
    })
    .await;
    lock.rollback().await.unwrap();
    running.caught_up(&store).await;
    equals_fresh_fold(&store).await;
    assert_eq!(dead_letters::parked(&pool(&store), None).await.unwrap(), []);
}

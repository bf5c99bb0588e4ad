//! The subscriber of the documentation, in a process that is killed again and again under load, while
//! NATS restarts: its book in Postgres is the proof.

use std::ffi::OsStr;
use std::time::Duration;

use florin_client::{Name, Positions, pg};
use florin_tests::feed::random;
use florin_tests::guest::Guest;
use florin_tests::length::short_or_long;
use florin_tests::monkeys::{Effort, monkeys_during, rough};
use florin_tests::pipeline::Pipeline;
use florin_tests::store::{eventually, recorded};
use sqlx::{PgConnection, PgPool};
use tokio::time::{Instant, sleep};

const EFFORT: Effort = Effort { requests: 2_000, concurrency: 16 };

/// How long its longest life is at least.
const SHORT: Duration = Duration::from_millis(600);

/// How often it is killed. NATS is killed at a third and at two thirds of them.
fn kills() -> u32 {
    short_or_long(10, 100)
}

fn name() -> Name {
    "balances".parse().unwrap()
}

/// Starts it.
fn subscriber(pipeline: &Pipeline, database: &str) -> Guest {
    let log = pipeline.directory().join("balances.log");
    let (nats, url) = (pipeline.nats.url(), pipeline.url().to_owned());
    let environment = [("FLORIN_URL", &*url), ("NATS_URL", &*nats), ("DATABASE_URL", database)];
    Guest::start(&log, OsStr::new(env!("CARGO_BIN_EXE_balances")), &[], &environment)
}

async fn positions(pool: &PgPool) -> Result<Positions, sqlx::Error> {
    pg::load(&mut *pool.acquire().await?, &name()).await
}

/// Waits until it has begun.
async fn begun(pool: &PgPool) {
    eventually("it has positions", async || match positions(pool).await {
        Ok(positions) if !positions.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

/// Waits until it has everything that is in the journal.
async fn caught_up(pipeline: &Pipeline, pool: &PgPool) {
    let heads: Positions = florin_tests::lag::heads(pipeline.pool()).await.into_iter().collect();
    eventually("it has everything", async || {
        let positions = positions(pool).await.unwrap();
        if positions == heads { Ok(()) } else { Err(format!("{positions} of {heads}")) }
    })
    .await;
}

/// The book, as it was written: wallet, sequence, partition, position.
async fn book(connection: &mut PgConnection) -> Vec<(String, i64, i32, i64)> {
    sqlx::query_as("SELECT wallet_id, sequence, partition, position FROM entries ORDER BY number")
        .fetch_all(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_subscriber_that_is_killed_again_and_again_sees_every_event_once_and_in_order() {
    let pipeline = Pipeline::start(2, 1).await;
    let database = pipeline.postgres.database("balances").await;
    let pool = PgPool::connect(&database.admin).await.unwrap();
    let started = Instant::now();
    let mut running = subscriber(&pipeline, &database.admin);
    begun(&pool).await;
    // So that some lives are long enough to do something, however slow the machine.
    let longest = (started.elapsed() * 3).max(SHORT);
    let longest = u64::try_from(longest.as_millis()).unwrap();
    let (kills, mut seed) = (kills(), 4_711);
    let (mut last, mut hit_at_work) = (Positions::default(), 0);
    let killing = async {
        for kill in 1..=kills {
            // At another moment each time: while it starts, begins, pulls, saves.
            sleep(Duration::from_millis(50 + random(&mut seed) % longest)).await;
            running.kill_hard().await;
            let at = positions(&pool).await.unwrap();
            hit_at_work += u32::from(std::mem::replace(&mut last, at.clone()) != at);
            if kill == kills / 3 || kill == 2 * kills / 3 {
                pipeline.nats.kill_hard().await;
                running = subscriber(&pipeline, &database.admin);
                sleep(Duration::from_millis(300)).await;
                pipeline.nats.restart().await;
            } else {
                running = subscriber(&pipeline, &database.admin);
            }
        }
    };
    monkeys_during(&rough(pipeline.url(), "m", EFFORT), killing).await;
    assert!(hit_at_work > kills / 4, "only {hit_at_work} of {kills} lives did something");
    caught_up(&pipeline, &pool).await;
    assert!(!running.has_ended(), "{}", running.log());
    running.kill_hard().await;

    let written = book(&mut pool.acquire().await.unwrap()).await;
    let events = recorded(pipeline.pool()).await;
    let of_wallets = events.iter().filter(|event| event.aggregate_type == "Wallet");
    let of_wallets: Vec<_> = of_wallets.collect();
    for partition in 0..2 {
        let expected = of_wallets.iter().filter(|event| event.partition == partition);
        let expected: Vec<_> = expected
            .map(|event| (event.aggregate_id.to_string(), event.sequence, event.position))
            .collect();
        let written = written.iter().filter(|(_, _, of, _)| u32::try_from(*of) == Ok(partition));
        let written: Vec<_> = written
            .map(|(wallet, sequence, _, position)| {
                (wallet.clone(), sequence.unsigned_abs(), position.unsigned_abs())
            })
            .collect();
        assert_eq!(written, expected, "each event of each wallet once, in order");
    }
    assert!(of_wallets.len() > 1_000, "there was a load");
    println!("{kills} kills, {hit_at_work} at work, {} events", of_wallets.len());
    pool.close().await;
    pipeline.finish().await;
}

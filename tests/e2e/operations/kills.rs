//! `kill -9` under load: of the service, of workers, of Postgres and of NATS, in random order.

use std::time::Duration;

use florin_tests::feed::{random, shuffle};
use florin_tests::length::short_or_long;
use florin_tests::pipeline::Pipeline;
use florin_tests::process::signal;
use florin_tests::service::send;
use florin_tests::store::eventually;
use reqwest::Client;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::load::Load;

/// Who dies.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Service,
    Worker,
    Postgres,
    Nats,
}

const EVERYBODY: [Victim; 4] = [Victim::Service, Victim::Worker, Victim::Postgres, Victim::Nats];

/// How long everybody runs between two kills, and how long somebody is dead, in milliseconds.
const ALIVE: (u64, u64) = (300, 1_500);
const DEAD: (u64, u64) = (0, 700);

/// A seed for what happens at random; `FLORIN_SEED` repeats that of a failed test, which shows it.
fn seed() -> u64 {
    let given = std::env::var("FLORIN_SEED").ok().map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().1);
    eprintln!("FLORIN_SEED={seed}");
    seed
}

async fn a_while((least, most): (u64, u64), seed: &mut u64) {
    sleep(Duration::from_millis(least + random(seed) % (most - least))).await;
}

async fn kill(pipeline: &mut Pipeline, victim: Victim) {
    match victim {
        Victim::Service => pipeline.api().kill_hard().await,
        Victim::Worker => pipeline.worker(0).kill_hard().await,
        Victim::Postgres => pipeline.postgres.kill_hard().await,
        Victim::Nats => pipeline.nats.kill_hard().await,
    }
}

async fn bring_back(pipeline: &mut Pipeline, victim: Victim) {
    match victim {
        Victim::Service => pipeline.start_api(),
        Victim::Worker => pipeline.start_worker(0),
        Victim::Postgres => pipeline.postgres.restart().await,
        Victim::Nats => pipeline.nats.restart().await,
    }
}

/// Kills everybody in random order, again and again; every fourth time two at once.
async fn kills(pipeline: &mut Pipeline, seed: &mut u64, length: Duration) {
    let began = Instant::now();
    while began.elapsed() < length {
        let mut order = EVERYBODY;
        shuffle(&mut order, seed);
        let mut rest = &order[..];
        while !rest.is_empty() {
            let count = if random(seed).is_multiple_of(4) { 2 } else { 1 };
            let (victims, others) = rest.split_at(count.min(rest.len()));
            a_while(ALIVE, seed).await;
            for victim in victims {
                kill(pipeline, *victim).await;
            }
            a_while(DEAD, seed).await;
            for victim in victims {
                bring_back(pipeline, *victim).await;
            }
            rest = others;
        }
    }
}

async fn whoever_is_killed_every_promise_is_kept(partitions: u32) {
    let mut pipeline = Pipeline::start(partitions, 1).await;
    let (load, mut seed) = (Load::new(pipeline.url()), seed());
    let length = short_or_long(Duration::from_secs(20), Duration::from_secs(120));
    let of_load = random(&mut seed);
    let promised = load.during(of_load, kills(&mut pipeline, &mut seed, length)).await;
    assert!(promised > 100, "{promised} were promised");
    let url = pipeline.url().to_owned();
    pipeline.api().ready(&url).await;
    load.every_promise_is_kept(&pipeline).await;
    pipeline.finish().await;
}

#[tokio::test]
async fn whoever_is_killed_every_promise_is_kept_with_1_partition() {
    whoever_is_killed_every_promise_is_kept(1).await;
}

#[tokio::test]
async fn whoever_is_killed_every_promise_is_kept_with_4_partitions() {
    whoever_is_killed_every_promise_is_kept(4).await;
}

#[tokio::test]
async fn of_two_workers_one_is_killed_and_the_other_goes_on() {
    let mut pipeline = Pipeline::start(4, 2).await;
    let (load, mut seed) = (Load::new(pipeline.url()), seed());
    let of_load = random(&mut seed);
    let killing = async {
        for round in 0..4 {
            a_while(ALIVE, &mut seed).await;
            pipeline.worker(round % 2).kill_hard().await;
            a_while(ALIVE, &mut seed).await;
            pipeline.start_worker(round % 2);
        }
    };
    load.during(of_load, killing).await;
    load.every_promise_is_kept(&pipeline).await;
    pipeline.finish().await;
}

/// A worker stands still between the claim, which Postgres carries out meanwhile, and what it would
/// submit then: when it moves again the claim is not its own any more.
#[tokio::test]
async fn what_a_frozen_worker_began_too_long_ago_is_begun_anew() {
    let mut pipeline = Pipeline::start(1, 1).await;
    let worker = pipeline.worker(0).pid().unwrap();
    let mut admin = PgConnection::connect(&pipeline.database().admin).await.unwrap();
    eventually("the worker pulls", async || {
        let jetstream = pipeline.nats.jetstream().await;
        let queue = jetstream.get_stream("OPERATIONS").await.map_err(|error| error.to_string())?;
        let state = queue.cached_info().state.clone();
        if state.consumer_count == 1 { Ok(()) } else { Err(format!("{state:?}")) }
    })
    .await;
    signal("STOP", worker).await;
    let request = Client::new().post(format!("{}/wallets/a/deposit", pipeline.url()));
    let request = request.header("prefer", "respond-async");
    send(request.json(&json!({ "amount": 1 }))).await.expect(202);
    // Only a claim waits, not the publisher.
    let hold = "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                  IF NEW.attempts > OLD.attempts THEN
                    PERFORM pg_advisory_xact_lock_shared(4711);
                  END IF;
                  RETURN NEW;
                END $$;
                CREATE TRIGGER hold BEFORE UPDATE ON operations FOR EACH ROW
                  EXECUTE FUNCTION hold();";
    sqlx::raw_sql(hold).execute(&mut admin).await.unwrap();
    let mut lock = admin.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(4711)").execute(&mut *lock).await.unwrap();
    signal("CONT", worker).await;
    eventually("the claim waits", async || {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let waiting: i64 = sqlx::query_scalar(waits).fetch_one(pipeline.pool()).await.unwrap();
        if waiting == 1 { Ok(()) } else { Err(waiting) }
    })
    .await;
    signal("STOP", worker).await;
    lock.commit().await.unwrap();
    eventually("the claim is given up", async || {
        let claim = "SELECT attempts, due_at < now(), state FROM operations";
        let claim: (i32, bool, String) =
            sqlx::query_as(claim).fetch_one(pipeline.pool()).await.unwrap();
        if (claim.0, claim.1) == (1, true) { Ok(()) } else { Err(claim) }
    })
    .await;
    signal("CONT", worker).await;
    eventually("it is carried out, at another attempt", async || {
        let end = "SELECT attempts, state FROM operations";
        let end: (i32, String) = sqlx::query_as(end).fetch_one(pipeline.pool()).await.unwrap();
        if end == (2, "completed".to_owned()) { Ok(()) } else { Err(end) }
    })
    .await;
    pipeline.finish().await;
}

/// The queue is deleted again and again while it is busy.
#[tokio::test]
async fn a_queue_that_is_deleted_under_load_loses_nothing() {
    let pipeline = Pipeline::start(1, 1).await;
    let (load, mut seed) = (Load::new(pipeline.url()), seed());
    let of_load = random(&mut seed);
    let deletions = async {
        for _ in 0..5 {
            a_while(ALIVE, &mut seed).await;
            pipeline.nats.delete_queue().await;
        }
    };
    load.during(of_load, deletions).await;
    load.every_promise_is_kept(&pipeline).await;
    pipeline.finish().await;
}

//! Whoever is killed between two steps leaves a transaction to somebody else, who brings it to the same
//! end; and NATS may go when it likes.

use florin_adapters::dev::DatabaseUrls;
use florin_tests::pipeline::Pipeline;
use florin_tests::store::eventually;
use florin_tests::upstream::Upstream;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use super::{REASON, completed, failed};

/// Where somebody is held: in a statement that does this.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// What is on its way.
    name: &'static str,
    table: &'static str,
    /// Which statements are held.
    when: &'static str,
}

const fn step(name: &'static str, table: &'static str, when: &'static str) -> Step {
    Step { name, table, when }
}

/// By which money moves.
const FORTH: [Step; 5] = [
    step("what is asked is recorded", "intake_transactions", "BEFORE INSERT"),
    step("the money moves", "events", "BEFORE INSERT"),
    step("that it moved is recorded", "intake_transactions", "BEFORE UPDATE OF error"),
    step("what is to be told is recorded", "intake_outcomes", "BEFORE INSERT"),
    step("that it was told is recorded", "intake_outcomes", "BEFORE UPDATE OF told_at"),
];

/// By which it moves back.
const BACK: [Step; 5] = [
    step("its failure is recorded", "intake_transactions", "BEFORE UPDATE OF failure"),
    step("the money moves back", "events", "BEFORE INSERT"),
    step("that it did is recorded", "intake_transactions", "BEFORE UPDATE OF error"),
    step("what is to be told is recorded", "intake_outcomes", "BEFORE INSERT"),
    step("that it was told is recorded", "intake_outcomes", "BEFORE UPDATE OF told_at"),
];

const LETTER: Step = step("a letter is written", "intake_letters", "BEFORE INSERT");

const REPLAY: Step = step("a letter is sent", "intake_letters", "BEFORE UPDATE OF publications");

/// Lets whoever comes to a step wait until the lock is given back.
async fn hold(
    admin: &mut PgConnection,
    Step { table, when, .. }: Step,
) -> Transaction<'_, Postgres> {
    let trap = format!(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM pg_advisory_xact_lock_shared(4711);
           RETURN NEW;
         END $$;
         CREATE TRIGGER hold {when} ON {table} FOR EACH ROW EXECUTE FUNCTION hold();"
    );
    sqlx::raw_sql(&trap).execute(&mut *admin).await.unwrap();
    let mut lock = admin.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(4711)").execute(&mut *lock).await.unwrap();
    lock
}

async fn lift(urls: &DatabaseUrls) {
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    sqlx::raw_sql("DROP FUNCTION hold() CASCADE").execute(&mut admin).await.unwrap();
}

/// Kills the worker while it is held at a step, and starts another one.
async fn killed_at(pipeline: &mut Pipeline, step: Step, sent: impl AsyncFnOnce()) {
    let urls = pipeline.database().clone();
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    let lock = hold(&mut admin, step).await;
    sent().await;
    let pool = pipeline.pool().clone();
    eventually(step.name, async || {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let waiting: i64 = sqlx::query_scalar(waits).fetch_one(&pool).await.unwrap();
        if waiting > 0 { Ok(()) } else { Err(waiting) }
    })
    .await;
    pipeline.worker(0).kill_hard().await;
    // What it was about to do may be done by Postgres yet, without it.
    lock.commit().await.unwrap();
    lift(&urls).await;
    pipeline.start_worker(0);
}

/// Waits until a transaction is in a state.
async fn comes_to(pipeline: &Pipeline, transaction: &str, state: &str) {
    eventually("the transaction comes to its end", async || {
        let now = "SELECT state, error FROM intake_transactions WHERE transaction_id = $1";
        let now = sqlx::query_as(now).bind(transaction).fetch_optional(pipeline.pool());
        let now: Option<(String, Option<String>)> = now.await.unwrap();
        match now {
            Some((now, _)) if now == state => Ok(()),
            now => Err(now),
        }
    })
    .await;
}

async fn post(pipeline: &Pipeline, path: &str, body: Value) {
    let sent = Client::new().post(format!("{}{path}", pipeline.url())).json(&body).send().await;
    let sent = sent.unwrap();
    assert!(sent.status().is_success(), "{path}: {}", sent.status());
}

async fn balance(pipeline: &Pipeline, wallet: &str) -> String {
    let url = format!("{}/wallets/{wallet}?consistency=strong", pipeline.url());
    let read: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    read["balance"].as_str().unwrap().to_owned()
}

async fn start() -> (Pipeline, Upstream) {
    let pipeline = Pipeline::with(1, 1, &["--intake", "on"]).await;
    let upstream = Upstream::on(&pipeline.nats).await;
    for user in ["alice", "bob"] {
        upstream.signup(user).await;
    }
    upstream.top_up("t-0", "alice", 100).await;
    comes_to(&pipeline, "t-0", "completed").await;
    (pipeline, upstream)
}

#[tokio::test]
async fn a_worker_that_is_killed_at_any_step_leaves_all_of_it_to_the_next() {
    let (mut pipeline, upstream) = start().await;
    for (number, step) in FORTH.into_iter().enumerate() {
        let id = format!("t-{}", number + 1);
        killed_at(&mut pipeline, step, async || upstream.transfer(&id, "alice", "bob", 10).await)
            .await;
        comes_to(&pipeline, &id, "completed").await;
    }
    assert_eq!(balance(&pipeline, "bob").await, "50.00");
    for (number, step) in BACK.into_iter().enumerate() {
        let id = format!("t-{}", number + 1);
        killed_at(&mut pipeline, step, async || upstream.fail(&id, "Transfer").await).await;
        comes_to(&pipeline, &id, "reversed").await;
    }
    assert_eq!(balance(&pipeline, "alice").await, "100.00");
    for number in 1..=FORTH.len() {
        let told = upstream.hears(&format!("t-{number}"), 2).await;
        assert_eq!(told, [completed(), failed(REASON)]);
    }
    upstream.is_dealt_with().await;
    assert_eq!(upstream.told().await.len(), 11);
    pipeline.finish().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_over_a_letter_leaves_it_to_the_next() {
    let (mut pipeline, upstream) = start().await;
    post(&pipeline, "/wallets/alice/withdraw", json!({ "amount": 1 })).await;
    killed_at(&mut pipeline, LETTER, async || upstream.fail("t-0", "TopUp").await).await;
    comes_to(&pipeline, "t-0", "stuck").await;
    post(&pipeline, "/wallets/alice/deposit", json!({ "amount": 1 })).await;
    let list = reqwest::get(format!("{}/dead-letters", pipeline.url())).await.unwrap();
    let list: Value = list.json().await.unwrap();
    let [letter] = &list["data"].as_array().unwrap()[..] else { panic!("one letter: {list}") };
    let url = pipeline.url().to_owned();
    let replay = format!("{url}/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    killed_at(&mut pipeline, REPLAY, async || {
        let sent = Client::new().post(replay).json(&json!({})).send().await.unwrap();
        assert!(sent.status().is_success(), "{}", sent.status());
    })
    .await;
    assert_eq!(upstream.hears("t-0", 2).await, [completed(), failed(REASON)]);
    assert_eq!(balance(&pipeline, "alice").await, "0.00");
    pipeline.finish_with_letters().await;
}

/// What is committed while NATS is away is told when it is back.
#[tokio::test]
async fn an_outcome_survives_nats_being_away() {
    let (mut pipeline, upstream) = start().await;
    upstream.hears("t-0", 1).await;
    let urls = pipeline.database().clone();
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    let lock = hold(&mut admin, FORTH[2]).await;
    upstream.transfer("t-1", "alice", "bob", 10).await;
    eventually("the money has moved", async || {
        let now = balance(&pipeline, "bob").await;
        if now == "10.00" { Ok(()) } else { Err(now) }
    })
    .await;
    pipeline.nats.kill_hard().await;
    lock.commit().await.unwrap();
    lift(&urls).await;
    comes_to(&pipeline, "t-1", "completed").await;
    pipeline.nats.restart().await;
    assert_eq!(upstream.hears("t-1", 1).await, [completed()]);
    upstream.is_dealt_with().await;
    assert_eq!(balance(&pipeline, "bob").await, "10.00");
    assert!(pipeline.worker(0).terminate().await.success());
    pipeline.start_worker(0);
    pipeline.finish().await;
}

/// At its bound the stream takes no more, and says so: what was asked is not dropped for what comes.
#[tokio::test]
async fn a_full_stream_refuses_messages_and_loses_none() {
    let mut pipeline =
        Pipeline::with(1, 1, &["--intake", "on", "--intake-max-messages", "100"]).await;
    let upstream = Upstream::on(&pipeline.nats).await;
    upstream.signup("alice").await;
    upstream.top_up("t-0", "alice", 1).await;
    upstream.hears("t-0", 1).await;
    pipeline.worker(0).kill_hard().await;
    let mut taken = 0;
    loop {
        let body = florin_tests::upstream::top_up(&format!("t-{}", taken + 1), "alice", 1);
        match upstream.try_send("transaction.completed", &body).await {
            Ok(()) => taken += 1,
            Err(_) => break,
        }
        assert!(taken < 1_000, "there is no bound");
    }
    assert_eq!(taken, 100);
    pipeline.start_worker(0);
    upstream.hears(&format!("t-{taken}"), 1).await;
    upstream.is_dealt_with().await;
    assert_eq!(balance(&pipeline, "alice").await, format!("{}.00", taken + 1));
    pipeline.finish().await;
}

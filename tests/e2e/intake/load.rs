//! Many messages, each delivered one to three times, in random order, while workers are killed and NATS
//! is restarted: balances are right, and each transaction is told of once.

use std::collections::BTreeMap;

use florin_adapters::intake::contract::FinalStatus;
use florin_tests::feed::{random, shuffle};
use florin_tests::length::short_or_long;
use florin_tests::pipeline::Pipeline;
use florin_tests::store::eventually;
use florin_tests::upstream::{Upstream, failure, signup, top_up, transfer};
use futures::stream::{self, StreamExt};
use serde_json::Value;
use uuid::Uuid;

/// Few, so that transactions meet.
const USERS: u64 = 20;

/// More than any user spends.
const INITIAL: i64 = 1_000_000;

/// How many messages are on their way to NATS at once.
const IN_FLIGHT: usize = 64;

/// What is sent, and what is to come of it.
struct Plan {
    messages: Vec<(&'static str, Value)>,
    balances: BTreeMap<String, i64>,
    /// Whether each transaction fails, in the end.
    fails: BTreeMap<String, bool>,
}

fn user(number: u64) -> String {
    format!("user-{number}")
}

/// Messages in random order, each one to three times. A third of the transactions fail.
fn plan(count: usize, seed: &mut u64) -> Plan {
    let (mut messages, mut fails) = (Vec::new(), BTreeMap::new());
    let mut balances: BTreeMap<String, i64> = BTreeMap::new();
    for number in 0..USERS {
        balances.insert(user(number), INITIAL);
        messages.push(("user.signup", signup(&user(number))));
    }
    for number in 0.. {
        if messages.len() >= count {
            break;
        }
        let id = format!("t-{number}");
        let (from, to) = (random(seed) % USERS, random(seed) % USERS);
        let amount = 1 + random(seed) % 100;
        let is_transfer = from != to;
        let fails_too = random(seed).is_multiple_of(3);
        let (kind, body) = match is_transfer {
            true => ("Transfer", transfer(&id, &user(from), &user(to), amount)),
            false => ("TopUp", top_up(&id, &user(to), amount)),
        };
        messages.push(("transaction.completed", body));
        if fails_too {
            messages.push(("transaction.failed", failure(&id, kind)));
        } else {
            let amount = i64::try_from(amount).unwrap();
            *balances.get_mut(&user(to)).unwrap() += amount;
            if is_transfer {
                *balances.get_mut(&user(from)).unwrap() -= amount;
            }
        }
        fails.insert(id, fails_too);
    }
    let copies = messages.into_iter().flat_map(|message| {
        let copies = 1 + usize::try_from(random(seed) % 3).unwrap();
        vec![message; copies]
    });
    let mut messages: Vec<_> = copies.collect();
    shuffle(&mut messages, seed);
    Plan { messages, balances, fails }
}

/// What services are to be told of a transaction: how it ends, once, and if it fails perhaps before
/// that it was completed.
fn is_right(told: &[FinalStatus], fails: bool) -> bool {
    match fails {
        false => told == [FinalStatus::Completed],
        true => {
            told == [FinalStatus::Failed] || told == [FinalStatus::Completed, FinalStatus::Failed]
        }
    }
}

async fn balances(pipeline: &Pipeline) -> BTreeMap<String, i64> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT wallet_id, trunc(balance)::text FROM balances")
            .fetch_all(pipeline.pool())
            .await
            .unwrap();
    rows.into_iter().map(|(id, balance)| (id, balance.parse().unwrap())).collect()
}

/// Kills one worker after the other, and NATS in between.
async fn turmoil(pipeline: &mut Pipeline, seed: &mut u64, rounds: usize) {
    for round in 0..rounds {
        let before = dealt_with(pipeline).await;
        pipeline.worker(round % 2).kill_hard().await;
        if round % 2 == 1 {
            pipeline.nats.kill_hard().await;
            pipeline.nats.restart().await;
        }
        pipeline.start_worker(round % 2);
        // The next one comes when some more has been done.
        let more = 1 + i64::try_from(random(seed) % 50).unwrap();
        eventually("it goes on", async || {
            let now = dealt_with(pipeline).await;
            let upstream = Upstream::on(&pipeline.nats).await;
            let left = upstream.waiting().await;
            match now >= before + more || left == Some(0) {
                true => Ok(()),
                false => Err((now, left, upstream.consumers().await)),
            }
        })
        .await;
    }
}

/// How many transactions have come to an end.
async fn dealt_with(pipeline: &Pipeline) -> i64 {
    let ended = "SELECT count(*) FROM intake_transactions WHERE state NOT IN ('waiting', 'open')";
    sqlx::query_scalar(ended).fetch_one(pipeline.pool()).await.unwrap()
}

/// What is on record of a transaction and its outcomes, to be shown where a test waits in vain.
async fn on_record(pipeline: &Pipeline, id: &str) -> String {
    let select = "
        SELECT t::text || coalesce((SELECT string_agg(' ' || o::text, '' ORDER BY o.number)
                                      FROM intake_outcomes o
                                     WHERE o.transaction_id = t.transaction_id), '')
          FROM intake_transactions t WHERE t.transaction_id = $1";
    let row = sqlx::query_scalar(select).bind(id).fetch_optional(pipeline.pool()).await.unwrap();
    row.unwrap_or_default()
}

/// Waits until every transaction has come to its end, as long as there is progress: what a worker had in
/// hand when it died comes again after a while. (The stream need not be empty then: a nats-server that
/// was killed may have messages in it that it knows to be acknowledged.)
async fn all_have_ended(pipeline: &Pipeline, upstream: &Upstream, count: usize) {
    let count = i64::try_from(count).unwrap();
    let open = "SELECT count(*) FROM intake_transactions
                 WHERE state IN ('waiting', 'open') OR (state = 'completed' AND failure IS NOT NULL)";
    let mut left = i64::MAX;
    while left > 0 {
        left = eventually("more transactions come to their end", async || {
            let open: i64 = sqlx::query_scalar(open).fetch_one(pipeline.pool()).await.unwrap();
            let known = "SELECT count(*) FROM intake_transactions";
            let known: i64 = sqlx::query_scalar(known).fetch_one(pipeline.pool()).await.unwrap();
            let now = open + count - known;
            if now < left { Ok(now) } else { Err((now, upstream.consumers().await)) }
        })
        .await;
    }
}

/// Waits until all failures have been heard of, which may come long after what they are of.
async fn all_have_failed(pipeline: &Pipeline, upstream: &Upstream, fails: &BTreeMap<String, bool>) {
    let expected = i64::try_from(fails.values().filter(|fails| **fails).count()).unwrap();
    let mut known = -1;
    while known < expected {
        known = eventually("more failures are heard of", async || {
            let failed = "SELECT count(*) FROM intake_transactions WHERE failure IS NOT NULL";
            let now: i64 = sqlx::query_scalar(failed).fetch_one(pipeline.pool()).await.unwrap();
            if now > known { Ok(now) } else { Err((now, upstream.consumers().await)) }
        })
        .await;
    }
}

async fn whatever_happens_each_transaction_counts_once(partitions: u32) {
    let initial = INITIAL.to_string();
    let words = ["--intake", "on", "--intake-initial-balance", &initial];
    let mut pipeline = Pipeline::with(partitions, 2, &words).await;
    let upstream = Upstream::on(&pipeline.nats).await;
    let given = std::env::var("FLORIN_SEED").ok().map(|text| text.parse().unwrap());
    let mut seed: u64 = given.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().1);
    eprintln!("FLORIN_SEED={seed}");
    let Plan { messages, balances: expected, fails } =
        plan(short_or_long(1_000, 10_000), &mut seed);
    let sending = stream::iter(&messages)
        .for_each_concurrent(IN_FLIGHT, async |(subject, body)| upstream.send(subject, body).await);
    let rounds = short_or_long(4, 12);
    tokio::join!(sending, turmoil(&mut pipeline, &mut seed, rounds));
    // A server that was killed may have lost what it acknowledged: who is not sure sends again.
    let again = stream::iter(&messages);
    again.for_each_concurrent(IN_FLIGHT, async |(of, body)| upstream.send(of, body).await).await;
    all_have_failed(&pipeline, &upstream, &fails).await;
    all_have_ended(&pipeline, &upstream, fails.len()).await;
    eventually("everybody is told", async || {
        let left = "SELECT count(*) FROM intake_outcomes WHERE told_at IS NULL";
        let left: i64 = sqlx::query_scalar(left).fetch_one(pipeline.pool()).await.unwrap();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    // Once more, where a server had acknowledged it that was killed then.
    let mut told = eventually("everybody is told how each has ended", async || {
        let mut told: BTreeMap<String, Vec<FinalStatus>> = BTreeMap::new();
        for (id, status, _) in upstream.told().await {
            told.entry(id).or_default().push(status);
        }
        let of = |id: &String| told.get(id).map(Vec::as_slice).unwrap_or_default();
        let wrong = fails.iter().find(|(id, fails)| !is_right(of(id), **fails));
        match wrong {
            None => Ok(told),
            Some((id, fails)) => {
                let known = on_record(&pipeline, id).await;
                Err(format!("{id}: {:?}, and it fails: {fails}; on record: {known}", of(id)))
            }
        }
    })
    .await;
    told.retain(|id, _| !fails.contains_key(id));
    assert_eq!(told, BTreeMap::new(), "nothing is told of others");
    pipeline.caught_up().await;
    assert_eq!(balances(&pipeline).await, expected);
    let url = format!("{}/ledger/trial-balance", pipeline.url());
    let sums: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(sums["data"][0]["difference"], "0.00", "{sums}");
    pipeline.finish().await;
}

#[tokio::test]
async fn whatever_happens_each_transaction_counts_once_with_1_partition() {
    whatever_happens_each_transaction_counts_once(1).await;
}

#[tokio::test]
async fn whatever_happens_each_transaction_counts_once_with_4_partitions() {
    whatever_happens_each_transaction_counts_once(4).await;
}

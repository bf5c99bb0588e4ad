//! NATS is away, the queue is deleted or emptied, a message comes too often: each operation is carried
//! out all the same, and once.

use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use florin_tests::pipeline::Pipeline;
use florin_tests::store::eventually;
use futures::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Queueing, expect_completed};

/// For how long NATS is away: until a worker has missed two heartbeats, and has tried again in vain
/// more than once.
const OUTAGE: Duration = Duration::from_secs(6);

/// For how long a consumer is watched that nobody is to touch: several times what a worker rests
/// between two attempts to pull, and longer than it takes to miss a heartbeat.
const WATCHED: Duration = Duration::from_secs(5);

/// Messages that name nothing, and one that names what has ended.
async fn disturb(queue: &Queueing, ended: &str) {
    let jetstream = queue.nats.jetstream().await;
    for subject in [
        "operations.0.none".to_owned(),
        "operations.x".to_owned(),
        format!("operations.0.{}", uuid::Uuid::nil()),
        format!("operations.0.{ended}"),
        format!("operations.7.{ended}"),
    ] {
        jetstream.publish(subject, "anything".into()).await.unwrap().await.unwrap();
    }
}

#[tokio::test]
async fn while_nats_is_away_operations_are_accepted_and_carried_out_when_it_is_back() {
    let queue = Queueing::start(4).await;
    let before = queue.carried_out("/wallets/a/deposit", json!({ "amount": 1 })).await;
    expect_completed(&before, 201);
    queue.nats.kill_hard().await;
    let deposits = (0..20).map(|_| queue.post("/wallets/a/deposit", json!({ "amount": 1 })));
    let accepted = join_all(deposits).await;
    // A command that is waited for does not need it.
    queue.service.post("/wallets/a/deposit", json!({ "amount": 1 })).await.expect(201);
    for one in &accepted {
        let read = queue.service.get(one.header("location").unwrap()).await;
        read.expect(200).expect_members(json!({ "state": "queued" }));
    }
    queue.nats.restart().await;
    for one in &accepted {
        expect_completed(&queue.ended(one).await, 201);
    }
    assert_eq!(queue.balance("a").await, "22.00");
    queue.finish().await;
}

#[tokio::test]
async fn a_queue_that_is_deleted_again_and_again_loses_nothing() {
    let queue = Queueing::start(1).await;
    let mut accepted = Vec::new();
    for _ in 0..5 {
        let deposits = (0..20).map(|_| queue.post("/wallets/a/deposit", json!({ "amount": 1 })));
        let (more, ()) = tokio::join!(join_all(deposits), async {
            eventually("there is a queue", async || queue.nats.queued().await.ok_or("none")).await;
            queue.nats.delete_queue().await;
        });
        accepted.extend(more);
    }
    for one in &accepted {
        expect_completed(&queue.ended(one).await, 201);
    }
    assert_eq!(queue.balance("a").await, "100.00");
    queue.finish().await;
}

/// Nothing is sent, so that nothing but a pull that stands tells a worker that all is well.
#[tokio::test]
async fn after_an_outage_idle_workers_leave_each_others_consumer_alone() {
    let pipeline = Pipeline::start(1, 2).await;
    let created = async || {
        let jetstream = pipeline.nats.jetstream().await;
        let found: Result<PullConsumer, _> = jetstream
            .get_consumer_from_stream::<pull::Config, _, _>("operations", "OPERATIONS")
            .await;
        let consumer = found.map_err(|error| error.to_string())?;
        let info = consumer.cached_info();
        if info.num_waiting >= 2 { Ok(info.created) } else { Err(format!("{info:?}")) }
    };
    eventually("both workers pull", created).await;
    pipeline.nats.kill_hard().await;
    sleep(OUTAGE).await;
    pipeline.nats.restart().await;
    let mut seen = (eventually("both workers pull again", created).await, Instant::now());
    eventually("the consumer stays the same", async || {
        let now = eventually("both workers pull", created).await;
        if now != seen.0 {
            seen = (now, Instant::now());
        }
        if seen.1.elapsed() >= WATCHED { Ok(()) } else { Err(seen) }
    })
    .await;
    pipeline.finish().await;
}

#[tokio::test]
async fn what_a_queue_lost_is_published_again() {
    let mut queue = Queueing::start(1).await;
    expect_completed(&queue.carried_out("/wallets/a/deposit", json!({ "amount": 1 })).await, 201);
    // Nobody pulls, and the message is gone before anybody does.
    queue.service.stop_work().await;
    let accepted = queue.post("/wallets/a/deposit", json!({ "amount": 1 })).await;
    let publisher = queue.nats.worker(queue.service.store()).await;
    eventually("it is published", async || match queue.nats.queued().await {
        Some(1) => Ok(()),
        other => Err(other),
    })
    .await;
    queue.nats.purge_queue().await;
    publisher.stop().await;
    queue.service.start_work(&queue.nats).await;
    expect_completed(&queue.ended(&accepted).await, 201);
    assert_eq!(queue.balance("a").await, "2.00");
    queue.finish().await;
}

#[tokio::test]
async fn messages_that_name_nothing_and_messages_too_many_change_nothing() {
    let queue = Queueing::start(1).await;
    let body = || json!({ "amount": 1, "requestId": "k" });
    let ended = queue.carried_out("/wallets/a/deposit", body()).await;
    disturb(&queue, ended.text_of("id")).await;
    let next = queue.carried_out("/wallets/a/deposit", json!({ "amount": 2 })).await;
    expect_completed(&next, 201);
    eventually("the queue is empty", async || match queue.nats.queued().await {
        Some(0) => Ok(()),
        other => Err(other),
    })
    .await;
    let again = queue.service.get(&format!("/operations/{}", ended.text_of("id"))).await;
    assert_eq!(again.body, ended.body);
    assert_eq!(queue.balance("a").await, "3.00");
    queue.finish().await;
}

//! Messages that come again, several times, and in any order: published so into the real stream.

use florin_adapters::monkey;
use florin_adapters::postgres::relay_cursor;
use florin_projections::models;
use florin_tests::feed::shuffle;
use florin_tests::lag::heads;
use florin_tests::monkeys::{calm, expect_clean, monkeys_during};
use florin_tests::pipeline::Pipeline;
use florin_tests::process::run;
use florin_tests::store::{newest, recorded};

use super::{EFFORT, Time, seed};

const PARTITIONS: u32 = 4;

/// How often at least the newest events are published again under load.
const TIMES: u32 = 2;

/// How many of a partition's events, the newest, are published again each time: everything in a
/// short run, and in a long one what keeps a round as short.
const AGAIN: u64 = 2_000;

/// `florin relay republish` of the newest that are there now.
async fn republish_newest(pipeline: &Pipeline) {
    for (partition, head) in heads(pipeline.pool()).await {
        let from = head.saturating_sub(AGAIN) + 1;
        let [partition, from, to] =
            [u64::from(partition), from, head].map(|number| number.to_string());
        let range = ["--partition", &partition, "--from", &from, "--to", &to];
        let nats_url = pipeline.nats.url();
        let urls = ["--database-url", &pipeline.database().service, "--nats-url", &nats_url];
        let ran = run(["relay", "republish"].into_iter().chain(range).chain(urls)).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

/// The newest that are there now, each once more, in random order.
async fn copy_shuffled(pipeline: &Pipeline, seed: &mut u64, suffix: &str) {
    let mut events = newest(pipeline.pool(), AGAIN).await;
    shuffle(&mut events, seed);
    pipeline.nats.publish(events, suffix).await;
}

/// What the relay has not published yet, all partitions mixed, in random order and twice.
async fn publish_shuffled(pipeline: &Pipeline, seed: &mut u64) {
    let cursors = relay_cursor::all(pipeline.pool()).await.unwrap();
    let mut events = recorded(pipeline.pool()).await;
    events.retain(|event| {
        cursors.iter().all(|(of, at)| *of != event.partition || *at < event.position)
    });
    assert!(events.len() > 100, "{} events are new", events.len());
    for suffix in ["early", "earlier"] {
        shuffle(&mut events, seed);
        pipeline.nats.publish(events.clone(), suffix).await;
    }
}

#[tokio::test]
async fn messages_that_are_repeated_and_reordered_on_purpose_change_nothing() {
    let mut pipeline = Pipeline::start(PARTITIONS, 1).await;
    let (time, mut seed) = (Time::begin(), seed());

    // Old ones, between the new ones of the load.
    let again = async {
        for times in 0.. {
            if times >= TIMES && time.is_over() {
                break;
            }
            pipeline.in_flow().await;
            republish_newest(&pipeline).await;
            copy_shuffled(&pipeline, &mut seed, &format!("copy-{times}")).await;
        }
    };
    monkeys_during(&calm(pipeline.url(), "again", EFFORT), again).await;

    // New ones in the wrong order, before the relay publishes them in the right one.
    pipeline.worker(0).kill_hard().await;
    expect_clean(&monkey::run(&calm(pipeline.url(), "early", EFFORT)).await);
    publish_shuffled(&pipeline, &mut seed).await;
    pipeline.start_worker(0);
    pipeline.caught_up().await;

    // Old ones only: not a row changes.
    let rows = pipeline.rows().await;
    republish_newest(&pipeline).await;
    copy_shuffled(&pipeline, &mut seed, "last").await;
    pipeline.nats.consumed(models::all().len() * PARTITIONS as usize).await;
    assert_eq!(pipeline.rows().await, rows);
    pipeline.finish().await;
}

//! The stream `LEDGER` is deleted again and again: the relay creates it, with all that comes after,
//! and the read models find in the journal what was in it.

use florin_tests::monkeys::{calm, monkeys_during};
use florin_tests::pipeline::Pipeline;
use florin_tests::store::eventually;

use super::{EFFORT, Time};

/// How often at least.
const TIMES: u32 = 8;

/// How much is in the stream when it is deleted, so that consumers are at work on it.
const AT_WORK: u64 = 100;

async fn has_messages(pipeline: &Pipeline, least: u64) {
    eventually("the stream is there, and has messages", async || {
        let length = pipeline.nats.stream_length().await;
        if length >= Some(least) { Ok(()) } else { Err(length) }
    })
    .await;
}

async fn a_stream_that_is_deleted_again_and_again_is_not_missed(partitions: u32) {
    let pipeline = Pipeline::start(partitions, 1).await;
    let time = Time::begin();
    let deletions = async {
        for times in 0.. {
            if times >= TIMES && time.is_over() {
                break;
            }
            has_messages(&pipeline, AT_WORK).await;
            pipeline.nats.delete_stream().await;
        }
    };
    // Commands do not need it.
    let troubles = monkeys_during(&calm(pipeline.url(), "deleted", EFFORT), deletions).await;
    assert_eq!(troubles, 0);
    pipeline.finish().await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_again_and_again_is_not_missed_with_1_partition() {
    a_stream_that_is_deleted_again_and_again_is_not_missed(1).await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_again_and_again_is_not_missed_with_4_partitions() {
    a_stream_that_is_deleted_again_and_again_is_not_missed(4).await;
}

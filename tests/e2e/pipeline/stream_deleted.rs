//! The stream `LEDGER` is deleted again and again: the relay creates it, with all that comes after,
//! and the read models find in the journal what was in it.

use async_nats::jetstream::stream::State;
use florin_projections::models;
use florin_tests::monkeys::{calm, monkeys_during};
use florin_tests::pipeline::Pipeline;
use florin_tests::store::eventually;

use super::{EFFORT, Time};

/// How often at least, in each of two moments.
const TIMES: u32 = 5;

/// Waits until the stream is there and has messages, and so many consumers.
async fn has_consumers(pipeline: &Pipeline, least: usize) {
    eventually("the stream has messages and consumers", async || {
        let state = pipeline.nats.stream_state().await;
        let is_so = |state: &State| state.messages > 0 && state.consumer_count >= least;
        if state.as_ref().is_some_and(is_so) { Ok(()) } else { Err(state) }
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
            // While everybody is at work on it, and as soon as it is there again: what it has then
            // nobody has been sent.
            for consumers in [models::all().len() * partitions as usize, 0] {
                has_consumers(&pipeline, consumers).await;
                pipeline.nats.delete_stream().await;
            }
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

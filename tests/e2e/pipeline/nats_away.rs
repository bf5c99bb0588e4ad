//! NATS is away for a while: commands do not notice, and afterwards the lag goes by itself.

use std::time::Duration;

use florin_tests::lag::relays_behind;
use florin_tests::length::short_or_long;
use florin_tests::monkeys::{calm, monkeys_during};
use florin_tests::pipeline::Pipeline;
use tokio::time::sleep;

use super::EFFORT;

const PARTITIONS: u32 = 4;

#[tokio::test]
async fn while_nats_is_away_no_command_fails_and_afterwards_the_lag_returns_to_zero() {
    let pipeline = Pipeline::start(PARTITIONS, 1).await;
    let outage = async {
        pipeline.in_flow().await;
        pipeline.nats.kill_hard().await;
        sleep(short_or_long(Duration::from_secs(5), Duration::from_secs(120))).await;
        let behind = relays_behind(pipeline.pool()).await;
        assert_eq!(behind.len(), PARTITIONS as usize, "nothing was to be published: {behind:?}");
        pipeline.nats.restart().await;
    };
    let troubles = monkeys_during(&calm(pipeline.url(), "away", EFFORT), outage).await;
    assert_eq!(troubles, 0);
    pipeline.finish().await;
}

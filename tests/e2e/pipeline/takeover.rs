//! Two workers: what one had when it died, was stopped or froze, the other has within five seconds;
//! and one that thaws, and does not know yet what happened, does no harm.

use std::collections::BTreeSet;
use std::time::Duration;

use florin_adapters::fraud::FreezePolicy;
use florin_adapters::nats::outbox::Outbox;
use florin_projections::models;
use florin_tests::monkeys::{calm, monkeys_during};
use florin_tests::pipeline::Pipeline;
use florin_tests::process::signal;
use florin_tests::store::eventually;
use tokio::time::Instant;

use super::{EFFORT, Time};

/// How long a takeover may take.
const TAKEOVER: Duration = Duration::from_secs(5);

const PARTITIONS: u32 = 4;

/// How often at least: each of the two once.
const TIMES: usize = 2;

/// How a worker ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Killed,
    Stopped,
    Frozen,
}

/// Everything that a worker does under a lease.
fn all_leases() -> BTreeSet<String> {
    let of_partition = |partition| {
        let models = models::all().into_iter().map(|model| model.name());
        let models = models.map(move |name| format!("projection:{name}:{partition}"));
        models.chain([format!("relay:{partition}")])
    };
    let outside = [Outbox::LEASE, FreezePolicy::LEASE].map(ToOwned::to_owned);
    (0..PARTITIONS).flat_map(of_partition).chain(outside).collect()
}

/// Waits until both workers have work, and together all of it.
async fn share(pipeline: &Pipeline) {
    eventually("the two workers share the work", async || {
        let shares = (pipeline.leases_of(0).await, pipeline.leases_of(1).await);
        let is_even = shares.0.len().abs_diff(shares.1.len()) <= 1;
        let all: BTreeSet<String> = shares.0.iter().chain(&shares.1).cloned().collect();
        if is_even && all == all_leases() { Ok(()) } else { Err(shares) }
    })
    .await;
}

async fn one_takeover(pipeline: &mut Pipeline, victim: usize, end: End) {
    share(pipeline).await;
    let survivor = 1 - victim;
    let ended = Instant::now();
    match end {
        End::Killed => pipeline.worker(victim).kill_hard().await,
        End::Stopped => {
            let status = pipeline.worker(victim).terminate().await;
            assert!(status.success(), "{status}");
        }
        End::Frozen => signal("STOP", pipeline.worker(victim).pid().unwrap()).await,
    }
    eventually("the other worker has everything", async || {
        let has: BTreeSet<String> = pipeline.leases_of(survivor).await.into_iter().collect();
        if has == all_leases() { Ok(()) } else { Err(has) }
    })
    .await;
    let elapsed = ended.elapsed();
    assert!(elapsed < TAKEOVER, "{end:?}, taken over after {elapsed:?}");
    // And works on it.
    pipeline.caught_up().await;
    match end {
        End::Killed | End::Stopped => pipeline.start_worker(victim),
        End::Frozen => signal("CONT", pipeline.worker(victim).pid().unwrap()).await,
    }
}

/// Each time the other one ends, in these ways in turn.
async fn the_other_has_its_work_within_five_seconds(ends: &[End]) {
    let mut pipeline = Pipeline::start(PARTITIONS, 2).await;
    let time = Time::begin();
    let monkeys = calm(pipeline.url(), "halved", EFFORT);
    let takeovers = async {
        for (round, end) in ends.iter().cycle().enumerate() {
            if round >= TIMES && time.is_over() {
                break;
            }
            one_takeover(&mut pipeline, round % 2, *end).await;
        }
    };
    assert_eq!(monkeys_during(&monkeys, takeovers).await, 0, "commands do not need workers");
    // What froze last knows by now.
    share(&pipeline).await;
    pipeline.finish().await;
}

#[tokio::test]
async fn a_worker_is_killed_or_stopped_and_the_other_has_its_work_within_five_seconds() {
    the_other_has_its_work_within_five_seconds(&[End::Killed, End::Stopped]).await;
}

#[tokio::test]
async fn a_worker_freezes_and_the_other_has_its_work_within_five_seconds() {
    the_other_has_its_work_within_five_seconds(&[End::Frozen]).await;
}

//! `kill -9` of the worker, of NATS and of Postgres, in random order, singly and two at once.

use std::time::Duration;

use florin_tests::feed::{random, shuffle};
use florin_tests::monkeys::{monkeys_during, rough};
use florin_tests::pipeline::Pipeline;
use tokio::time::sleep;

use super::{EFFORT, Time, seed};

/// Who dies.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Worker,
    Nats,
    Postgres,
}

const EVERYBODY: [Victim; 3] = [Victim::Worker, Victim::Nats, Victim::Postgres];

/// Everybody so often at least.
const ROUNDS: u32 = 2;

/// How long everybody runs between two kills, and how long somebody is dead, in milliseconds: from
/// not noticed at all to noticed by everybody.
const ALIVE: (u64, u64) = (200, 1_000);
const DEAD: (u64, u64) = (0, 500);

async fn kill(pipeline: &mut Pipeline, victim: Victim) {
    match victim {
        Victim::Worker => pipeline.worker(0).kill_hard().await,
        Victim::Nats => pipeline.nats.kill_hard().await,
        Victim::Postgres => pipeline.postgres.kill_hard().await,
    }
}

async fn bring_back(pipeline: &mut Pipeline, victim: Victim) {
    match victim {
        Victim::Worker => pipeline.start_worker(0),
        Victim::Nats => pipeline.nats.restart().await,
        Victim::Postgres => pipeline.postgres.restart().await,
    }
}

async fn a_while((least, most): (u64, u64), seed: &mut u64) {
    sleep(Duration::from_millis(least + random(seed) % (most - least))).await;
}

/// Kills everybody once, in random order; every fourth time with the next one at the same time.
async fn one_round(pipeline: &mut Pipeline, seed: &mut u64) {
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

async fn whatever_is_killed_nothing_is_lost_or_doubled(partitions: u32) {
    let mut pipeline = Pipeline::start(partitions, 1).await;
    let (time, mut seed) = (Time::begin(), seed());
    let monkeys = rough(pipeline.url(), "killed", EFFORT);
    let kills = async {
        for round in 0.. {
            if round >= ROUNDS && time.is_over() {
                break;
            }
            one_round(&mut pipeline, &mut seed).await;
        }
    };
    let troubles = monkeys_during(&monkeys, kills).await;
    assert!(troubles > 0, "Postgres was never killed under a monkey");
    pipeline.finish().await;
}

#[tokio::test]
async fn whatever_is_killed_nothing_is_lost_or_doubled_with_1_partition() {
    whatever_is_killed_nothing_is_lost_or_doubled(1).await;
}

#[tokio::test]
async fn whatever_is_killed_nothing_is_lost_or_doubled_with_4_partitions() {
    whatever_is_killed_nothing_is_lost_or_doubled(4).await;
}

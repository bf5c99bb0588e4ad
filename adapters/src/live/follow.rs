//! Follows the journal while somebody reads: what is new in a partition is read once, for all who
//! are told of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use florin_domain::journal::RecordedEvent;
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use super::event::LiveEvent;
use super::partition::Partition;
use super::{BACKOFF, HELD, Hub};
use crate::postgres::follow::page;
use crate::postgres::heads::Heads;

/// How many events are read at a time: what a busy ledger appends while the last are handed on.
const PAGE: i64 = 1_000;

/// How many readers are told before others get their turn on this thread: half a millisecond.
const TOLD_AT_ONCE: usize = 2_000;

/// The work of following, which ends when nobody holds it any more.
pub(super) struct Followers {
    _tasks: JoinSet<()>,
}

impl Followers {
    /// Begins to follow every partition.
    pub(super) fn start(hub: &Arc<Hub>) -> Self {
        let count = u32::try_from(hub.partitions.len()).unwrap_or(u32::MAX);
        let heads = Heads::follow(hub.pool.clone(), count);
        let mut tasks = JoinSet::new();
        for number in 0..count {
            tasks.spawn(follow(Arc::clone(hub), number, heads.clone()));
        }
        Self { _tasks: tasks }
    }
}

/// Follows for as long as it is let, whatever happens to Postgres.
async fn follow(hub: Arc<Hub>, number: u32, mut heads: Heads) {
    let Some(partition) = hub.partitions.get(number as usize) else { return };
    let mut wait = BACKOFF.0;
    loop {
        heads.beyond(number, partition.at()).await;
        let head = heads.head(number);
        // Meanwhile the first reader may have taken the partition on.
        let at = partition.at();
        if partition.skip_to(head) || at >= head {
            continue;
        }
        match page(&hub.pool, number, at, PAGE).await {
            Ok(events) if !events.is_empty() => {
                wait = BACKOFF.0;
                hand_on(&hub, partition, events).await;
                continue;
            }
            // An event was announced that is not there: a Postgres that lost its end.
            Ok(_) => tracing::warn!(partition = number, at, "the journal ends before its head"),
            Err(error) => tracing::debug!(%error, "the journal cannot be followed"),
        }
        sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

async fn hand_on(hub: &Hub, partition: &Partition, events: Vec<RecordedEvent>) {
    let mut told = 0;
    for event in events {
        let is_memory_short = hub.held.load(Ordering::Relaxed) > HELD;
        told += partition.hand_on(LiveEvent::new(event, &hub.held), is_memory_short);
        if told >= TOLD_AT_ONCE {
            told = 0;
            yield_now().await;
        }
    }
}

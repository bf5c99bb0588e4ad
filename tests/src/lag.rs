//! How far what follows the journal is behind it, while Postgres is there.

use florin_adapters::postgres::{follow, relay_cursor};
use florin_projections::{checkpoint, models};
use sqlx::PgPool;

/// Somebody who lacks events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// A read model, or the relay.
    pub who: &'static str,
    /// Where.
    pub partition: u32,
    /// The last position that it has.
    pub at: u64,
    /// The last position that there is.
    pub head: u64,
}

/// The read models that lack events, partition by partition; one that never ran lacks them all.
pub async fn read_models_behind(pool: &PgPool) -> Vec<Behind> {
    let statuses = checkpoint::status(pool).await.unwrap();
    let mut all = Vec::new();
    for (partition, head) in heads(pool).await {
        for model in models::all() {
            let who = model.name();
            let is_it = |status: &&checkpoint::Status| {
                status.projection == who && status.partition == partition
            };
            let at = statuses.iter().find(is_it).map_or(0, |status| status.checkpoint);
            all.push(Behind { who, partition, at, head });
        }
    }
    only_behind(all)
}

/// The partitions that are not published to their end.
pub async fn relays_behind(pool: &PgPool) -> Vec<Behind> {
    let cursors = relay_cursor::all(pool).await.unwrap();
    let cursor = |partition| cursors.iter().find(|(of, _)| *of == partition);
    let all = heads(pool).await.into_iter().map(|(partition, head)| {
        let at = cursor(partition).map_or(0, |(_, position)| *position);
        Behind { who: "relay", partition, at, head }
    });
    only_behind(all.collect())
}

/// The last position of each partition.
pub async fn heads(pool: &PgPool) -> Vec<(u32, u64)> {
    let heads = follow::heads(pool).await.unwrap();
    heads.into_iter().map(|(partition, head, _)| (partition, head)).collect()
}

fn only_behind(mut all: Vec<Behind>) -> Vec<Behind> {
    all.retain(|one| one.at < one.head);
    all
}

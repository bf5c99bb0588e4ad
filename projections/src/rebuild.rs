//! Folding a partition from the first event into tables that are empty.
//!
//! Which tables those are is decided by the `search_path` of the connection: a rebuild fills another
//! schema beside the live one, a question about the past fills one that is thrown away, and a test
//! compares one with what the runner made.

use florin_domain::journal::RecordedEvent;
use sqlx::PgConnection;
use thiserror::Error;

use crate::batch::{BatchError, Culprits, Task};
use crate::checkpoint;
use crate::ports::JournalReader;
use crate::read_model::Projection;
use crate::replay::discarded;

/// The tables that every read model shares, besides its own.
pub const SHARED_TABLES: [&str; 3] = ["checkpoints", "parked_wallets", "dead_letters"];

/// How many events are folded at a time: enough that the round trips are nothing, some megabytes.
const PAGE: usize = 10_000;

/// The fold was not finished.
#[derive(Debug, Error)]
#[error("the fold was not finished: {0}")]
pub struct Unfinished(String);

impl From<BatchError> for Unfinished {
    fn from(error: BatchError) -> Self {
        Self(error.to_string())
    }
}

/// Folds a partition up to a position, from where the checkpoint of these tables is. What cannot be
/// applied is set aside, and what was discarded (by the `dead_letters` of these tables) is left out.
///
/// # Errors
/// [`Unfinished`]: Postgres is away, or somebody else fills the same tables.
pub async fn fold_until(
    connection: &mut PgConnection,
    model: &dyn Projection,
    journal: &dyn JournalReader,
    partition: u32,
    up_to: u64,
) -> Result<(), Unfinished> {
    let task = Task { model, partition, journal };
    let skipped = discarded(connection, model.name(), partition).await.map_err(BatchError::from)?;
    let opened = checkpoint::open(connection, model.name(), partition).await;
    let mut at = opened.map_err(BatchError::from)?;
    while at.position < up_to {
        let left = usize::try_from(up_to - at.position).unwrap_or(PAGE);
        let page = journal.page(partition, at.position, left.min(PAGE)).await;
        let page = page.map_err(BatchError::from)?;
        let Some(last) = page.last().map(|event| event.position) else { break };
        let kept: Vec<RecordedEvent> =
            page.into_iter().filter(|event| !skipped.contains(&event.position)).collect();
        at = task.commit_to(connection, at, last, &kept, Culprits::SetAside(1)).await?;
    }
    Ok(())
}

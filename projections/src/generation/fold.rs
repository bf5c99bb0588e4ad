//! Folding one model of a partition into the tables that the `search_path` names, up to a position.

use std::collections::HashSet;

use florin_domain::journal::RecordedEvent;
use sqlx::PgConnection;

use super::GenerationError;
use crate::batch::{Audience, Culprits, Task};
use crate::checkpoint::{self, Checkpoint};
use crate::ports::JournalReader;
use crate::read_model::Projection;
use crate::replay::discarded;

/// How many events are read at a time: enough that the round trips are nothing, some megabytes.
const PAGE: usize = 10_000;

/// A model at work in one partition of a generation.
pub(super) struct Folding {
    partition: u32,
    at: Checkpoint,
    /// What people decided never to apply.
    skipped: HashSet<u64>,
}

impl Folding {
    /// From where the checkpoint of these tables is.
    pub(super) async fn open(
        connection: &mut PgConnection,
        model: &dyn Projection,
        partition: u32,
    ) -> Result<Self, GenerationError> {
        let skipped = discarded(connection, model.name(), partition).await?;
        let at = checkpoint::open(connection, model.name(), partition).await?;
        Ok(Self { partition, at, skipped })
    }

    /// Where it is.
    pub(super) fn position(&self) -> u64 {
        self.at.position
    }

    /// Folds the events of a page that come after the checkpoint. What cannot be applied is set aside,
    /// and what was discarded is left out.
    pub(super) async fn take(
        &mut self,
        connection: &mut PgConnection,
        model: &dyn Projection,
        journal: &dyn JournalReader,
        page: &[RecordedEvent],
    ) -> Result<(), GenerationError> {
        let known = page.partition_point(|event| event.position <= self.at.position);
        let page = &page[known..];
        let Some(last) = page.last().map(|event| event.position) else { return Ok(()) };
        let kept;
        let events = match self.skipped.is_empty() {
            true => page,
            false => {
                let is_kept = |event: &&RecordedEvent| !self.skipped.contains(&event.position);
                kept = page.iter().filter(is_kept).cloned().collect::<Vec<_>>();
                &kept
            }
        };
        let (partition, audience) = (self.partition, Audience::Nobody);
        let task = Task { model, partition, journal, audience };
        self.at = task.commit_to(connection, self.at, last, events, Culprits::SetAside(1)).await?;
        Ok(())
    }
}

/// Folds a partition up to a position, from where the checkpoint of these tables is. What cannot be
/// applied is set aside, and what was discarded (by the `dead_letters` of these tables) is left out.
///
/// # Errors
/// [`GenerationError`]: Postgres is away, or somebody else fills the same tables.
pub async fn fold_until(
    connection: &mut PgConnection,
    model: &dyn Projection,
    journal: &dyn JournalReader,
    partition: u32,
    up_to: u64,
) -> Result<(), GenerationError> {
    let mut folding = Folding::open(connection, model, partition).await?;
    while folding.position() < up_to {
        let left = usize::try_from(up_to - folding.position()).unwrap_or(PAGE);
        let page = journal.page(partition, folding.position(), left.min(PAGE)).await?;
        if page.is_empty() {
            break;
        }
        folding.take(connection, model, journal, &page).await?;
    }
    Ok(())
}

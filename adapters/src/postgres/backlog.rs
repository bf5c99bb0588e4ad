//! How large the journal is, and how much of the work beside the read models is open.

use sqlx::PgExecutor;

/// What is open, and what there is, as of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The events on the disk, with their indexes.
    pub journal_bytes: u64,
    /// Transfers that have not ended.
    pub transfers: u64,
    /// Operations that have not.
    pub operations: u64,
    /// Outcomes of other services' transactions that they have not been told.
    pub outcomes: u64,
}

/// By indexes that hold nothing but what is open.
///
/// # Errors
/// When Postgres is away.
pub async fn backlog(executor: impl PgExecutor<'_>) -> Result<Backlog, sqlx::Error> {
    let counted: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT coalesce(pg_total_relation_size(to_regclass('events')), 0),
                (SELECT count(*) FROM unfinished_transfers),
                (SELECT count(*) FROM operations WHERE publish_at IS NOT NULL),
                (SELECT count(*) FROM intake_outcomes WHERE told_at IS NULL)",
    )
    .fetch_one(executor)
    .await?;
    let count = |counted: i64| u64::try_from(counted).unwrap_or(0);
    let (bytes, transfers, operations, outcomes) = counted;
    Ok(Backlog {
        journal_bytes: count(bytes),
        transfers: count(transfers),
        operations: count(operations),
        outcomes: count(outcomes),
    })
}

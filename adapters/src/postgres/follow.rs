//! The journal in order, page by page, for whoever reads all of it: proofs, rebuilds, the relay.

use florin_application::journal::JournalError;
use florin_domain::journal::{Hash, RecordedEvent};
use sqlx::{PgExecutor, PgPool, Postgres, Transaction};

use super::row::{COLUMNS, column, hash, read_error, recorded, signed, unsigned};

/// How many events are read at a time: some megabytes, and enough that the round trip is nothing.
pub const PAGE: i64 = 10_000;

/// The next events of a partition after a position, in order; none at the end.
///
/// # Errors
/// [`JournalError`] when Postgres is away or an event cannot be read.
pub async fn page(
    executor: impl PgExecutor<'_>,
    partition: u32,
    after: u64,
) -> Result<Vec<RecordedEvent>, JournalError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events e WHERE e.partition = $1 AND e.position > $2
          ORDER BY e.position LIMIT {PAGE}"
    );
    let rows = sqlx::query(&statement)
        .bind(i32::try_from(partition).unwrap_or(i32::MAX))
        .bind(signed(after))
        .fetch_all(executor)
        .await
        .map_err(read_error)?;
    rows.iter().map(recorded).collect()
}

/// The journal as of one moment. Read partition after partition while others write, it would show a
/// transfer in one of them that ends in what was read of another one before.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn snapshot(pool: &PgPool) -> Result<Transaction<'static, Postgres>, JournalError> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    pool.begin_with(begin).await.map_err(read_error)
}

/// The end of every partition: its last position and its hash.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn heads(executor: impl PgExecutor<'_>) -> Result<Vec<(u32, u64, Hash)>, JournalError> {
    let statement = "SELECT partition, head_position, head_hash FROM partitions ORDER BY partition";
    let rows = sqlx::query(statement).fetch_all(executor).await.map_err(read_error)?;
    let head = |row| {
        let partition = unsigned(column::<i32>(row, "partition")?)?;
        let position = unsigned(column::<i64>(row, "head_position")?)?;
        Ok((partition, position, hash(&column::<Vec<u8>>(row, "head_hash")?)?))
    };
    rows.iter().map(head).collect()
}

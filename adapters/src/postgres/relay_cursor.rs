//! How far each partition of the journal is published.

use chrono::{DateTime, Utc};
use florin_application::journal::JournalError;
use sqlx::{PgExecutor, PgPool};

use super::row::{column, read_error, signed, unsigned};

/// The last position up to which everything is published; 0 for a partition that nobody published.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn load(pool: &PgPool, partition: u32) -> Result<u64, JournalError> {
    let number = i32::try_from(partition).unwrap_or(i32::MAX);
    sqlx::query("INSERT INTO relay_cursors (partition) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(number)
        .execute(pool)
        .await
        .map_err(read_error)?;
    let row = sqlx::query("SELECT position FROM relay_cursors WHERE partition = $1")
        .bind(number)
        .fetch_one(pool)
        .await
        .map_err(read_error)?;
    unsigned(column::<i64>(&row, "position")?)
}

/// Moves the cursor from where the caller left it. `false` if somebody else has moved it since.
///
/// The commit does not wait for the disk, which belongs to the journal: a cursor that falls back in
/// a crash only has some events published twice.
///
/// # Errors
/// [`JournalError`] when Postgres is away; whether the cursor has moved is then unknown.
pub async fn advance(
    pool: &PgPool,
    partition: u32,
    from: u64,
    to: u64,
) -> Result<bool, JournalError> {
    let moved = sqlx::query(
        "UPDATE relay_cursors SET position = $3, published_at = clock_timestamp()
           FROM (SELECT set_config('synchronous_commit', 'off', true)) AS without_waiting
          WHERE partition = $1 AND position = $2 AND position < $3",
    )
    .bind(i32::try_from(partition).unwrap_or(i32::MAX))
    .bind(signed(from))
    .bind(signed(to))
    .execute(pool)
    .await
    .map_err(read_error)?;
    Ok(moved.rows_affected() == 1)
}

/// Moves every cursor back to the beginning, for a stream that begins anew.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn reset(pool: &PgPool) -> Result<(), JournalError> {
    let statement = "UPDATE relay_cursors SET position = 0, published_at = clock_timestamp()";
    sqlx::query(statement).execute(pool).await.map_err(read_error)?;
    Ok(())
}

/// What of a partition is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublished {
    /// Which.
    pub partition: u32,
    /// Up to where it is published.
    pub cursor: u64,
    /// Where it ends.
    pub head: u64,
    /// When the first event behind the cursor was recorded; `None` when there is none.
    pub since: Option<DateTime<Utc>>,
}

/// What is not published, of every partition.
///
/// # Errors
/// When Postgres is away.
pub async fn unpublished(executor: impl PgExecutor<'_>) -> Result<Vec<Unpublished>, sqlx::Error> {
    // A join would be one of all events, as long as Postgres takes them for few.
    let rows: Vec<(i32, i64, i64, Option<DateTime<Utc>>)> = sqlx::query_as(
        "SELECT p.partition, coalesce(r.position, 0), p.head_position,
                (SELECT e.recorded_at FROM events e
                  WHERE e.partition = p.partition AND e.position = coalesce(r.position, 0) + 1)
           FROM partitions p
           LEFT JOIN relay_cursors r USING (partition)
          ORDER BY p.partition",
    )
    .fetch_all(executor)
    .await?;
    let read = |(partition, cursor, head, since): (i32, i64, i64, _)| Unpublished {
        partition: u32::try_from(partition).unwrap_or(0),
        cursor: u64::try_from(cursor).unwrap_or(0),
        head: u64::try_from(head).unwrap_or(0),
        since,
    };
    Ok(rows.into_iter().map(read).collect())
}

/// The cursor of every partition that was ever published.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<(u32, u64)>, JournalError> {
    let statement = "SELECT partition, position FROM relay_cursors ORDER BY partition";
    let rows = sqlx::query(statement).fetch_all(executor).await.map_err(read_error)?;
    rows.iter()
        .map(|row| {
            let partition = unsigned(column::<i32>(row, "partition")?)?;
            Ok((partition, unsigned(column::<i64>(row, "position")?)?))
        })
        .collect()
}

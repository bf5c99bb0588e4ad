//! The journal in order, page by page, for whoever reads all of it: proofs, rebuilds, the relay.

use florin_application::journal::JournalError;
use florin_domain::journal::RecordedEvent;
use sqlx::PgPool;

use super::row::{COLUMNS, read_error, recorded, signed};

/// How many events are read at a time: some megabytes, and enough that the round trip is nothing.
pub const PAGE: i64 = 10_000;

/// The next events of a partition after a position, in order; none at the end.
///
/// # Errors
/// [`JournalError`] when Postgres is away or an event cannot be read.
pub async fn page(
    pool: &PgPool,
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
        .fetch_all(pool)
        .await
        .map_err(read_error)?;
    rows.iter().map(recorded).collect()
}

//! What lies where nobody reads, for whoever proves that there is nothing: events beyond the heads,
//! before the first position, in partitions that have no head. Everything is taken as it is.

use florin_application::journal::JournalError;
use florin_domain::journal::Hash;
use sqlx::{PgConnection, Row as _};

use super::row::{hash, read_error, signed};

/// A row of `partitions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Which.
    pub partition: i32,
    /// Its last position.
    pub position: i64,
    /// The hash there; none if what is stored is none.
    pub hash: Option<Hash>,
}

/// Every one of them.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn heads(connection: &mut PgConnection) -> Result<Vec<Head>, JournalError> {
    let select = "SELECT partition, head_position, head_hash FROM partitions ORDER BY partition";
    let rows: Vec<(i32, i64, Vec<u8>)> =
        sqlx::query_as(select).fetch_all(connection).await.map_err(read_error)?;
    let head = |(partition, position, bytes): (i32, i64, Vec<u8>)| Head {
        partition,
        position,
        hash: hash(&bytes).ok(),
    };
    Ok(rows.into_iter().map(head).collect())
}

/// Where the events of a partition end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// As in `events`: it may be none that a ledger has.
    pub partition: i32,
    /// Its last position.
    pub last: i64,
}

/// Every partition that has events, by a look at the index for each.
const ENDS: &str = "
WITH RECURSIVE p (partition) AS (
  SELECT min(e.partition) FROM events e
  UNION ALL
  SELECT (SELECT min(e.partition) FROM events e WHERE e.partition > p.partition)
    FROM p WHERE p.partition IS NOT NULL)
SELECT p.partition,
       (SELECT max(e.position) FROM events e WHERE e.partition = p.partition) AS last
  FROM p WHERE p.partition IS NOT NULL";

/// The end of every partition that has events.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn ends(connection: &mut PgConnection) -> Result<Vec<End>, JournalError> {
    let rows: Vec<(i32, i64)> =
        sqlx::query_as(ENDS).fetch_all(connection).await.map_err(read_error)?;
    Ok(rows.into_iter().map(|(partition, last)| End { partition, last }).collect())
}

/// The positions of a partition that are not from 1 to its head: the first so many, and how many there
/// are.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn beyond(
    connection: &mut PgConnection,
    partition: u32,
    head: u64,
    limit: usize,
) -> Result<(Vec<i64>, u64), JournalError> {
    let partition = i32::try_from(partition).unwrap_or(i32::MAX);
    let outside = "SELECT position FROM events WHERE partition = $1 AND position < 1
                   UNION ALL
                   SELECT position FROM events WHERE partition = $1 AND position > $2";
    let first = format!("SELECT position FROM ({outside}) AS o ORDER BY position LIMIT $3");
    let first: Vec<i64> = sqlx::query_scalar(&first)
        .bind(partition)
        .bind(signed(head))
        .bind(signed(limit as u64))
        .fetch_all(&mut *connection)
        .await
        .map_err(read_error)?;
    if first.len() < limit {
        let count = first.len() as u64;
        return Ok((first, count));
    }
    let count: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM ({outside}) AS o"))
        .bind(partition)
        .bind(signed(head))
        .fetch_one(connection)
        .await
        .map_err(read_error)?;
    Ok((first, u64::try_from(count).unwrap_or(0)))
}

/// The hash that is stored with an event; none if there is no such event, or it has none.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn hash_at(
    connection: &mut PgConnection,
    partition: u32,
    position: u64,
) -> Result<Option<Hash>, JournalError> {
    let select = "SELECT hash FROM events WHERE partition = $1 AND position = $2";
    let row = sqlx::query(select)
        .bind(i32::try_from(partition).unwrap_or(i32::MAX))
        .bind(signed(position))
        .fetch_optional(connection)
        .await
        .map_err(read_error)?;
    let bytes = row.map(|row| row.try_get::<Vec<u8>, _>("hash")).transpose().map_err(read_error)?;
    Ok(bytes.and_then(|bytes| hash(&bytes).ok()))
}

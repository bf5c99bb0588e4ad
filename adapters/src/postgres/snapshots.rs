//! The snapshots of wallets as rows, for whoever compares them with the journal and writes them anew.
//! (Writers save theirs through the port to the journal.)

use std::collections::HashMap;
use std::sync::Arc;

use florin_application::journal::{JournalError, WalletRecord};
use futures::TryStreamExt as _;
use sqlx::postgres::PgPool;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

use super::PostgresJournal;
use super::load::{SNAPSHOT_SHAPE, snapshot};
use super::row::{column, read_error, signed, unsigned};

/// A snapshot as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// After how many events of its wallet it says that it was taken.
    pub version: u64,
    /// What it says; `None` if this program cannot read it, or its shape is another one.
    pub record: Option<WalletRecord>,
}

/// The wallets that have a snapshot, or so many events that they should have one; at most `limit`
/// after one of them, in the order of their ids.
///
/// # Errors
/// [`JournalError`].
pub async fn candidates(
    journal: &PostgresJournal,
    after: Option<&str>,
    long: u64,
    limit: usize,
) -> Result<Vec<Arc<str>>, JournalError> {
    let mut connection =
        PgConnection::connect_with(&journal.options()).await.map_err(read_error)?;
    // It goes through all the keys of the journal: no index knows long streams.
    connection.execute("SET statement_timeout = 0").await.map_err(read_error)?;
    let ids = sqlx::query_scalar::<_, String>(
        "SELECT w.aggregate_id FROM (
           SELECT e.aggregate_id FROM events e
            WHERE e.aggregate_type = 'Wallet' AND e.sequence = $2 AND e.aggregate_id > $1
           UNION
           SELECT s.aggregate_id FROM snapshots s
            WHERE s.aggregate_type = 'Wallet' AND s.aggregate_id > $1) w
          ORDER BY w.aggregate_id LIMIT $3",
    )
    .bind(after.unwrap_or_default())
    .bind(signed(long))
    .bind(signed(limit as u64))
    .fetch(&mut connection)
    .map_ok(Arc::from)
    .try_collect()
    .await
    .map_err(read_error)?;
    connection.close().await.map_err(read_error)?;
    Ok(ids)
}

/// The snapshots of these wallets.
///
/// # Errors
/// [`JournalError`].
pub async fn kept(
    pool: &PgPool,
    wallets: &[Arc<str>],
) -> Result<HashMap<Arc<str>, Kept>, JournalError> {
    let rows = sqlx::query(
        "SELECT s.aggregate_id, s.schema_version, s.last_sequence, s.payload::text AS payload,
                s.position, s.opened_at, s.updated_at
           FROM snapshots s WHERE s.aggregate_type = 'Wallet' AND s.aggregate_id = ANY ($1)",
    )
    .bind(wallets.iter().map(|wallet| &**wallet).collect::<Vec<&str>>())
    .fetch_all(pool)
    .await
    .map_err(read_error)?;
    let kept = |row: &sqlx::postgres::PgRow| {
        let is_of_today = column::<i32>(row, "schema_version")? == SNAPSHOT_SHAPE;
        let kept = Kept {
            version: unsigned(column::<i64>(row, "last_sequence")?)?,
            record: snapshot(row).ok().filter(|_| is_of_today),
        };
        Ok((Arc::from(row.get::<&str, _>("aggregate_id")), kept))
    };
    rows.iter().map(kept).collect()
}

/// Removes snapshots of these versions. One that somebody has replaced meanwhile stays.
///
/// # Errors
/// [`JournalError`].
pub async fn remove(pool: &PgPool, snapshots: &[(Arc<str>, u64)]) -> Result<(), JournalError> {
    let (ids, versions): (Vec<&str>, Vec<i64>) =
        snapshots.iter().map(|(wallet, version)| (&**wallet, signed(*version))).unzip();
    let removed = sqlx::query(
        "DELETE FROM snapshots s USING unnest($1::text[], $2::bigint[]) AS w (id, version)
          WHERE s.aggregate_type = 'Wallet' AND s.aggregate_id = w.id
            AND s.last_sequence = w.version",
    )
    .bind(ids)
    .bind(versions)
    .execute(pool)
    .await;
    removed.map(drop).map_err(read_error)
}

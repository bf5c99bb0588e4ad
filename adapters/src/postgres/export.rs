//! What an export begins with: where every partition ends, and the idempotency keys of that moment.

use florin_application::journal::JournalError;
use florin_domain::journal::Hash;
use futures::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, Executor as _, PgConnection, PgExecutor, Row as _};

use super::PostgresJournal;
use super::follow::heads;
use super::row::{hash, read_error, signed};
use crate::archive::KeyRow;

/// A moment of the ledger, held while its keys are read. Its events may be read afterwards, because
/// they do not change.
pub struct Moment {
    connection: PgConnection,
    /// Where every partition ends.
    pub heads: Vec<(u32, u64, Hash)>,
}

impl Moment {
    /// This moment.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn take(journal: &PostgresJournal) -> Result<Self, JournalError> {
        let mut connection =
            PgConnection::connect_with(&journal.options()).await.map_err(read_error)?;
        // Whoever takes the keys may be slow, and read them from a pipe.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                     SET LOCAL statement_timeout = 0;
                     SET LOCAL idle_in_transaction_session_timeout = 0";
        connection.execute(begin).await.map_err(read_error)?;
        let heads = heads(&mut connection).await?;
        Ok(Self { connection, heads })
    }

    /// Hands on every key, and lets the moment go.
    ///
    /// # Errors
    /// [`JournalError`], or what whoever takes them says.
    pub async fn keys<E: From<JournalError>>(
        mut self,
        mut take: impl FnMut(&KeyRow) -> Result<(), E>,
    ) -> Result<(), E> {
        {
            let mut rows = sqlx::query(
                "SELECT wallet_id, request_id, fingerprint, outcome::text, transfer_id, recorded_at
                   FROM idempotency_keys",
            )
            .fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await.map_err(read_error)? {
                take(&key(&row)?)?;
            }
        }
        self.connection.close().await.map_err(read_error)?;
        Ok(())
    }
}

fn key(row: &PgRow) -> Result<KeyRow, JournalError> {
    let fingerprint: &[u8] = row.try_get(2).map_err(JournalError::corrupt)?;
    Ok(KeyRow {
        scope: row.try_get(0).map_err(JournalError::corrupt)?,
        request_id: row.try_get(1).map_err(JournalError::corrupt)?,
        fingerprint: fingerprint.try_into().map_err(JournalError::corrupt)?,
        outcome: row.try_get(3).map_err(JournalError::corrupt)?,
        transfer_id: row.try_get(4).map_err(JournalError::corrupt)?,
        recorded_at: row.try_get(5).map_err(JournalError::corrupt)?,
    })
}

/// The hash of an event; none if there is no such event.
///
/// # Errors
/// [`JournalError`].
pub async fn hash_at(
    executor: impl PgExecutor<'_>,
    partition: u32,
    position: u64,
) -> Result<Option<Hash>, JournalError> {
    let statement = "SELECT hash FROM events WHERE partition = $1 AND position = $2";
    let found: Option<Vec<u8>> = sqlx::query_scalar(statement)
        .bind(i32::try_from(partition).unwrap_or(i32::MAX))
        .bind(signed(position))
        .fetch_optional(executor)
        .await
        .map_err(read_error)?;
    found.map(|bytes| hash(&bytes)).transpose()
}

/// How many operations have not ended: what they will come to is not in the journal yet.
///
/// # Errors
/// [`JournalError`].
pub async fn open_operations(executor: impl PgExecutor<'_>) -> Result<i64, JournalError> {
    let statement = "SELECT count(*) FROM operations WHERE publish_at IS NOT NULL";
    sqlx::query_scalar(statement).fetch_one(executor).await.map_err(read_error)
}

//! Rows of `events` to recorded events.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_application::journal::JournalError;
use florin_domain::journal::{Hash, RecordedEvent, event_type_named};
use sqlx::Row;
use sqlx::postgres::PgRow;

/// The columns that [`recorded`] reads, of a table or alias `e`. Texts as they are stored; the
/// balance as text too, so that its scale is the stored one.
pub(super) const COLUMNS: &str = "e.partition, e.position, e.aggregate_type, e.aggregate_id, \
     e.sequence, e.event_type, e.event_version, e.payload::text AS payload, \
     e.metadata::text AS metadata, e.balance::text AS balance, e.recorded_at, e.hash";

/// The event in a row of [`COLUMNS`]. One of an unknown type is an event all the same: whoever
/// decodes it learns that it cannot be read.
pub(super) fn recorded(row: &PgRow) -> Result<RecordedEvent, JournalError> {
    let aggregate_type: String = column(row, "aggregate_type")?;
    let event_type: String = column(row, "event_type")?;
    let metadata: String = column(row, "metadata")?;
    let aggregate_id: String = column(row, "aggregate_id")?;
    let balance: Option<String> = column(row, "balance")?;
    Ok(RecordedEvent {
        partition: unsigned(column::<i32>(row, "partition")?)?,
        position: unsigned(column::<i64>(row, "position")?)?,
        aggregate_type: self::aggregate_type(&aggregate_type)?,
        aggregate_id: aggregate_id.into(),
        sequence: unsigned(column::<i64>(row, "sequence")?)?,
        event_type: event_type_named(&event_type),
        event_version: column(row, "event_version")?,
        payload: column(row, "payload")?,
        metadata: Arc::from(metadata),
        balance: balance.map(|text| text.parse()).transpose().map_err(JournalError::corrupt)?,
        recorded_at: column::<DateTime<Utc>>(row, "recorded_at")?,
        hash: hash(&column::<Vec<u8>>(row, "hash")?)?,
    })
}

/// The name of an aggregate, without a copy.
pub(super) fn aggregate_type(name: &str) -> Result<&'static str, JournalError> {
    match name {
        "Wallet" => Ok("Wallet"),
        "Transfer" => Ok("Transfer"),
        unknown => Err(JournalError::corrupt(format!("no aggregate is a {unknown}"))),
    }
}

pub(super) fn hash(bytes: &[u8]) -> Result<Hash, JournalError> {
    bytes.try_into().map_err(JournalError::corrupt)
}

/// Positions, sequences and partitions are never negative: the schema says so.
pub(super) fn unsigned<S, U>(number: S) -> Result<U, JournalError>
where
    U: TryFrom<S>,
    U::Error: std::error::Error + Send + Sync + 'static,
{
    U::try_from(number).map_err(JournalError::corrupt)
}

/// And they never come near the limits of a `bigint`: at a million events a second that would take
/// 292,000 years.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn column<'r, T>(row: &'r PgRow, name: &str) -> Result<T, JournalError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(name).map_err(JournalError::corrupt)
}

/// A failed read: either Postgres is away, or what it holds is not what was expected.
pub(super) fn read_error(error: sqlx::Error) -> JournalError {
    JournalError::Unavailable(error.into())
}

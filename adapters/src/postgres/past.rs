//! The journal at a moment that has passed, found and not walked to: by bisection over what is dense.
//!
//! | what is asked | why it can be halved |
//! |---|---|
//! | the last event of a partition at a time | time never runs backwards in a partition |
//! | the last event of a stream at a position | its sequence is dense, and its positions rise with it |
//! | the last event of a wallet that says its status | it needs not be: an index has those alone |
//!
//! So each costs twenty look-ups of an index among a million events, and it does not matter how long
//! ago the moment is. Every look-up is by a key: LATERAL and LIMIT leave the plan no other way, whatever
//! Postgres believes about the length of a stream.

use chrono::{DateTime, Utc};
use florin_application::journal::JournalError;
use florin_domain::journal::RecordedEvent;
use sqlx::PgExecutor;

use super::row::{COLUMNS, read_error, recorded, signed, unsigned};

/// How many events of a stream are read at a time: some megabytes, and enough that the round trip is
/// nothing.
pub const PAGE: u64 = 10_000;

/// The stream of a wallet or of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// `Wallet` or `Transfer`.
    pub aggregate_type: &'static str,
    /// Which.
    pub aggregate_id: String,
}

/// The last position of a partition at a time; 0 where nothing had been recorded yet.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn position_at(
    executor: impl PgExecutor<'_>,
    partition: u32,
    time: DateTime<Utc>,
) -> Result<u64, JournalError> {
    let positions = search(executor, Some(partition), time).await?;
    Ok(positions.first().map_or(0, |(_, position)| *position))
}

/// The same of every partition, with its number.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn positions_at(
    executor: impl PgExecutor<'_>,
    time: DateTime<Utc>,
) -> Result<Vec<(u32, u64)>, JournalError> {
    search(executor, None, time).await
}

async fn search(
    executor: impl PgExecutor<'_>,
    partition: Option<u32>,
    time: DateTime<Utc>,
) -> Result<Vec<(u32, u64)>, JournalError> {
    let partition = partition.map(|number| i32::try_from(number).unwrap_or(i32::MAX));
    let rows: Vec<(i32, i64)> = sqlx::query_as(POSITIONS_AT)
        .bind(partition)
        .bind(time)
        .fetch_all(executor)
        .await
        .map_err(read_error)?;
    let place = |(partition, position)| Ok((unsigned(partition)?, unsigned(position)?));
    rows.into_iter().map(place).collect()
}

/// The sequence of a stream's last event up to a position of its partition; 0 if there is none.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn last_at(
    executor: impl PgExecutor<'_>,
    stream: &Stream,
    position: u64,
) -> Result<u64, JournalError> {
    let sequence: Option<i64> = sqlx::query_scalar(LAST_AT)
        .bind(&stream.aggregate_id)
        .bind(stream.aggregate_type)
        .bind(signed(position))
        .fetch_optional(executor)
        .await
        .map_err(read_error)?;
    sequence.map_or(Ok(0), unsigned)
}

/// The next events of a stream after a sequence and up to another one, in order, at most [`PAGE`]; none
/// at the end.
///
/// # Errors
/// [`JournalError`] when Postgres is away or an event cannot be read.
pub async fn page(
    executor: impl PgExecutor<'_>,
    stream: &Stream,
    after: u64,
    up_to: u64,
) -> Result<Vec<RecordedEvent>, JournalError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events e
          WHERE e.aggregate_id = $1 AND e.aggregate_type = $2 AND e.sequence > $3
            AND e.sequence <= $4
          ORDER BY e.sequence LIMIT $5"
    );
    let rows = sqlx::query(&statement)
        .bind(&stream.aggregate_id)
        .bind(stream.aggregate_type)
        .bind(signed(after))
        .bind(signed(up_to))
        .bind(signed(PAGE))
        .fetch_all(executor)
        .await
        .map_err(read_error)?;
    rows.iter().map(recorded).collect()
}

/// The events of a wallet's stream, up to a sequence, that tell what it was then: its first, the last
/// one that says its status, and the last. In order, and each as often as it is one of them; none where
/// there is none of that sequence.
///
/// # Errors
/// [`JournalError`] when Postgres is away or an event cannot be read.
pub async fn telling(
    executor: impl PgExecutor<'_>,
    wallet: &str,
    sequence: u64,
) -> Result<Vec<RecordedEvent>, JournalError> {
    let statement = telling_statement();
    let rows = sqlx::query(&statement)
        .bind(wallet)
        .bind(signed(sequence))
        .fetch_all(executor)
        .await
        .map_err(read_error)?;
    rows.iter().map(recorded).collect()
}

/// What [`telling`] asks, for whoever wants to see how it is done.
pub fn telling_statement() -> String {
    format!(
        "SELECT {COLUMNS} FROM (
           (SELECT f.* FROM events f
             WHERE f.aggregate_id = $1 AND f.aggregate_type = 'Wallet' AND f.sequence = 1)
           UNION ALL
           (SELECT s.* FROM events s
             WHERE s.aggregate_id = $1 AND s.sequence <= $2
               AND s.event_type IN ('WalletOpened', 'WalletFrozen', 'WalletUnfrozen',
                                    'WalletClosed')
             ORDER BY s.sequence DESC LIMIT 1)
           UNION ALL
           (SELECT l.* FROM events l
             WHERE l.aggregate_id = $1 AND l.aggregate_type = 'Wallet' AND l.sequence = $2)) AS e
          WHERE $2 > 0 ORDER BY e.sequence"
    )
}

/// Of one partition, or of all. By bisection, because time never runs backwards in a partition: thirty
/// look-ups of the index among a billion events. What is wanted lies between `low` and `high`, both
/// included.
const POSITIONS_AT: &str = "
WITH RECURSIVE search (partition, low, high) AS (
  SELECT p.partition, 0::bigint, p.head_position FROM partitions p
   WHERE $1::integer IS NULL OR p.partition = $1
  UNION ALL
  SELECT s.partition,
         CASE WHEN m.recorded_at <= $2 THEN m.position ELSE s.low END,
         CASE WHEN m.recorded_at <= $2 THEN s.high ELSE m.position - 1 END
    FROM search s
   CROSS JOIN LATERAL (SELECT e.position, e.recorded_at FROM events e
                        WHERE e.partition = s.partition AND e.position = (s.low + s.high + 1) / 2
                        LIMIT 1) AS m
   WHERE s.low < s.high)
SELECT s.partition, s.low FROM search s WHERE s.low = s.high ORDER BY s.partition";

/// The same within a stream.
pub const LAST_AT: &str = "
WITH RECURSIVE search (low, high) AS (
  (SELECT 0::bigint, e.sequence FROM events e
    WHERE e.aggregate_id = $1 AND e.aggregate_type = $2
    ORDER BY e.sequence DESC LIMIT 1)
  UNION ALL
  SELECT CASE WHEN m.position <= $3 THEN m.sequence ELSE s.low END,
         CASE WHEN m.position <= $3 THEN s.high ELSE m.sequence - 1 END
    FROM search s
   CROSS JOIN LATERAL (SELECT e.sequence, e.position FROM events e
                        WHERE e.aggregate_id = $1 AND e.aggregate_type = $2
                          AND e.sequence = (s.low + s.high + 1) / 2
                        LIMIT 1) AS m
   WHERE s.low < s.high)
SELECT s.low FROM search s WHERE s.low = s.high";

//! The journal in order, page by page, for whoever reads all of it: proofs, rebuilds, the relay.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use florin_application::journal::JournalError;
use florin_domain::TransferId;
use florin_domain::journal::{Hash, RecordedEvent};
use florin_projections::ports::{JournalAway, JournalReader, PastReader};
use rust_decimal::Decimal;
use sqlx::{PgExecutor, PgPool, Postgres, Transaction};

use super::PostgresJournal;
use super::past;
use super::row::{COLUMNS, column, hash, read_error, recorded, signed, unsigned};

/// How many events a proof reads at a time: some megabytes, and enough that the round trip is nothing.
pub const PAGE: i64 = 10_000;

/// The next events of a partition after a position, in order, at most `limit`; none at the end.
///
/// # Errors
/// [`JournalError`] when Postgres is away or an event cannot be read.
pub async fn page(
    executor: impl PgExecutor<'_>,
    partition: u32,
    after: u64,
    limit: i64,
) -> Result<Vec<RecordedEvent>, JournalError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events e WHERE e.partition = $1 AND e.position > $2
          ORDER BY e.position LIMIT $3"
    );
    let rows = sqlx::query(&statement)
        .bind(i32::try_from(partition).unwrap_or(i32::MAX))
        .bind(signed(after))
        .bind(limit)
        .fetch_all(executor)
        .await
        .map_err(read_error)?;
    rows.iter().map(recorded).collect()
}

/// The events of a partition after a position and up to another one, in order, at most `limit`; of
/// some types, or of all.
///
/// # Errors
/// [`JournalError`] when Postgres is away or an event cannot be read.
pub async fn page_of(
    executor: impl PgExecutor<'_>,
    partition: u32,
    (after, up_to): (u64, u64),
    types: Option<&[&str]>,
    limit: u32,
) -> Result<Vec<RecordedEvent>, JournalError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events e
          WHERE e.partition = $1 AND e.position > $2 AND e.position <= $3
            AND ($4::text[] IS NULL OR e.event_type = ANY($4))
          ORDER BY e.position LIMIT $5"
    );
    let rows = sqlx::query(&statement)
        .bind(i32::try_from(partition).unwrap_or(i32::MAX))
        .bind(signed(after))
        .bind(signed(up_to))
        .bind(types)
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(read_error)?;
    rows.iter().map(recorded).collect()
}

/// The events of a partition at these positions, in no order. A row that is no event is an error.
///
/// # Errors
/// [`JournalError`] when Postgres is away or an event cannot be read.
pub async fn at(
    executor: impl PgExecutor<'_>,
    partition: u32,
    positions: &[u64],
) -> Result<Vec<RecordedEvent>, JournalError> {
    let statement =
        format!("SELECT {COLUMNS} FROM events e WHERE e.partition = $1 AND e.position = ANY($2)");
    let rows = sqlx::query(&statement)
        .bind(i32::try_from(partition).unwrap_or(i32::MAX))
        .bind(positions.iter().copied().map(signed).collect::<Vec<_>>())
        .fetch_all(executor)
        .await
        .map_err(read_error)?;
    rows.iter().map(recorded).collect()
}

/// The next events of one wallet after a sequence, in order, up to a position of its partition.
///
/// # Errors
/// [`JournalError`] when Postgres is away or an event cannot be read.
pub async fn wallet(
    executor: impl PgExecutor<'_>,
    wallet: &str,
    after: u64,
    up_to: u64,
    limit: i64,
) -> Result<Vec<RecordedEvent>, JournalError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events e
          WHERE e.aggregate_id = $1 AND e.aggregate_type = 'Wallet' AND e.sequence > $2
            AND e.position <= $3
          ORDER BY e.sequence LIMIT $4"
    );
    let rows = sqlx::query(&statement)
        .bind(wallet)
        .bind(signed(after))
        .bind(signed(up_to))
        .bind(limit)
        .fetch_all(executor)
        .await
        .map_err(read_error)?;
    rows.iter().map(recorded).collect()
}

/// The journal as of one moment, held for as long as it takes. Read partition after partition while
/// others write, it would show a transfer in one of them that ends in what was read of another one
/// before.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn snapshot(pool: &PgPool) -> Result<Transaction<'static, Postgres>, JournalError> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                 SET LOCAL statement_timeout = 0;
                 SET LOCAL idle_in_transaction_session_timeout = 0";
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

/// The last position of a partition.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn head(executor: impl PgExecutor<'_>, partition: u32) -> Result<u64, JournalError> {
    let head = "SELECT head_position FROM partitions WHERE partition = $1";
    let head: i64 = sqlx::query_scalar(head)
        .bind(i32::try_from(partition).unwrap_or(i32::MAX))
        .fetch_one(executor)
        .await
        .map_err(read_error)?;
    unsigned(head)
}

#[async_trait]
impl JournalReader for PostgresJournal {
    async fn page(
        &self,
        partition: u32,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        let events = page(self.pool(), partition, after, signed(limit as u64)).await;
        events.map_err(away)
    }

    async fn head(&self, partition: u32) -> Result<u64, JournalAway> {
        head(self.pool(), partition).await.map_err(away)
    }

    async fn wallet(
        &self,
        wallet: &str,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        let limit = signed(limit as u64);
        self::wallet(self.pool(), wallet, after, up_to, limit).await.map_err(away)
    }

    async fn transfers(
        &self,
        ids: &[TransferId],
        up_to: u64,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        let statement = format!(
            "SELECT {COLUMNS} FROM events e
              WHERE e.aggregate_id = ANY($1) AND e.aggregate_type = 'Transfer' AND e.position <= $2
              ORDER BY e.position"
        );
        let rows = sqlx::query(&statement)
            .bind(ids.iter().map(ToString::to_string).collect::<Vec<_>>())
            .bind(signed(up_to))
            .fetch_all(self.pool())
            .await
            .map_err(|error| away(read_error(error)))?;
        rows.iter().map(recorded).collect::<Result<_, _>>().map_err(away)
    }
}

#[async_trait]
impl PastReader for PostgresJournal {
    async fn of_wallets(
        &self,
        partition: u32,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        let statement = format!(
            "SELECT {COLUMNS} FROM events e
              WHERE e.partition = $1 AND e.position > $2 AND e.position <= $3
                AND e.aggregate_type = 'Wallet'
              ORDER BY e.position LIMIT $4"
        );
        let rows = sqlx::query(&statement)
            .bind(i32::try_from(partition).unwrap_or(i32::MAX))
            .bind(signed(after))
            .bind(signed(up_to))
            .bind(signed(limit as u64))
            .fetch_all(self.pool())
            .await
            .map_err(|error| away(read_error(error)))?;
        rows.iter().map(recorded).collect::<Result<_, _>>().map_err(away)
    }

    async fn balances_after(
        &self,
        events: &[(Arc<str>, u64)],
    ) -> Result<Vec<(Arc<str>, Decimal)>, JournalAway> {
        let (wallets, sequences): (Vec<&str>, Vec<i64>) =
            events.iter().map(|(wallet, sequence)| (&**wallet, signed(*sequence))).unzip();
        let rows = sqlx::query(
            "SELECT w.number, e.balance
               FROM unnest($1::text[], $2::bigint[])
                    WITH ORDINALITY AS w (wallet_id, sequence, number)
               JOIN events e ON e.aggregate_id = w.wallet_id AND e.aggregate_type = 'Wallet'
                            AND e.sequence = w.sequence",
        )
        .bind(wallets)
        .bind(sequences)
        .fetch_all(self.pool())
        .await
        .map_err(|error| away(read_error(error)))?;
        let mut balances = Vec::with_capacity(rows.len());
        for row in &rows {
            // Numbered from 1.
            let number: i64 = column(row, "number").map_err(away)?;
            let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
            if let Some((wallet, _)) = events.get(index) {
                balances.push((Arc::clone(wallet), column(row, "balance").map_err(away)?));
            }
        }
        Ok(balances)
    }

    async fn positions_at(&self, time: DateTime<Utc>) -> Result<Vec<(u32, u64)>, JournalAway> {
        past::positions_at(self.pool(), time).await.map_err(away)
    }
}

fn away(error: JournalError) -> JournalAway {
    JournalAway(error.into())
}

//! The journal as one partition's writer uses it: over a connection of its own, which is made again
//! when it breaks.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use florin_application::command::Key;
use florin_application::journal::{
    AppendError, Batch, Head, JournalError, KeptKey, MAX_TAIL, PartitionJournal, Tail,
    TransferRecord, WalletRecord,
};
use florin_domain::WalletId;
use florin_domain::journal::RecordedEvent;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::{Instant, timeout};

use super::connect::CONNECT_WAIT;
use super::row::{COLUMNS, column, hash, read_error, recorded, signed, unsigned};
use super::{append, load};
use crate::telemetry::metrics::recorded;
use crate::telemetry::traces;

pub(super) struct PostgresPartition {
    partition: u32,
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    /// Whether a transaction holds the row of the partition.
    is_locked: bool,
}

impl PostgresPartition {
    pub(super) fn new(partition: u32, options: PgConnectOptions) -> Self {
        Self { partition, options, connection: None, is_locked: false }
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, JournalError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                self.is_locked = false;
                let connecting = PgConnection::connect_with(&self.options);
                let mut connection = match timeout(CONNECT_WAIT, connecting).await {
                    Ok(connected) => connected.map_err(read_error)?,
                    Err(elapsed) => return Err(JournalError::Unavailable(elapsed.into())),
                };
                let warm = append::warm_up(&mut connection, self.partition).await;
                warm.map_err(|error| JournalError::Unavailable(error.into()))?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Passes a result on, and drops the connection after a failure: what state it is in is unknown.
    fn checked<T>(&mut self, result: Result<T, JournalError>) -> Result<T, JournalError> {
        if let Err(JournalError::Unavailable(_)) = result {
            self.connection = None;
            self.is_locked = false;
        }
        result
    }

    fn number(&self) -> i32 {
        i32::try_from(self.partition).unwrap_or(i32::MAX)
    }

    /// The head, and then the events up to it. What is written between the two is not missed: it is
    /// after the head that was read.
    async fn tail(&mut self, known: u64) -> Result<Tail, JournalError> {
        let head = self.head().await?;
        let missed = head.position.saturating_sub(known);
        let events = match missed {
            0 => Some(Vec::new()),
            missed if missed <= MAX_TAIL => Some(self.events(known, head.position).await?),
            _ => None,
        };
        Ok(Tail { head, events })
    }

    async fn head(&mut self) -> Result<Head, JournalError> {
        let number = self.number();
        // A join would be one of all events of the partition, as long as Postgres takes them for few.
        let row = sqlx::query(
            "SELECT p.head_position, p.head_hash,
                    (SELECT e.recorded_at FROM events e
                      WHERE e.partition = p.partition AND e.position = p.head_position) AS recorded_at
               FROM partitions p
              WHERE p.partition = $1",
        )
        .bind(number)
        .fetch_one(self.connection().await?)
        .await
        .map_err(read_error)?;
        let at: Option<DateTime<Utc>> = column(&row, "recorded_at")?;
        Ok(Head {
            position: unsigned(column::<i64>(&row, "head_position")?)?,
            hash: hash(&column::<Vec<u8>>(&row, "head_hash")?)?,
            recorded_at: at.unwrap_or(Head::EMPTY.recorded_at),
        })
    }

    async fn events(&mut self, after: u64, until: u64) -> Result<Vec<RecordedEvent>, JournalError> {
        let number = self.number();
        let statement = format!(
            "SELECT {COLUMNS} FROM events e
              WHERE e.partition = $1 AND e.position > $2 AND e.position <= $3 ORDER BY e.position"
        );
        let rows = sqlx::query(&statement)
            .bind(number)
            .bind(signed(after))
            .bind(signed(until))
            .fetch_all(self.connection().await?)
            .await
            .map_err(read_error)?;
        rows.iter().map(recorded).collect()
    }

    async fn append_locked(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let connection = self.connection().await?;
        append::append(connection, batch).await?;
        let commit = connection.execute("COMMIT").await;
        commit.map_err(read_error)?;
        self.is_locked = false;
        Ok(())
    }
}

#[async_trait]
impl PartitionJournal for PostgresPartition {
    async fn catch_up(&mut self, known: u64) -> Result<Tail, JournalError> {
        let tail = self.tail(known).await;
        self.checked(tail)
    }

    async fn lock(&mut self, known: u64) -> Result<Tail, JournalError> {
        self.release().await;
        // Two statements, because the tail must be read by a snapshot taken after the lock was.
        let lock =
            format!("BEGIN; SELECT FROM partitions WHERE partition = {} FOR UPDATE", self.number());
        let locked = self.connection().await?.execute(lock.as_str()).await;
        self.is_locked = true;
        self.checked(locked.map_err(read_error))?;
        self.catch_up(known).await
    }

    async fn release(&mut self) {
        if !self.is_locked {
            return;
        }
        self.is_locked = false;
        if let Some(connection) = &mut self.connection
            && connection.execute("ROLLBACK").await.is_err()
        {
            self.connection = None;
        }
    }

    async fn append(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let traced = traces::Batch::begin(traces::Stage::Append, batch.partition, &batch.events);
        let begun = Instant::now();
        let result = match self.is_locked {
            true => self.append_locked(batch).await,
            false => append::append(self.connection().await?, batch).await,
        };
        recorded::append(&result, begun.elapsed());
        match &result {
            Ok(()) => {}
            Err(AppendError::Unavailable(_)) => {
                self.connection = None;
                self.is_locked = false;
            }
            Err(AppendError::Moved | AppendError::KeyTaken | AppendError::Rejected(_)) => {
                self.release().await;
            }
        }
        if let Some(traced) = traced {
            traced.end(result.as_ref().err().map(name_of));
        }
        result
    }

    async fn load_wallets(&mut self, ids: &[WalletId]) -> Result<Vec<WalletRecord>, JournalError> {
        let records = load::wallets(self.connection().await?, ids).await;
        self.checked(records)
    }

    async fn find_keys(&mut self, keys: &[Key]) -> Result<Vec<KeptKey>, JournalError> {
        let kept = load::keys(self.connection().await?, keys).await;
        self.checked(kept)
    }

    async fn unfinished(&mut self) -> Result<Vec<TransferRecord>, JournalError> {
        let number = self.number();
        let records = load::unfinished(self.connection().await?, number).await;
        self.checked(records)
    }
}

/// What a trace calls an error.
fn name_of(error: &AppendError) -> &'static str {
    match error {
        AppendError::Moved => "moved",
        AppendError::KeyTaken => "key-taken",
        AppendError::Rejected(_) => "rejected",
        AppendError::Unavailable(_) => "unavailable",
    }
}

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
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::timeout;

use super::connect::CONNECT_WAIT;
use super::row::{COLUMNS, column, hash, read_error, recorded, signed, unsigned};
use super::{append, load};

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
                match timeout(CONNECT_WAIT, connecting).await {
                    Ok(connected) => connected.map_err(read_error)?,
                    Err(elapsed) => return Err(JournalError::Unavailable(elapsed.into())),
                }
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

    async fn tail(&mut self, known: u64) -> Result<Tail, JournalError> {
        let number = self.number();
        let rows = sqlx::query(&tail_statement())
            .bind(number)
            .bind(signed(known))
            .fetch_all(self.connection().await?)
            .await
            .map_err(read_error)?;
        read_tail(&rows, known)
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

/// The head, and the events after `$2` unless they are too many; all in one snapshot.
fn tail_statement() -> String {
    format!(
        "SELECT p.head_position, p.head_hash, h.recorded_at AS head_recorded_at, {COLUMNS}
           FROM partitions p
           LEFT JOIN events h ON h.partition = p.partition AND h.position = p.head_position
           LEFT JOIN events e
             ON e.partition = p.partition AND e.position > $2
            AND e.position <= CASE WHEN p.head_position - $2 <= {MAX_TAIL}
                                   THEN p.head_position ELSE 0 END
          WHERE p.partition = $1
          ORDER BY e.position"
    )
}

fn read_tail(rows: &[PgRow], known: u64) -> Result<Tail, JournalError> {
    let first = rows.first().ok_or_else(|| JournalError::corrupt("the partition has no row"))?;
    let at: Option<DateTime<Utc>> = column(first, "head_recorded_at")?;
    let head = Head {
        position: unsigned(column::<i64>(first, "head_position")?)?,
        hash: hash(&column::<Vec<u8>>(first, "head_hash")?)?,
        recorded_at: at.unwrap_or(Head::EMPTY.recorded_at),
    };
    let missed = head.position.saturating_sub(known);
    let events = match missed {
        0 => Some(Vec::new()),
        missed if missed <= MAX_TAIL => Some(rows.iter().map(recorded).collect::<Result<_, _>>()?),
        _ => None,
    };
    Ok(Tail { head, events })
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
        let result = match self.is_locked {
            true => self.append_locked(batch).await,
            false => append::append(self.connection().await?, batch).await,
        };
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

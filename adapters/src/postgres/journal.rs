//! The ledger-wide port: how many partitions there are, transfers by id, snapshots.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{AggregateError, EventEnvelope, EventStore};
use florin_application::command::Key;
use florin_application::journal::{
    Journal, JournalError, KeyRecord, PartitionJournal, TransferRecord, WalletRecord,
};
use florin_domain::upcast::upcasters;
use florin_domain::{Refusal, Transfer, TransferId, WalletId};
use postgres_es::PostgresEventRepository;
use sqlx::PgConnection;
use sqlx::postgres::{PgConnectOptions, PgPool};
use thiserror::Error;

use super::connect::{ConnectError, connect, options};
use super::load::{self, SNAPSHOT_SHAPE};
use super::migrate::MigrateError;
use super::partition::PostgresPartition;
use super::role::{self, Dangerous};
use super::row::{column, read_error, signed, unsigned};
use super::schema::{self, Schema};

/// What Postgres says to who has no right.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// The journal of a ledger in Postgres.
#[derive(Clone)]
pub struct PostgresJournal {
    pool: PgPool,
    options: PgConnectOptions,
    partitions: u32,
}

/// Why the journal was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL is malformed.
    #[error(transparent)]
    Url(#[from] ConnectError),
    /// Postgres is away: try again.
    #[error("Postgres cannot be reached: {0}")]
    Away(#[source] sqlx::Error),
    /// The schema is older than this version, or not there.
    #[error("the database is not migrated to this version: run `florin migrate`")]
    NotMigrated,
    /// The schema is newer than this version, which does not know what its rows mean.
    #[error(
        "the database was migrated by a newer Florin: migrations {0:?} are not known to this one. Run \
         the version that migrated it, or a newer one"
    )]
    Newer(Vec<i64>),
    /// The schema is another one under the same numbers.
    #[error(
        "the database was migrated by another program: migrations {0:?} are not those of this one. Run \
         the program that migrated it, or restore the database"
    )]
    Other(Vec<i64>),
    /// The role may not even see what is migrated.
    #[error(
        "the role of DATABASE_URL has no right to the ledger: GRANT florin_service TO it, or take the \
         one that `florin migrate --create-roles` makes"
    )]
    Forbidden,
    /// The role could change history.
    #[error(transparent)]
    Role(#[from] Dangerous),
    /// Asked for another number of partitions than the ledger has.
    #[error(transparent)]
    Partitions(#[from] MigrateError),
}

impl PostgresJournal {
    /// Opens the journal of a migrated ledger. `wanted` is the number of partitions that the
    /// operator believes in, if any.
    ///
    /// # Errors
    /// [`OpenError`]; only [`OpenError::Away`] mends itself.
    pub async fn open(url: &str, wanted: Option<u32>) -> Result<Self, OpenError> {
        let journal = Self::open_as_is(url).await?;
        match wanted {
            _ if journal.partitions == 0 => Err(OpenError::NotMigrated),
            Some(wanted) if wanted != journal.partitions => {
                Err(MigrateError::Fixed { wanted, existing: journal.partitions }.into())
            }
            Some(_) | None => Ok(journal),
        }
    }

    /// The same for whoever wants to know what is wrong with it: the rows of its partitions may be
    /// gone.
    ///
    /// # Errors
    /// [`OpenError`]; only [`OpenError::Away`] mends itself.
    pub async fn open_as_is(url: &str) -> Result<Self, OpenError> {
        let (pool, options) = (connect(url)?, options(url)?);
        check_schema(&pool).await?;
        let existing: i64 = sqlx::query_scalar("SELECT count(*) FROM partitions")
            .fetch_one(&pool)
            .await
            .map_err(OpenError::Away)?;
        let partitions = u32::try_from(existing).unwrap_or(u32::MAX);
        Ok(Self { pool, options, partitions })
    }

    /// Proves that this process's role cannot change history, as a service does before it begins.
    ///
    /// # Errors
    /// [`OpenError::Role`], with every way in which it could; [`OpenError::Away`].
    pub async fn check_role(&self) -> Result<(), OpenError> {
        let mut connection = self.pool.acquire().await.map_err(OpenError::Away)?;
        let found = role::look(&mut connection).await.map_err(OpenError::Away)?;
        if found.dangers.is_empty() { Ok(()) } else { Err(found.into()) }
    }

    /// The pool that serves reads and health.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How a connection of one's own is made.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }
}

/// The schema is that of this version.
async fn check_schema(pool: &PgPool) -> Result<(), OpenError> {
    let mut connection = pool.acquire().await.map_err(OpenError::Away)?;
    check_schema_of(&mut connection).await
}

/// The same by a connection that is there.
pub(super) async fn check_schema_of(connection: &mut PgConnection) -> Result<(), OpenError> {
    match schema::of(connection).await {
        Ok(Schema::Same(_)) => Ok(()),
        Ok(Schema::Nothing | Schema::Older(_)) => Err(OpenError::NotMigrated),
        Ok(Schema::Newer(versions)) => Err(OpenError::Newer(versions)),
        Ok(Schema::Other(versions)) => Err(OpenError::Other(versions)),
        Err(error) if is_forbidden(&error) => Err(OpenError::Forbidden),
        Err(error) => Err(OpenError::Away(error)),
    }
}

fn is_forbidden(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|database| database.code());
    code.as_deref() == Some(INSUFFICIENT_PRIVILEGE)
}

#[async_trait]
impl Journal for PostgresJournal {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn partition(&self, partition: u32) -> Box<dyn PartitionJournal> {
        Box::new(PostgresPartition::new(partition, self.options.clone()))
    }

    async fn transfer(&self, id: TransferId) -> Result<Option<TransferRecord>, JournalError> {
        let repository = PostgresEventRepository::new(self.pool.clone());
        let store = PersistedEventStore::<_, Transfer>::new_event_store(repository)
            .with_upcasters(upcasters());
        let events = store.load_events(&id.to_string()).await.map_err(store_error)?;
        match events.is_empty() {
            true => Ok(None),
            false => self.located(id, &events).await.map(Some),
        }
    }

    async fn key(&self, key: &Key) -> Result<Option<KeyRecord>, JournalError> {
        let mut connection = self.pool.acquire().await.map_err(read_error)?;
        load::key(&mut connection, key).await
    }

    async fn save_snapshots(
        &self,
        wallets: &[(WalletId, WalletRecord)],
    ) -> Result<(), JournalError> {
        // Within one statement a row may be upserted once only: the newest state of each wallet.
        let newest: std::collections::HashMap<&WalletId, &WalletRecord> =
            wallets.iter().map(|(id, record)| (id, record)).collect();
        let (ids, records): (Vec<&str>, Vec<&WalletRecord>) =
            newest.into_iter().map(|(id, record)| (id.as_str(), record)).unzip();
        let payloads: Vec<String> = records
            .iter()
            .map(|record| serde_json::to_string(&record.wallet))
            .collect::<Result<_, _>>()
            .map_err(JournalError::corrupt)?;
        sqlx::query(
            "INSERT INTO snapshots AS s (aggregate_type, aggregate_id, schema_version, last_sequence,
                                         payload, position, opened_at, updated_at)
             SELECT 'Wallet', w.id, $1, w.version, w.payload::json, w.position, w.opened_at,
                    w.updated_at
               FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::timestamptz[],
                           $7::timestamptz[])
                    AS w (id, version, payload, position, opened_at, updated_at)
             ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE
                SET schema_version = excluded.schema_version,
                    last_sequence = excluded.last_sequence,
                    current_snapshot = s.current_snapshot + 1,
                    payload = excluded.payload, position = excluded.position,
                    opened_at = excluded.opened_at, updated_at = excluded.updated_at
              WHERE s.last_sequence < excluded.last_sequence
                 OR s.schema_version <> excluded.schema_version",
        )
        .bind(SNAPSHOT_SHAPE)
        .bind(&ids)
        .bind(records.iter().map(|record| signed(record.version)).collect::<Vec<_>>())
        .bind(&payloads)
        .bind(records.iter().map(|record| signed(record.position)).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.opened_at).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.updated_at).collect::<Vec<_>>())
        .execute(&self.pool)
        .await
        .map_err(read_error)?;
        Ok(())
    }
}

impl PostgresJournal {
    /// Adds to a stream what envelopes do not carry: where and when it begins and ends.
    async fn located(
        &self,
        id: TransferId,
        events: &[EventEnvelope<Transfer>],
    ) -> Result<TransferRecord, JournalError> {
        let last = events.last().map_or(0, |event| event.sequence as u64);
        let row = sqlx::query(
            "SELECT f.partition, f.recorded_at AS initiated_at, l.position,
                    l.recorded_at AS updated_at
               FROM events f JOIN events l USING (aggregate_type, aggregate_id)
              WHERE f.aggregate_type = 'Transfer' AND f.aggregate_id = $1
                AND f.sequence = 1 AND l.sequence = $2",
        )
        .bind(id.to_string())
        .bind(signed(last))
        .fetch_one(&self.pool)
        .await
        .map_err(read_error)?;
        let mut record = TransferRecord::new(id, unsigned(column::<i32>(&row, "partition")?)?);
        for event in events {
            record.transfer.apply_event(&event.payload);
        }
        record.version = last;
        if let Some(first) = events.first() {
            let metadata = serde_json::to_string(&first.metadata).map_err(JournalError::corrupt)?;
            record.metadata = metadata.into();
        }
        record.position = unsigned(column::<i64>(&row, "position")?)?;
        record.initiated_at = column::<DateTime<Utc>>(&row, "initiated_at")?;
        record.updated_at = column::<DateTime<Utc>>(&row, "updated_at")?;
        Ok(record)
    }
}

fn store_error(error: AggregateError<Refusal>) -> JournalError {
    match error {
        AggregateError::DeserializationError(cause) => JournalError::Corrupt(cause),
        AggregateError::DatabaseConnectionError(cause) | AggregateError::UnexpectedError(cause) => {
            JournalError::Unavailable(cause)
        }
        error @ (AggregateError::UserError(_) | AggregateError::AggregateConflict) => {
            JournalError::corrupt(error.to_string())
        }
    }
}

//! Fills an empty ledger from a file, in one transaction: all of it is there, or nothing is.
//!
//! ```text
//! lock ▸ empty? ▸ header: as many partitions? ▸ COPY keys ▸ COPY events ▸ heads, transfers ▸ commit
//! ```
//!
//! The lock on `partitions` keeps every writer away; readers go on, and see an empty ledger until the
//! end. Every copy is a statement of its own, so that what Postgres itself refuses is found within one
//! page, and by its line. Whoever is killed leaves rows that no transaction ever sees, which a vacuum
//! removes.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use florin_domain::journal::RecordedEvent;
use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, Executor as _, PgConnection};
use thiserror::Error;
use tokio::sync::mpsc;

use super::OpenError;
use super::journal::check_schema_of;
use super::row::signed;
use crate::archive::read::{End, Fault, Part};
use crate::archive::{Broken, KeyRow};
use crate::hex::hex;

/// Why nothing was imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// There is no ledger of this version.
    #[error(transparent)]
    NotMigrated(#[from] OpenError),
    /// There is something in it.
    #[error(
        "this ledger is not empty: import into a new database, in which `FLORIN_PARTITIONS={0} \
         florin migrate` has created a ledger"
    )]
    NotEmpty(u32),
    /// Wallets would not lie where they are looked for.
    #[error(
        "the file is of a ledger of {file} partitions, and this one has {ledger}: import into a new \
         database, in which `FLORIN_PARTITIONS={file} florin migrate` has created a ledger"
    )]
    Partitions {
        /// Of the file.
        file: u32,
        /// Of the ledger.
        ledger: u32,
    },
    /// The file is not right.
    #[error("{0}: nothing was imported")]
    Refused(#[from] Fault),
    /// A key leads nowhere.
    #[error(
        "the key `{request_id}` of `{scope}` leads to a transfer that is not in the journal: nothing \
         was imported"
    )]
    NoTransfer {
        /// Whose key.
        scope: String,
        /// Which.
        request_id: String,
    },
    /// Whoever read the file is gone.
    #[error("the file was not read to its end: nothing was imported")]
    Unread,
    /// Postgres is away, or refuses.
    #[error("the ledger cannot be written: {0}; nothing was imported")]
    Database(#[from] sqlx::Error),
}

/// Fills the ledger from the parts of a file, of which `seen` is told as they come.
///
/// # Errors
/// [`ImportError`], and nothing has happened.
pub async fn import(
    admin_url: &str,
    parts: &mut mpsc::Receiver<Result<Part, Fault>>,
    mut seen: impl FnMut(&Part),
) -> Result<End, ImportError> {
    let mut connection = PgConnection::connect(admin_url).await?;
    check_schema_of(&mut connection).await?;
    let mut transaction = connection.begin().await?;
    match fill(&mut transaction, parts, &mut seen).await {
        Ok(end) => {
            transaction.commit().await?;
            Ok(end)
        }
        Err(error) => {
            // Whether or not it is heard: nothing was committed.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

async fn fill(
    connection: &mut PgConnection,
    parts: &mut mpsc::Receiver<Result<Part, Fault>>,
    seen: &mut impl FnMut(&Part),
) -> Result<End, ImportError> {
    let partitions = lock_empty(connection).await?;
    while let Some(part) = parts.recv().await {
        let part = part?;
        seen(&part);
        match part {
            Part::Header(header) if header.partitions != partitions => {
                let file = header.partitions;
                return Err(ImportError::Partitions { file, ledger: partitions });
            }
            Part::Header(_) => {}
            Part::Keys(keys) => copy(connection, KEYS, &keys, write_key).await?,
            Part::Events(events) => copy(connection, EVENTS, &events, write_event).await?,
            Part::End(end) => {
                finish(connection, &end).await?;
                return Ok(*end);
            }
        }
    }
    Err(ImportError::Unread)
}

/// Keeps everybody else from writing, and looks whether anybody has; how many partitions there are.
async fn lock_empty(connection: &mut PgConnection) -> Result<u32, ImportError> {
    // A file may come through a pipe, as slowly as it likes.
    let lock = "SET LOCAL statement_timeout = 0;
                SET LOCAL idle_in_transaction_session_timeout = 0;
                SET LOCAL lock_timeout = '10s';
                LOCK TABLE partitions IN EXCLUSIVE MODE";
    connection.execute(lock).await?;
    let (partitions, is_empty): (i64, bool) = sqlx::query_as(
        "SELECT count(*), coalesce(max(head_position), 0) = 0
                          AND NOT EXISTS (SELECT FROM events)
                          AND NOT EXISTS (SELECT FROM idempotency_keys)
           FROM partitions",
    )
    .fetch_one(connection)
    .await?;
    match u32::try_from(partitions).unwrap_or_default() {
        0 => Err(OpenError::NotMigrated.into()),
        partitions if !is_empty => Err(ImportError::NotEmpty(partitions)),
        partitions => Ok(partitions),
    }
}

/// In the order of [`write_key`].
const KEYS: &str =
    "COPY idempotency_keys (wallet_id, request_id, fingerprint, outcome, transfer_id,
                                           recorded_at) FROM STDIN";

/// In the order of [`write_event`].
const EVENTS: &str = "COPY events (aggregate_type, aggregate_id, sequence, event_type, event_version,
                                   payload, metadata, partition, position, recorded_at, balance, hash)
                      FROM STDIN";

/// Copies rows, each with the line that it comes from.
async fn copy<T>(
    connection: &mut PgConnection,
    statement: &str,
    rows: &[(u64, T)],
    write: fn(&mut Row<'_>, &T),
) -> Result<(), ImportError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for (_, row) in rows {
        write(&mut Row(&mut text), row);
        // The tab after the last column.
        text.pop();
        text.push('\n');
    }
    let mut copy = connection.copy_in_raw(statement).await?;
    copy.send(text.into_bytes()).await?;
    let copied = copy.finish().await;
    copied.map(drop).map_err(|error| refused(error, rows))
}

/// What Postgres refuses has a line, of the copy.
fn refused<T>(error: sqlx::Error, rows: &[(u64, T)]) -> ImportError {
    let database = error.as_database_error().and_then(|error| error.try_downcast_ref());
    let line = database.and_then(|error: &PgDatabaseError| {
        let (_, rest) = error.r#where()?.split_once("line ")?;
        let number: usize = rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        let (line, _) = rows.get(number.checked_sub(1)?)?;
        Some(Broken { line: *line, what: error.message().to_owned() })
    });
    match line {
        Some(broken) => Fault::Broken(broken).into(),
        None => error.into(),
    }
}

/// A row in the text format of COPY, column after column.
struct Row<'a>(&'a mut String);

impl Row<'_> {
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                c => self.0.push(c),
            }
        }
        self.0.push('\t');
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.0.push_str("\\N\t"),
        }
    }

    fn number(&mut self, number: u64) {
        // Writing to a text cannot fail.
        let _ = write!(self.0, "{number}\t");
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let _ = write!(self.0, "\\\\x{}\t", hex(bytes));
    }

    fn time(&mut self, time: DateTime<Utc>) {
        let _ = write!(self.0, "{}\t", time.to_rfc3339_opts(SecondsFormat::Micros, true));
    }
}

fn write_key(row: &mut Row<'_>, key: &KeyRow) {
    row.text(&key.scope);
    row.text(&key.request_id);
    row.bytes(&key.fingerprint);
    row.optional(key.outcome.as_deref());
    row.optional(key.transfer_id.map(|id| id.to_string()).as_deref());
    row.time(key.recorded_at);
}

fn write_event(row: &mut Row<'_>, event: &RecordedEvent) {
    row.text(event.aggregate_type);
    row.text(&event.aggregate_id);
    row.number(event.sequence);
    row.text(&event.event_type);
    row.text(&event.event_version);
    row.text(&event.payload);
    row.text(&event.metadata);
    row.number(event.partition.into());
    row.number(event.position);
    row.time(event.recorded_at);
    row.optional(event.balance.map(|balance| balance.to_string()).as_deref());
    row.bytes(&event.hash);
}

/// What belongs to the journal besides its events, and whoever waits for it.
async fn finish(connection: &mut PgConnection, end: &End) -> Result<(), ImportError> {
    let (ids, drivers): (Vec<_>, Vec<_>) =
        end.unfinished.iter().map(|(id, partition)| (id.0, partition.cast_signed())).unzip();
    sqlx::query(
        "INSERT INTO unfinished_transfers (transfer_id, partition)
         SELECT * FROM unnest($1::uuid[], $2::integer[])",
    )
    .bind(ids)
    .bind(drivers)
    .execute(&mut *connection)
    .await?;
    let positions: Vec<i64> = end.heads.iter().map(|(position, _)| signed(*position)).collect();
    let hashes: Vec<&[u8]> = end.heads.iter().map(|(_, hash)| hash.as_slice()).collect();
    sqlx::query(
        "WITH moved AS (
           UPDATE partitions p SET head_position = h.position, head_hash = h.hash
             FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS h (position, hash, number)
            WHERE p.partition = h.number - 1
           RETURNING p.partition, p.head_position)
         SELECT pg_notify('florin_journal', partition || ':' || head_position) FROM moved",
    )
    .bind(positions)
    .bind(hashes)
    .execute(&mut *connection)
    .await?;
    // Postgres takes a table for empty that it has not looked at since, and would walk through all
    // events for each key.
    connection.execute("ANALYZE events, idempotency_keys").await?;
    let astray: Option<(String, String)> = sqlx::query_as(
        "SELECT k.wallet_id, k.request_id FROM idempotency_keys k
          WHERE k.transfer_id IS NOT NULL
            AND NOT EXISTS (SELECT FROM events e
                             WHERE e.aggregate_id = k.transfer_id::text
                               AND e.aggregate_type = 'Transfer' AND e.sequence = 1)
          LIMIT 1",
    )
    .fetch_optional(connection)
    .await?;
    match astray {
        Some((scope, request_id)) => Err(ImportError::NoTransfer { scope, request_id }),
        None => Ok(()),
    }
}

//! The one statement that appends a batch.
//!
//! The head of the partition is moved `WHERE` it is where the batch was decided, and everything else
//! is inserted `FROM` that moved row: nothing when somebody else was first. One round trip and one
//! commit, whatever the size of the batch. Positions count on from the expected head, so they are
//! dense and in commit order by construction.

use std::sync::LazyLock;

use chrono::DateTime;
use florin_application::command::Outcome;
use florin_application::journal::{AppendError, Batch, Head, JournalError, KeptKey};
use sqlx::PgConnection;
use sqlx::error::DatabaseError;

use super::row::signed;

/// The arrays are taken apart in the list of a select, row by row: in a FROM each would be copied as
/// a whole first, which costs a sixth of the insert without its indexes.
const HEAD_AND_EVENTS: &str = "
WITH head AS (
  UPDATE partitions SET head_position = $3, head_hash = $4
   WHERE partition = $1 AND head_position = $2
  RETURNING partition),
appended AS (
  INSERT INTO events (partition, position, recorded_at, aggregate_type, aggregate_id, sequence,
                      event_type, event_version, payload, metadata, balance, hash)
  SELECT e.partition, $2 + e.number, $5, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type,
         e.event_version, e.payload::json, e.metadata::json, e.balance::numeric, e.hash
    FROM (SELECT head.partition, generate_series(1, cardinality($6::text[])) AS number,
                 unnest($6::text[]) AS aggregate_type, unnest($7::text[]) AS aggregate_id,
                 unnest($8::bigint[]) AS sequence, unnest($9::text[]) AS event_type,
                 unnest($10::text[]) AS event_version, unnest($11::text[]) AS payload,
                 unnest($12::text[]) AS metadata, unnest($13::text[]) AS balance,
                 unnest($14::bytea[]) AS hash
            FROM head) e)";

const KEYS: &str = ",
kept AS (
  INSERT INTO idempotency_keys (wallet_id, request_id, fingerprint, outcome, transfer_id, recorded_at)
  SELECT k.wallet_id, k.request_id, k.fingerprint, k.outcome::json, k.transfer_id, $5
    FROM head, unnest($15::text[], $16::text[], $17::bytea[], $18::text[], $19::uuid[])
         AS k (wallet_id, request_id, fingerprint, outcome, transfer_id))";

const TRANSFERS: &str = ",
started AS (
  INSERT INTO unfinished_transfers (transfer_id, partition)
  SELECT t.transfer_id, head.partition FROM head, unnest($20::uuid[]) AS t (transfer_id)),
finished AS (
  DELETE FROM unfinished_transfers USING head
   WHERE transfer_id = ANY ($21::uuid[]))";

/// Wakes followers on the channel `florin_journal`, with `<partition>:<head>`.
const NOTIFY: &str = "
SELECT pg_notify('florin_journal', head.partition || ':' || $3) FROM head";

/// Most batches have no transfer between partitions, and some no keys: the parts that a batch does
/// not need are left out, which saves Postgres starting and ending them.
static STATEMENTS: LazyLock<[String; 3]> = LazyLock::new(|| {
    [
        format!("{HEAD_AND_EVENTS}{NOTIFY}"),
        format!("{HEAD_AND_EVENTS}{KEYS}{NOTIFY}"),
        format!("{HEAD_AND_EVENTS}{KEYS}{TRANSFERS}{NOTIFY}"),
    ]
});

/// Appends the batch, if the head is where it was decided.
pub(super) async fn append(
    connection: &mut PgConnection,
    batch: &Batch,
) -> Result<(), AppendError> {
    let [events_only, with_keys, with_transfers] = &*STATEMENTS;
    let transfers = !(batch.started.is_empty() && batch.finished.is_empty());
    let statement = match (transfers, batch.keys.is_empty()) {
        (true, _) => with_transfers,
        (false, false) => with_keys,
        (false, true) => events_only,
    };
    let mut query = bind_events(sqlx::query(statement), batch);
    if transfers || !batch.keys.is_empty() {
        query = bind_keys(query, batch)?;
    }
    if transfers {
        query = bind_transfers(query, batch);
    }
    match query.fetch_optional(connection).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(AppendError::Moved),
        Err(error) => Err(classify(error)),
    }
}

/// Has Postgres parse and plan the ordinary statements on a new connection, by appending nothing after
/// a head that cannot be: so that the first client does not wait for it.
pub(super) async fn warm_up(
    connection: &mut PgConnection,
    partition: u32,
) -> Result<(), AppendError> {
    let expected = Head { position: u64::MAX, ..Head::EMPTY };
    let batch = Batch::new(partition, expected, DateTime::UNIX_EPOCH);
    let [events_only, with_keys, _] = &*STATEMENTS;
    let moved = bind_events(sqlx::query(events_only), &batch).execute(&mut *connection).await;
    moved.map_err(classify)?;
    let moved = bind_keys(bind_events(sqlx::query(with_keys), &batch), &batch)?;
    moved.execute(connection).await.map_err(classify)?;
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind_events<'q>(query: Query<'q>, batch: &'q Batch) -> Query<'q> {
    let events = &batch.events;
    let head = batch.head();
    query
        .bind(i32::try_from(batch.partition).unwrap_or(i32::MAX))
        .bind(signed(batch.expected.position))
        .bind(signed(head.position))
        .bind(head.hash.to_vec())
        .bind(batch.recorded_at)
        .bind(events.iter().map(|event| event.aggregate_type).collect::<Vec<_>>())
        .bind(events.iter().map(|event| &*event.aggregate_id).collect::<Vec<_>>())
        .bind(events.iter().map(|event| signed(event.sequence)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| &*event.event_type).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.event_version.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.payload.as_str()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| &*event.metadata).collect::<Vec<_>>())
        .bind(
            events
                .iter()
                .map(|event| event.balance.map(|balance| balance.to_string()))
                .collect::<Vec<_>>(),
        )
        .bind(events.iter().map(|event| event.hash.as_slice()).collect::<Vec<_>>())
}

fn bind_keys<'q>(query: Query<'q>, batch: &'q Batch) -> Result<Query<'q>, AppendError> {
    let keys = &batch.keys;
    let outcomes: Vec<Option<String>> = keys
        .iter()
        .map(|kept| told(kept).map(serde_json::to_string).transpose())
        .collect::<Result<_, _>>()
        .map_err(rejected)?;
    Ok(query
        .bind(keys.iter().map(|kept| &*kept.key.scope).collect::<Vec<_>>())
        .bind(keys.iter().map(|kept| kept.key.request_id.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|kept| kept.fingerprint.0.as_slice()).collect::<Vec<_>>())
        .bind(outcomes)
        .bind(keys.iter().map(|kept| kept.transfer.map(|id| id.0)).collect::<Vec<_>>()))
}

/// What is written down of an outcome: nothing, where a transfer's stream tells it.
fn told(kept: &KeptKey) -> Option<&Outcome> {
    match kept.transfer {
        Some(_) => None,
        None => kept.outcome.as_deref(),
    }
}

fn bind_transfers<'q>(query: Query<'q>, batch: &'q Batch) -> Query<'q> {
    query
        .bind(batch.started.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind(batch.finished.iter().map(|id| id.0).collect::<Vec<_>>())
}

fn rejected(cause: serde_json::Error) -> AppendError {
    AppendError::Rejected(cause.into())
}

/// What a failed append means. Only what Postgres says of the batch itself is the batch's fault;
/// everything else leaves open whether it was appended.
fn classify(error: sqlx::Error) -> AppendError {
    let Some(database) = error.as_database_error() else {
        return AppendError::Unavailable(JournalError::Unavailable(error.into()));
    };
    let code = database.code().unwrap_or_default().into_owned();
    match code.as_str() {
        "23505" if is_of_keys(database) => AppendError::KeyTaken,
        // The second and third guard; a deadlock over keys that two partitions use at once.
        "23505" | "40001" | "40P01" => AppendError::Moved,
        // The batch breaks a law, or holds a value that Postgres cannot keep.
        code if code.starts_with("22") || code.starts_with("23") => {
            AppendError::Rejected(error.into())
        }
        _ => AppendError::Unavailable(JournalError::Unavailable(error.into())),
    }
}

fn is_of_keys(error: &dyn DatabaseError) -> bool {
    error.constraint() == Some("idempotency_keys_pkey")
}

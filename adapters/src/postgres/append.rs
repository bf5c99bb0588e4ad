//! The one statement that appends a batch.
//!
//! The head of the partition is moved `WHERE` it is where the batch was decided, and everything else
//! is inserted `FROM` that moved row: nothing when somebody else was first. One round trip and one
//! commit, whatever the size of the batch. Positions count on from the expected head, so they are
//! dense and in commit order by construction.

mod statement;

use chrono::DateTime;
use florin_application::command::Outcome;
use florin_application::journal::{AppendError, Batch, Head, JournalError, KeptKey};
use sqlx::PgConnection;
use sqlx::error::DatabaseError;

use super::calls::{Columns, in_order};
use super::row::signed;
use statement::{Calls, Parts};

/// Appends the batch, if the head is where it was decided.
pub(super) async fn append(
    connection: &mut PgConnection,
    batch: &Batch,
) -> Result<(), AppendError> {
    let query = bind(batch, Parts::of(batch))?;
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
    for parts in Parts::ORDINARY {
        bind(&batch, parts)?.execute(&mut *connection).await.map_err(classify)?;
    }
    Ok(())
}

pub(crate) type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// The statement of these parts, with what the batch has for each of them.
fn bind(batch: &Batch, parts: Parts) -> Result<Query<'_>, AppendError> {
    let mut query = bind_events(sqlx::query(parts.statement()), batch);
    if parts.calls != Calls::None {
        query = Columns::of(&in_order(&batch.calls)).bind(query);
    }
    if parts.keys {
        query = bind_keys(query, batch)?;
    }
    if parts.transfers {
        query = bind_transfers(query, batch);
    }
    Ok(query)
}

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

//! The dead letters of operations: those that came to no outcome. They are listed with all others;
//! here is what is decided about them.

use chrono::{DateTime, Utc};
use florin_projections::dead_letters::DeadLetter;
use sqlx::{PgExecutor, PgPool};

use super::CHANNEL;

/// Queues an operation again, with all attempts before it; says whether there was one to queue.
///
/// # Errors
/// When Postgres is away.
pub async fn replay(pool: &PgPool, partition: u32, letter: u64) -> Result<bool, sqlx::Error> {
    let statement = "
        WITH queued AS (
          UPDATE operations
             SET state = 'queued', attempts_before = attempts, due_at = now(),
                 publish_at = now(), finished_at = NULL, updated_at = now()
           WHERE partition = $1 AND letter = $2 AND state = 'failed' AND decided_by IS NULL
          RETURNING id)
        SELECT pg_notify($3, '') FROM queued";
    let query = sqlx::query(statement).bind(number(partition)).bind(position(letter));
    Ok(query.bind(CHANNEL).fetch_optional(pool).await?.is_some())
}

/// Decides that an operation stays failed; says whether that was open.
///
/// # Errors
/// When Postgres is away.
pub async fn discard(
    pool: &PgPool,
    (partition, letter): (u32, u64),
    by: &str,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let statement = "
        UPDATE operations SET decided_by = $3, reason = $4, updated_at = now()
         WHERE partition = $1 AND letter = $2 AND state = 'failed' AND decided_by IS NULL";
    let query = sqlx::query(statement).bind(number(partition)).bind(position(letter));
    Ok(query.bind(by).bind(reason).execute(pool).await?.rows_affected() > 0)
}

/// Notes that operators have been told of these, as they were set aside then: one that has failed
/// again since is yet to be told.
///
/// # Errors
/// When Postgres is away; they may then be told again.
pub async fn mark_told(
    executor: impl PgExecutor<'_>,
    letters: &[&DeadLetter],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE operations o SET told_at = now()
           FROM unnest($1::integer[], $2::bigint[], $3::timestamptz[])
                AS l (partition, letter, set_aside_at)
          WHERE o.partition = l.partition AND o.letter = l.letter
            AND o.set_aside_at = l.set_aside_at",
    )
    .bind(letters.iter().map(|letter| number(letter.id.partition)).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| position(letter.id.position)).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.first_at).collect::<Vec<DateTime<Utc>>>())
    .execute(executor)
    .await
    .map(drop)
}

/// There are 64 partitions at most.
fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// Letters are counted by Postgres, in a `bigint`.
fn position(letter: u64) -> i64 {
    i64::try_from(letter).unwrap_or(i64::MAX)
}

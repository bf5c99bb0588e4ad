//! The dead letters of operations: those that came to no outcome. They are listed with all others;
//! here is what is decided about them.

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

/// Notes that operators have been told of these.
///
/// # Errors
/// When Postgres is away; they may then be told again.
pub async fn mark_told(
    executor: impl PgExecutor<'_>,
    letters: &[(u32, u64)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE operations o SET told_at = now()
           FROM unnest($1::integer[], $2::bigint[]) AS l (partition, letter)
          WHERE o.partition = l.partition AND o.letter = l.letter",
    )
    .bind(letters.iter().map(|(partition, _)| number(*partition)).collect::<Vec<_>>())
    .bind(letters.iter().map(|(_, letter)| position(*letter)).collect::<Vec<_>>())
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

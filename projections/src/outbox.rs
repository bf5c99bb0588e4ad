//! What goes out to others besides the journal: alerts and dead letters, each under an id that never
//! changes.
//!
//! Both lie in tables of read models with a mark whether they were published. What was published is
//! on record here too, which no rebuild empties: a row that a fold made anew is then marked, and not
//! published again.

use std::collections::HashSet;

use sqlx::PgExecutor;

/// The channel that is notified when something is to be published.
pub const CHANNEL: &str = "florin_outbox";

/// Which of these ids were published.
///
/// # Errors
/// When Postgres is away.
pub async fn published(
    executor: impl PgExecutor<'_>,
    ids: &[String],
) -> Result<HashSet<String>, sqlx::Error> {
    let select = "SELECT message_id FROM published_messages WHERE message_id = ANY($1)";
    let ids: Vec<String> = sqlx::query_scalar(select).bind(ids).fetch_all(executor).await?;
    Ok(ids.into_iter().collect())
}

/// Puts on record that these were published.
///
/// # Errors
/// When Postgres is away; they may then be published again.
pub async fn record(executor: impl PgExecutor<'_>, ids: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO published_messages (message_id) SELECT unnest($1::text[])
         ON CONFLICT DO NOTHING",
    )
    .bind(ids)
    .execute(executor)
    .await
    .map(drop)
}

//! The alerts that are to be published.

use florin_domain::fraud::Alert;
use sqlx::PgExecutor;

use super::row::{COLUMNS, alert};

/// The oldest alerts that were not published, in the order of their events.
///
/// # Errors
/// When Postgres is away.
pub async fn unpublished(
    executor: impl PgExecutor<'_>,
    limit: u32,
) -> Result<Vec<Alert>, sqlx::Error> {
    let statement = format!(
        "SELECT {COLUMNS} FROM fraud_alerts a WHERE a.published_at IS NULL
          ORDER BY a.at, a.partition, a.position LIMIT $1"
    );
    let rows = sqlx::query(&statement).bind(i64::from(limit)).fetch_all(executor).await?;
    rows.iter().map(alert).collect()
}

/// Marks alerts that [`crate::outbox::record`] has on record as published.
///
/// # Errors
/// When Postgres is away.
pub async fn mark_published(
    executor: impl PgExecutor<'_>,
    ids: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE fraud_alerts a SET published_at = p.published_at
           FROM published_messages p WHERE p.message_id = ANY($1) AND a.id = p.message_id",
    )
    .bind(ids)
    .execute(executor)
    .await
    .map(drop)
}

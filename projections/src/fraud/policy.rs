//! The alerts that freeze a wallet: those of the rules that say so, of events that were recorded
//! after the rule was switched to freezing, each once.
//!
//! Up to where a rule's alerts have been dealt with is a position per partition, which is not
//! derived and only moves forward, at last to the checkpoint of the fold. An alert that appears
//! behind it, because a wallet was folded anew or a rebuild judged the past by other thresholds,
//! freezes nobody: somebody is looking at it already. Nor does one that was dismissed meanwhile.

use florin_domain::fraud::{Alert, Rule};
use sqlx::{PgExecutor, PgPool, Row as _};

use super::Fraud;
use super::row::{COLUMNS, alert};
use crate::fact::{number, signed, unsigned};
use crate::read_model::ReadModel as _;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Alerts that freeze, those of one rule and partition in the order of their events.
    pub alerts: Vec<Alert>,
    /// Whether there may be more.
    pub is_full: bool,
    /// Where the fold was in each partition.
    pub checkpoints: Vec<(u32, u64)>,
}

/// Switches these rules to freezing, from the end of the journal on, and all others off. A rule that
/// was freezing before goes on where it was.
///
/// # Errors
/// When Postgres is away.
pub async fn begin(executor: impl PgExecutor<'_>, rules: &[Rule]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH ended AS (DELETE FROM freeze_policies WHERE rule <> ALL ($1))
         INSERT INTO freeze_policies (rule, partition, position)
         SELECT r.rule, p.partition, p.head_position
           FROM unnest($1::text[]) AS r (rule) CROSS JOIN partitions p
         ON CONFLICT DO NOTHING",
    )
    .bind(rules.iter().map(|rule| rule.as_str()).collect::<Vec<_>>())
    .execute(executor)
    .await
    .map(drop)
}

/// The next alerts that freeze.
///
/// # Errors
/// When Postgres is away.
pub async fn pending(pool: &PgPool, limit: u32) -> Result<Pending, sqlx::Error> {
    // First the checkpoints: every alert up to there can be seen afterwards.
    let select = "SELECT partition, position FROM checkpoints WHERE projection = $1";
    let rows = sqlx::query(select).bind(Fraud::NAME).fetch_all(pool).await?;
    let checkpoints: Vec<(u32, u64)> = rows
        .iter()
        .map(|row| {
            let partition = u32::try_from(row.try_get::<i32, _>("partition")?).unwrap_or(0);
            Ok((partition, unsigned(row.try_get("position")?)))
        })
        .collect::<Result<_, sqlx::Error>>()?;
    let statement = format!(
        "SELECT {COLUMNS}
           FROM freeze_policies f
           JOIN unnest($1::integer[], $2::bigint[]) AS c (partition, position)
                ON c.partition = f.partition
          CROSS JOIN LATERAL
                (SELECT n.* FROM fraud_alerts n
                  WHERE n.rule = f.rule AND n.partition = f.partition
                    AND n.position > f.position AND n.position <= c.position
                    AND NOT EXISTS (SELECT FROM fraud_decisions d
                                     WHERE d.alert_id = n.id AND d.verdict = 'dismissed')
                  ORDER BY n.position LIMIT $3) AS a
          ORDER BY a.at, a.partition, a.position, a.rule LIMIT $3"
    );
    let rows = sqlx::query(&statement)
        .bind(checkpoints.iter().map(|(partition, _)| number(*partition)).collect::<Vec<_>>())
        .bind(checkpoints.iter().map(|(_, position)| signed(*position)).collect::<Vec<_>>())
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?;
    let alerts = rows.iter().map(alert).collect::<Result<Vec<_>, _>>()?;
    let is_full = alerts.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(Pending { alerts, is_full, checkpoints })
}

/// Notes that an alert has been dealt with, and those of its rule before it.
///
/// # Errors
/// When Postgres is away; it may then come again.
pub async fn dealt_with(executor: impl PgExecutor<'_>, alert: &Alert) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE freeze_policies SET position = $3
          WHERE rule = $1 AND partition = $2 AND position < $3",
    )
    .bind(alert.rule.as_str())
    .bind(number(alert.event.partition))
    .bind(signed(alert.event.position))
    .execute(executor)
    .await
    .map(drop)
}

/// Notes that there is nothing left up to these positions.
///
/// # Errors
/// When Postgres is away.
pub async fn reached(
    executor: impl PgExecutor<'_>,
    checkpoints: &[(u32, u64)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE freeze_policies f SET position = c.position
           FROM unnest($1::integer[], $2::bigint[]) AS c (partition, position)
          WHERE f.partition = c.partition AND f.position < c.position",
    )
    .bind(checkpoints.iter().map(|(partition, _)| number(*partition)).collect::<Vec<_>>())
    .bind(checkpoints.iter().map(|(_, position)| signed(*position)).collect::<Vec<_>>())
    .execute(executor)
    .await
    .map(drop)
}

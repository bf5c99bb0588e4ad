//! What the live rules found, as it is on record.

use florin_domain::fraud::{Alert, Rule};
use sqlx::{PgExecutor, Row as _};

use crate::fact::{number, signed};
use crate::fraud::review::Verdict;
use crate::fraud::row::{COLUMNS, alert};

/// An alert to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// What was found.
    pub alert: Alert,
    /// Whether somebody decided that it was no fraud.
    pub is_dismissed: bool,
}

impl Live {
    /// One that nobody has seen.
    pub(super) fn undecided(alert: Alert) -> Self {
        Self { alert, is_dismissed: false }
    }

    pub(super) fn wallet(&self) -> &str {
        self.alert.wallet.as_str()
    }
}

/// The alerts at the events of a partition after a position and up to another, in their order. Of a rule
/// that this version does not know there are none.
///
/// # Errors
/// When Postgres is away.
pub async fn between(
    executor: impl PgExecutor<'_>,
    partition: u32,
    after: u64,
    up_to: u64,
) -> Result<Vec<Live>, sqlx::Error> {
    let statement = format!(
        "SELECT {COLUMNS},
                EXISTS (SELECT FROM fraud_decisions d
                         WHERE d.alert_id = a.id AND d.verdict = $5) AS is_dismissed
           FROM fraud_alerts a
          WHERE a.rule = ANY($1) AND a.partition = $2 AND a.position > $3 AND a.position <= $4
          ORDER BY a.position"
    );
    let rows = sqlx::query(&statement)
        .bind(Rule::ALL.iter().map(|rule| rule.as_str()).collect::<Vec<_>>())
        .bind(number(partition))
        .bind(signed(after))
        .bind(signed(up_to))
        .bind(Verdict::Dismissed.name())
        .fetch_all(executor)
        .await?;
    rows.iter()
        .map(|row| Ok(Live { alert: alert(row)?, is_dismissed: row.try_get("is_dismissed")? }))
        .collect()
}

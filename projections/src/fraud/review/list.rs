//! The list of alerts, newest first, page by page.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use florin_domain::WalletId;
use florin_domain::fraud::Rule;
use sqlx::{PgExecutor, Row as _};
use thiserror::Error;

use super::{DECISIONS, JOINS, Reviewed, State};
use crate::checkpoint::positions;
use crate::fraud::row::COLUMNS;

/// The most alerts of a page.
pub const MAX_LIST: u32 = 200;

/// How many alerts are looked at for one page when a filter passes few of them: some ten
/// milliseconds. The page is then short, and the next one goes on from there.
pub const SCAN: i64 = 10_000;

/// Which alerts are listed; all of them by default.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this wallet.
    pub wallet: Option<WalletId>,
    /// Of this rule.
    pub rule: Option<Rule>,
    /// In this state.
    pub state: Option<State>,
    /// Of events recorded then or later.
    pub from: Option<DateTime<Utc>>,
    /// Of events recorded before.
    pub to: Option<DateTime<Utc>>,
}

/// Where a page begins: after the alert of this time and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    at: DateTime<Utc>,
    id: String,
}

/// A text that is no [`Cursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a cursor is the nextCursor of the page before")]
pub struct NoCursor;

/// The longest id of an alert that is asked for: twice the longest that there can be.
pub const MAX_ALERT_ID: usize = 128;

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at.timestamp_micros(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let (at, id) = text.split_once('.').ok_or(NoCursor)?;
        let at = at.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or(NoCursor)?;
        match is_alert_id(id) {
            true => Ok(Self { at, id: id.to_owned() }),
            false => Err(NoCursor),
        }
    }
}

/// Whether a text has the form of an alert's id, `<rule>:<partition>-<position>`.
pub fn is_alert_id(text: &str) -> bool {
    let is_event = |event: &str| event.parse::<florin_domain::fraud::EventId>().is_ok();
    let is_name = |rule: &str| !rule.is_empty() && rule.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() <= MAX_ALERT_ID
        && text.split_once(':').is_some_and(|(rule, event)| is_name(rule) && is_event(event))
}

/// A page of the list, newest first.
#[derive(Debug, Clone)]
pub struct AlertList {
    /// The alerts.
    pub alerts: Vec<Reviewed>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
    /// Where the model is in every partition: the list is of one moment.
    pub positions: Vec<(u32, u64)>,
}

/// The newest alerts (before a cursor, if there is one).
///
/// # Errors
/// When Postgres is away.
pub async fn list(
    executor: impl PgExecutor<'_>,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<AlertList, sqlx::Error> {
    let limit = usize::try_from(limit.clamp(1, MAX_LIST)).unwrap_or(1);
    let fetched = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let passes_all = filter.rule.is_none() && filter.state.is_none();
    let rows = sqlx::query(&list_statement())
        .bind(filter.wallet.as_ref().map(WalletId::as_str))
        .bind(filter.rule.map(Rule::as_str))
        .bind(filter.state.map(State::name))
        .bind(filter.from)
        .bind(filter.to)
        .bind(after.map(|cursor| cursor.at))
        .bind(after.map_or("", |cursor| &cursor.id))
        .bind(if passes_all { fetched } else { SCAN })
        .bind(fetched)
        .fetch_all(executor)
        .await?;
    let mut list = AlertList { alerts: Vec::new(), next: None, positions: Vec::new() };
    if let Some(first) = rows.first() {
        list.positions = positions(first)?;
        if let Some(id) = first.try_get("scanned_id")? {
            list.next = Some(Cursor { at: first.try_get("scanned_at")?, id });
        }
    }
    for row in &rows {
        if row.try_get::<Option<&str>, _>("id")?.is_some() {
            list.alerts.push(Reviewed::from_row(row)?);
        }
    }
    if list.alerts.len() > limit {
        list.alerts.truncate(limit);
        let last = list.alerts.last().map(|last| &last.alert);
        list.next = last.map(|alert| Cursor { at: alert.at, id: alert.id.clone() });
    }
    Ok(list)
}

/// One moment: every checkpoint, where the scan ends if it does not reach the oldest alert, and the
/// alerts in it that pass. Those of a wallet are found by their own index.
fn list_statement() -> String {
    let before = "a.at >= coalesce($4, '-infinity') AND a.at < coalesce($5, 'infinity')
     AND (a.at, a.id) < (coalesce($6, 'infinity'), $7)
   ORDER BY a.at DESC, a.id DESC LIMIT $8";
    format!(
        "WITH at AS (
  SELECT array_agg(c.partition ORDER BY c.partition) AS partitions,
         array_agg(c.position ORDER BY c.partition)  AS checkpoints
    FROM checkpoints c WHERE c.projection = 'fraud'),
scan AS (
  SELECT * FROM (SELECT a.* FROM fraud_alerts a WHERE $1::text IS NULL AND {before}) AS every
  UNION ALL
  SELECT * FROM (SELECT a.* FROM fraud_alerts a WHERE a.wallet_id = $1 AND {before}) AS owned),
last AS (
  SELECT s.at AS scanned_at, s.id AS scanned_id FROM scan s
   WHERE (SELECT count(*) FROM scan) = $8 ORDER BY s.at, s.id LIMIT 1),
page AS (
  SELECT {COLUMNS}, {DECISIONS} FROM scan a {JOINS}
   WHERE ($2::text IS NULL OR a.rule = $2)
     AND ($3::text IS NULL OR $3 = CASE WHEN d.alert_id IS NOT NULL THEN 'dismissed'
                                        WHEN k.alert_id IS NOT NULL THEN 'acknowledged'
                                        ELSE 'open' END)
   ORDER BY a.at DESC, a.id DESC LIMIT $9)
SELECT at.*, last.*, page.* FROM at LEFT JOIN last ON true LEFT JOIN page ON true
 ORDER BY page.at DESC, page.id DESC"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_alert_names_rule_and_event() {
        assert!(is_alert_id("largeOutflow:0-17"));
        let long = format!("{}:0-1", "x".repeat(MAX_ALERT_ID));
        for other in ["", "largeOutflow", "largeOutflow:17", ":0-1", "a b:0-1", "a:0-1-2", &long] {
            assert!(!is_alert_id(other), "{other:?}");
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let at = DateTime::from_timestamp_micros(1_700_000_000_000_001).unwrap();
        let cursor = Cursor { at, id: "largeOutflow:0-17".to_owned() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for other in ["", "17", ".a:0-1", "x.a:0-1", "17.a", "99999999999999999999.a:0-1"] {
            assert_eq!(other.parse::<Cursor>(), Err(NoCursor), "{other:?}");
        }
    }
}

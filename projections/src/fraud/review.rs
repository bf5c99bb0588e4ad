//! The alerts for people: what was found, and what they decided about it.
//!
//! ```text
//! open ──▶ acknowledged ──▶ dismissed
//!   └──────────────────────────▲
//! ```
//!
//! A verdict is a row of `fraud_decisions`, which nobody changes and no rebuild empties; the state of
//! an alert is its last one. Each verdict is given once, with who and why: the same words again are
//! the same decision, other words come too late.

mod list;

pub use list::{
    AlertList, Cursor, Filter, MAX_ALERT_ID, MAX_LIST, NoCursor, SCAN, is_alert_id, list,
};

use std::str::FromStr;

use chrono::{DateTime, Utc};
use florin_domain::WalletId;
use florin_domain::fraud::Alert;
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, PgPool, Row as _};
use thiserror::Error;

use super::row::{COLUMNS, alert};

/// What was decided about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody looks after it.
    Acknowledged,
    /// It was no fraud: it no longer makes its wallet suspicious.
    Dismissed,
}

impl Verdict {
    /// As it is stored, and as clients read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Dismissed => "dismissed",
        }
    }
}

/// The last verdict, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has decided.
    Open,
    /// As [`Verdict::Acknowledged`].
    Acknowledged,
    /// As [`Verdict::Dismissed`].
    Dismissed,
}

/// A text that is no [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an alert is open, acknowledged or dismissed")]
pub struct NoState;

impl State {
    /// As clients read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => Verdict::Acknowledged.name(),
            Self::Dismissed => Verdict::Dismissed.name(),
        }
    }
}

impl FromStr for State {
    type Err = NoState;

    fn from_str(name: &str) -> Result<Self, NoState> {
        let all = [Self::Open, Self::Acknowledged, Self::Dismissed];
        all.into_iter().find(|state| state.name() == name).ok_or(NoState)
    }
}

/// Who decided what, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What.
    pub verdict: Verdict,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// An alert and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    /// What was found.
    pub alert: Alert,
    /// In the order open → acknowledged → dismissed.
    pub decisions: Vec<Decision>,
    /// When it was published, once it was.
    pub published_at: Option<DateTime<Utc>>,
}

impl Reviewed {
    /// The last verdict.
    pub fn state(&self) -> State {
        match self.decisions.last().map(|decision| decision.verdict) {
            None => State::Open,
            Some(Verdict::Acknowledged) => State::Acknowledged,
            Some(Verdict::Dismissed) => State::Dismissed,
        }
    }

    fn decision(&self, verdict: Verdict) -> Option<&Decision> {
        self.decisions.iter().find(|decision| decision.verdict == verdict)
    }

    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut decisions = Vec::new();
        for (verdict, by, reason, at) in [
            (Verdict::Acknowledged, "acknowledged_by", "acknowledged_for", "acknowledged_at"),
            (Verdict::Dismissed, "dismissed_by", "dismissed_for", "dismissed_at"),
        ] {
            if let Some(by) = row.try_get(by)? {
                let (reason, at) = (row.try_get(reason)?, row.try_get(at)?);
                decisions.push(Decision { verdict, by, reason, at });
            }
        }
        Ok(Self { alert: alert(row)?, decisions, published_at: row.try_get("published_at")? })
    }
}

/// What [`Reviewed::from_row`] reads besides the alert; `a` is joined with [`JOINS`].
const DECISIONS: &str = "a.published_at, \
     k.decided_by AS acknowledged_by, k.reason AS acknowledged_for, \
     k.decided_at AS acknowledged_at, \
     d.decided_by AS dismissed_by, d.reason AS dismissed_for, d.decided_at AS dismissed_at";

const JOINS: &str = "
  LEFT JOIN fraud_decisions k ON k.alert_id = a.id AND k.verdict = 'acknowledged'
  LEFT JOIN fraud_decisions d ON d.alert_id = a.id AND d.verdict = 'dismissed'";

/// One alert, if there is one of that id.
///
/// # Errors
/// When Postgres is away.
pub async fn show(
    executor: impl PgExecutor<'_>,
    id: &str,
) -> Result<Option<Reviewed>, sqlx::Error> {
    let statement =
        format!("SELECT {COLUMNS}, {DECISIONS} FROM fraud_alerts a {JOINS} WHERE a.id = $1");
    let row = sqlx::query(&statement).bind(id).fetch_optional(executor).await?;
    row.as_ref().map(Reviewed::from_row).transpose()
}

/// Why a verdict does not count.
#[derive(Debug, Error)]
pub enum ReviewError {
    /// There is no such alert.
    #[error("there is no such alert")]
    NotFound,
    /// Somebody else, or the same person in other words, was earlier.
    #[error("the alert was {} by {} before", .0.verdict.name(), .0.by)]
    Decided(Decision),
    /// Postgres is away; the verdict may count or not.
    #[error("Postgres is away: {0}")]
    Away(#[from] sqlx::Error),
}

/// What a verdict came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The alert as it is now.
    pub alert: Reviewed,
    /// Whether the same decision had been made before.
    pub is_repeated: bool,
}

/// Decides about an alert.
///
/// # Errors
/// [`ReviewError`].
pub async fn decide(
    pool: &PgPool,
    id: &str,
    verdict: Verdict,
    by: &str,
    reason: Option<&str>,
) -> Result<Decided, ReviewError> {
    let inserted = sqlx::query(
        "INSERT INTO fraud_decisions (alert_id, verdict, decided_by, reason)
         SELECT a.id, $2, $3, $4 FROM fraud_alerts a
          WHERE a.id = $1 AND NOT EXISTS (SELECT FROM fraud_decisions d
                                           WHERE d.alert_id = a.id AND d.verdict = 'dismissed')
         ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(verdict.name())
    .bind(by)
    .bind(reason)
    .execute(pool)
    .await?;
    let alert = show(pool, id).await?.ok_or(ReviewError::NotFound)?;
    let given = alert.decision(verdict);
    if given.is_some_and(|given| given.by == by && given.reason.as_deref() == reason) {
        return Ok(Decided { alert, is_repeated: inserted.rows_affected() == 0 });
    }
    // It was inserted unless a verdict stood in its way.
    let before = given.or(alert.decisions.last());
    Err(before.cloned().map_or(ReviewError::NotFound, ReviewError::Decided))
}

/// How many reasons for suspicion are given: the newest ones, one sentence each.
pub const MAX_REASONS: i64 = 5;

/// Why a wallet is suspicious: the newest alerts that were not dismissed; `None` without any.
///
/// # Errors
/// When Postgres is away.
pub async fn suspicion(
    executor: impl PgExecutor<'_>,
    wallet: &WalletId,
) -> Result<Option<Vec<String>>, sqlx::Error> {
    let reasons: Vec<String> = sqlx::query_scalar(
        "SELECT a.rule || ': ' || a.reason FROM fraud_alerts a
          WHERE a.wallet_id = $1
            AND NOT EXISTS (SELECT FROM fraud_decisions d
                             WHERE d.alert_id = a.id AND d.verdict = 'dismissed')
          ORDER BY a.at DESC, a.id DESC LIMIT $2",
    )
    .bind(wallet.as_str())
    .bind(MAX_REASONS)
    .fetch_all(executor)
    .await?;
    Ok((!reasons.is_empty()).then_some(reasons))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_by_name() {
        assert_eq!("dismissed".parse(), Ok(State::Dismissed));
        assert_eq!("closed".parse::<State>(), Err(NoState));
    }
}

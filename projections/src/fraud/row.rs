//! A row of `fraud_alerts` as the domain's alert.

use florin_domain::fraud::{Alert, EventId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::column::{currency, money, unreadable};
use crate::fact::unsigned;

/// What [`alert`] reads, of a table or query called `a`.
pub(super) const COLUMNS: &str = "a.id, a.wallet_id, a.rule, a.partition, a.position, a.at, \
     a.evidence, a.sum, a.currency, a.reason";

pub(super) fn alert(row: &PgRow) -> Result<Alert, sqlx::Error> {
    let partition = u32::try_from(row.try_get::<i32, _>("partition")?).unwrap_or(0);
    let of = |position: i64| EventId { partition, position: unsigned(position) };
    let evidence: Vec<i64> = row.try_get("evidence")?;
    let wallet: &str = row.try_get("wallet_id")?;
    let rule: &str = row.try_get("rule")?;
    let currency = currency(row)?;
    Ok(Alert {
        id: row.try_get("id")?,
        rule: rule.parse().map_err(|error| unreadable("rule", error))?,
        wallet: wallet.parse().map_err(|error| unreadable("wallet_id", error))?,
        event: of(row.try_get("position")?),
        at: row.try_get("at")?,
        count: evidence.len(),
        evidence: evidence.into_iter().map(of).collect(),
        sum: money(row, "sum", currency)?,
        currency,
        reason: row.try_get("reason")?,
    })
}

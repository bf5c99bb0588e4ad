//! A wallet's statement: what it held at the beginning of a period, every movement, and what it held
//! at the end.
//!
//! The balances are those that the events recorded, the totals are sums of amounts: that they agree is
//! checked whenever a statement is made.

use chrono::{DateTime, Utc};
use florin_domain::money::zero;
use florin_domain::{Currency, WalletId};
use rust_decimal::Decimal;
use sqlx::{PgExecutor, Row as _};

use super::Entry;
use super::read::{entry, no_answer};
use crate::checkpoint::ReadAt;
use crate::fact::{number, signed, unsigned};

/// The most entries of a statement: some megabytes, and more than anybody reads or prints. A longer
/// period is told in parts, or page by page in the history.
pub const MAX_STATEMENT: u64 = 10_000;

/// Of when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    /// Recorded then or later; from the first entry without.
    pub from: Option<DateTime<Utc>>,
    /// Recorded before; up to the last entry without.
    pub to: Option<DateTime<Utc>>,
}

/// What moved a wallet's money in a period, oldest first.
#[derive(Debug, Clone)]
pub struct Statement {
    /// What the wallet held at the beginning.
    pub opening: Decimal,
    /// The entries; none of them if there are more than [`MAX_STATEMENT`].
    pub entries: Vec<Entry>,
    /// How many there are.
    pub count: u64,
    /// What it is as of.
    pub at: ReadAt,
}

/// What the entries come to, in the scale of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// What the wallet held at the beginning.
    pub opening: Decimal,
    /// What came in, and in how many entries.
    pub money_in: (Decimal, u64),
    /// What went out, and in how many entries.
    pub money_out: (Decimal, u64),
    /// What it held at the end.
    pub closing: Decimal,
}

impl Statement {
    /// The totals; `None` if opening + in − out is not what the last entry says that the wallet holds.
    pub fn totals(&self, currency: Currency) -> Option<Totals> {
        let mut opening = self.opening;
        opening.rescale(currency.decimals());
        let nothing = (zero(currency), 0);
        let (mut money_in, mut money_out) = (nothing, nothing);
        for entry in &self.entries {
            let (sum, count) = if entry.kind.is_in() { &mut money_in } else { &mut money_out };
            *sum = sum.checked_add(entry.amount)?;
            *count += 1;
        }
        let closing = self.entries.last().map_or(opening, |entry| entry.balance_after);
        let expected = opening.checked_add(money_in.0)?.checked_sub(money_out.0)?;
        (closing == expected).then_some(Totals { opening, money_in, money_out, closing })
    }
}

/// A wallet's statement; empty for a wallet that is not known here.
///
/// # Errors
/// When Postgres is away.
pub async fn statement(
    executor: impl PgExecutor<'_>,
    partition: u32,
    wallet: &WalletId,
    period: Period,
) -> Result<Statement, sqlx::Error> {
    let rows = sqlx::query(STATEMENT)
        .bind(wallet.as_str())
        .bind(number(partition))
        .bind(period.from)
        .bind(period.to)
        .bind(signed(MAX_STATEMENT))
        .fetch_all(executor)
        .await?;
    let mut statement =
        Statement { opening: Decimal::ZERO, entries: Vec::new(), count: 0, at: no_answer() };
    if let Some(first) = rows.first() {
        statement.at = ReadAt::from_row(first)?;
        statement.opening = first.try_get::<Option<Decimal>, _>("opening")?.unwrap_or_default();
        let (low, top): (i64, i64) = (first.try_get("low")?, first.try_get("top")?);
        statement.count = unsigned(top - low + 1);
    }
    for row in &rows {
        if row.try_get::<Option<i64>, _>("entry")?.is_some() {
            statement.entries.push(entry(row)?);
        }
    }
    Ok(statement)
}

/// One statement, so one moment: the checkpoint, the range of entries, the balance before it, and the
/// entries if they are not too many.
const STATEMENT: &str = concat!(
    bounds!(),
    "
SELECT b.*, before.balance_after AS opening, m.*
  FROM bounds b
  LEFT JOIN movements before ON before.wallet_id = $1 AND before.entry = b.low - 1
  LEFT JOIN LATERAL (
    SELECT ",
    columns!(),
    "
      FROM movements m
     WHERE m.wallet_id = $1 AND m.entry BETWEEN b.low AND b.top AND b.top - b.low < $5
     ORDER BY m.entry) AS m ON true
 ORDER BY m.entry"
);

#[cfg(test)]
mod tests {
    use super::super::{Kind, Status};
    use super::*;

    fn entry(number: u64, kind: Kind, amount: &str, balance_after: &str) -> Entry {
        Entry {
            entry: number,
            kind,
            status: Status::Completed,
            failure: None,
            amount: amount.parse().unwrap(),
            currency: Currency::USD,
            balance_after: balance_after.parse().unwrap(),
            counterparty: None,
            reference: uuid::Uuid::from_u128(7),
            request_id: None,
            metadata: None,
            partition: 0,
            position: number,
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    fn statement(opening: &str, entries: Vec<Entry>) -> Statement {
        let count = entries.len() as u64;
        Statement { opening: opening.parse().unwrap(), entries, count, at: no_answer() }
    }

    #[test]
    fn opening_and_movements_come_to_the_closing_balance() {
        let entries = vec![
            entry(4, Kind::Deposit, "5.00", "15.00"),
            entry(5, Kind::TransferOut, "7.00", "8.00"),
            entry(6, Kind::TransferRefund, "7.00", "15.00"),
            entry(7, Kind::Withdrawal, "0.50", "14.50"),
        ];
        let totals = statement("10", entries).totals(Currency::USD).unwrap();
        let amounts = [totals.opening, totals.money_in.0, totals.money_out.0, totals.closing];
        assert_eq!(amounts.map(|sum| sum.to_string()), ["10.00", "12.00", "7.50", "14.50"]);
        assert_eq!((totals.money_in.1, totals.money_out.1), (2, 2));
    }

    #[test]
    fn an_empty_statement_closes_with_what_it_opens() {
        let totals = statement("0", vec![]).totals("JPY".parse().unwrap()).unwrap();
        assert_eq!(
            (totals.opening.to_string(), totals.closing.to_string()),
            ("0".into(), "0".into())
        );
    }

    #[test]
    fn a_statement_that_does_not_add_up_has_no_totals() {
        let entries = vec![entry(1, Kind::Deposit, "5.00", "5.01")];
        assert_eq!(statement("0", entries).totals(Currency::USD), None);
    }
}

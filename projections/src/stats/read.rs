//! What clients ask of the sums.

use chrono::{DateTime, NaiveDate, Utc};
use florin_domain::{Currency, WalletId};
use rust_decimal::Decimal;
use sqlx::{PgExecutor, Row as _};

use crate::checkpoint::ReadAt;
use crate::column::{currency, money};
use crate::fact::{number, unsigned};

/// The sums of a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletStats {
    /// Of what.
    pub currency: Currency,
    /// From the outside world, and in how many deposits.
    pub deposited: (Decimal, u64),
    /// To the outside world, and in how many withdrawals.
    pub withdrawn: (Decimal, u64),
    /// From other wallets, and in how many transfers.
    pub transferred_in: (Decimal, u64),
    /// To other wallets, and in how many transfers; refunded ones do not count.
    pub transferred_out: (Decimal, u64),
    /// When money last moved.
    pub last_activity_at: Option<DateTime<Utc>>,
}

/// What came in and went out on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayVolume {
    /// Which, in UTC.
    pub day: NaiveDate,
    /// Deposits and incoming transfers, and how many.
    pub money_in: (Decimal, u64),
    /// Withdrawals and outgoing transfers, and how many.
    pub money_out: (Decimal, u64),
}

/// The sums of a wallet, if the model knows it, and what they are as of.
///
/// # Errors
/// When Postgres is away.
pub async fn wallet(
    executor: impl PgExecutor<'_>,
    partition: u32,
    id: &WalletId,
) -> Result<(Option<WalletStats>, ReadAt), sqlx::Error> {
    let row = sqlx::query(
        "SELECT c.position AS checkpoint, p.since AS stale_since, s.*
           FROM (SELECT) AS one
           LEFT JOIN checkpoints c ON c.projection = 'stats' AND c.partition = $1
           LEFT JOIN parked_wallets p ON p.projection = 'stats' AND p.partition = $1
                                     AND p.wallet_id = $2
           LEFT JOIN wallet_stats s ON s.wallet_id = $2",
    )
    .bind(number(partition))
    .bind(id.as_str())
    .fetch_one(executor)
    .await?;
    let at = ReadAt::from_row(&row)?;
    if row.try_get::<Option<&str>, _>("wallet_id")?.is_none() {
        return Ok((None, at));
    }
    let currency = currency(&row)?;
    let sum = |amount, count| -> Result<_, sqlx::Error> {
        Ok((money(&row, amount, currency)?, unsigned(row.try_get(count)?)))
    };
    let stats = WalletStats {
        currency,
        deposited: sum("deposited", "deposits")?,
        withdrawn: sum("withdrawn", "withdrawals")?,
        transferred_in: sum("transferred_in", "transfers_in")?,
        transferred_out: sum("transferred_out", "transfers_out")?,
        last_activity_at: row.try_get("last_activity_at")?,
    };
    Ok((Some(stats), at))
}

/// The most days of one answer: a year.
pub const MAX_DAYS: i64 = 366;

/// The days on which a wallet's money moved, newest first, from one day up to and with another.
///
/// # Errors
/// When Postgres is away.
pub async fn volumes(
    executor: impl PgExecutor<'_>,
    id: &WalletId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<DayVolume>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT v.*, s.currency FROM wallet_volumes v JOIN wallet_stats s USING (wallet_id)
          WHERE v.wallet_id = $1 AND v.day BETWEEN $2 AND $3 ORDER BY v.day DESC LIMIT $4",
    )
    .bind(id.as_str())
    .bind(from)
    .bind(to)
    .bind(MAX_DAYS)
    .fetch_all(executor)
    .await?;
    rows.iter()
        .map(|row| {
            let currency = currency(row)?;
            let sum = |amount, count| -> Result<_, sqlx::Error> {
                Ok((money(row, amount, currency)?, unsigned(row.try_get(count)?)))
            };
            Ok(DayVolume {
                day: row.try_get("day")?,
                money_in: sum("money_in", "count_in")?,
                money_out: sum("money_out", "count_out")?,
            })
        })
        .collect()
}

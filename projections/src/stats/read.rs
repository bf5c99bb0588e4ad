//! What clients ask of the sums.

use chrono::{DateTime, NaiveDate, Utc};
use florin_domain::{Currency, WalletId};
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
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
    /// The days on which it moved, newest first.
    pub days: Vec<DayVolume>,
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

/// The most days of one answer: a year.
pub const MAX_DAYS: u32 = 366;

/// Which days are asked for: the newest of them on which money moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub from: Option<NaiveDate>,
    /// The last.
    pub to: Option<NaiveDate>,
    /// How many, at most [`MAX_DAYS`].
    pub limit: u32,
}

impl Days {
    /// None: the sums alone.
    pub const NONE: Self = Self { from: None, to: None, limit: 0 };
}

/// The sums of a wallet, if the model knows it, and what they are as of.
///
/// # Errors
/// When Postgres is away.
pub async fn wallet(
    executor: impl PgExecutor<'_>,
    partition: u32,
    id: &WalletId,
    days: Days,
) -> Result<(Option<WalletStats>, ReadAt), sqlx::Error> {
    let rows = sqlx::query(WALLET)
        .bind(number(partition))
        .bind(id.as_str())
        .bind(days.from)
        .bind(days.to)
        .bind(i64::from(days.limit.min(MAX_DAYS)))
        .fetch_all(executor)
        .await?;
    let Some(first) = rows.first() else {
        // Of a statement without a row, which cannot be.
        return Ok((None, ReadAt { position: 0, stale_since: None }));
    };
    let at = ReadAt::from_row(first)?;
    if first.try_get::<Option<&str>, _>("wallet_id")?.is_none() {
        return Ok((None, at));
    }
    let currency = currency(first)?;
    let sum = |row: &PgRow, amount, count| -> Result<_, sqlx::Error> {
        Ok((money(row, amount, currency)?, unsigned(row.try_get(count)?)))
    };
    let mut stats = WalletStats {
        currency,
        deposited: sum(first, "deposited", "deposits")?,
        withdrawn: sum(first, "withdrawn", "withdrawals")?,
        transferred_in: sum(first, "transferred_in", "transfers_in")?,
        transferred_out: sum(first, "transferred_out", "transfers_out")?,
        last_activity_at: first.try_get("last_activity_at")?,
        days: Vec::new(),
    };
    for row in &rows {
        if let Some(day) = row.try_get("day")? {
            stats.days.push(DayVolume {
                day,
                money_in: sum(row, "money_in", "count_in")?,
                money_out: sum(row, "money_out", "count_out")?,
            });
        }
    }
    Ok((Some(stats), at))
}

/// One statement, so one moment: the days add up to the sums, where all of them are asked for.
const WALLET: &str = "
SELECT c.position AS checkpoint, p.since AS stale_since, s.*,
       v.day, v.money_in, v.count_in, v.money_out, v.count_out
  FROM (SELECT) AS one
  LEFT JOIN checkpoints c ON c.projection = 'stats' AND c.partition = $1
  LEFT JOIN parked_wallets p ON p.projection = 'stats' AND p.partition = $1 AND p.wallet_id = $2
  LEFT JOIN wallet_stats s ON s.wallet_id = $2
  LEFT JOIN LATERAL (
    SELECT * FROM wallet_volumes v
     WHERE v.wallet_id = $2 AND ($3::date IS NULL OR v.day >= $3)
       AND ($4::date IS NULL OR v.day <= $4)
     ORDER BY v.day DESC LIMIT $5) AS v ON true
 ORDER BY v.day DESC";

//! What clients ask of the wallets.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_domain::wallet::Status;
use florin_domain::{Currency, WalletId};
use rust_decimal::Decimal;
use sqlx::{FromRow as _, PgExecutor, Row as _};

use super::{WalletRow, status_name};
use crate::checkpoint::{ReadAt, positions};
use crate::fact::{number, signed};

/// A wallet, if the model knows it, and what the answer is as of.
///
/// # Errors
/// When Postgres is away.
pub async fn wallet(
    executor: impl PgExecutor<'_>,
    partition: u32,
    id: &WalletId,
) -> Result<(Option<WalletRow>, ReadAt), sqlx::Error> {
    let row = sqlx::query(
        "SELECT c.position AS checkpoint, p.since AS stale_since, b.*
           FROM (SELECT) AS one
           LEFT JOIN checkpoints c ON c.projection = 'balance' AND c.partition = $1
           LEFT JOIN parked_wallets p ON p.projection = 'balance' AND p.partition = $1
                                     AND p.wallet_id = $2
           LEFT JOIN balances b ON b.wallet_id = $2",
    )
    .bind(number(partition))
    .bind(id.as_str())
    .fetch_one(executor)
    .await?;
    let known: Option<&str> = row.try_get("wallet_id")?;
    let wallet = known.is_some().then(|| WalletRow::from_row(&row)).transpose()?;
    Ok((wallet, ReadAt::from_row(&row)?))
}

/// The most wallets of a page of the list.
pub const MAX_LIST: u32 = 200;

/// How many wallets are looked at for one page when a filter passes few of them: some ten
/// milliseconds. The page is then short, and the next one goes on from there.
pub const SCAN: i64 = 10_000;

/// Which wallets are listed; all of them by default.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this currency.
    pub currency: Option<Currency>,
    /// In this status.
    pub status: Option<Status>,
    /// Of this owner.
    pub owner: Option<String>,
    /// Holding at least so much.
    pub min_balance: Option<Decimal>,
    /// Holding at most so much.
    pub max_balance: Option<Decimal>,
}

impl Filter {
    /// Whether every wallet that is looked at is listed. (An owner's wallets have an index.)
    fn passes_all(&self) -> bool {
        let Self { currency, status, owner: _, min_balance, max_balance } = self;
        currency.is_none() && status.is_none() && min_balance.is_none() && max_balance.is_none()
    }
}

/// A page of the list, by wallet id.
#[derive(Debug, Clone)]
pub struct WalletList {
    /// The wallets.
    pub wallets: Vec<WalletRow>,
    /// After which wallet the next page begins; `None` at the end.
    pub next: Option<String>,
    /// Where the model is in every partition: the list is of one moment.
    pub positions: Vec<(u32, u64)>,
    /// Of the wallets that are parked, since when they lack events.
    pub stale_since: HashMap<Arc<str>, DateTime<Utc>>,
}

/// The wallets after an id (the first ones without), in the order of their ids.
///
/// # Errors
/// When Postgres is away.
pub async fn list(
    executor: impl PgExecutor<'_>,
    filter: &Filter,
    after: Option<&str>,
    limit: u32,
) -> Result<WalletList, sqlx::Error> {
    let limit = usize::try_from(limit.clamp(1, MAX_LIST)).unwrap_or(1);
    let fetched = signed(limit as u64 + 1);
    let rows = sqlx::query(LIST)
        .bind(after.unwrap_or_default())
        .bind(filter.owner.as_deref())
        .bind(filter.currency.map(Currency::code))
        .bind(filter.status.map(status_name))
        .bind(filter.min_balance)
        .bind(filter.max_balance)
        .bind(if filter.passes_all() { fetched } else { SCAN })
        .bind(fetched)
        .fetch_all(executor)
        .await?;
    let mut list = WalletList {
        wallets: Vec::new(),
        next: None,
        positions: Vec::new(),
        stale_since: HashMap::new(),
    };
    if let Some(first) = rows.first() {
        list.positions = positions(first)?;
        list.next = first.try_get("scanned_to")?;
    }
    for row in &rows {
        if row.try_get::<Option<&str>, _>("wallet_id")?.is_some() {
            let wallet = WalletRow::from_row(row)?;
            if let Some(since) = row.try_get("stale_since")? {
                list.stale_since.insert(Arc::clone(&wallet.wallet_id), since);
            }
            list.wallets.push(wallet);
        }
    }
    if list.wallets.len() > limit {
        list.wallets.truncate(limit);
        list.next = list.wallets.last().map(|row| row.wallet_id.to_string());
    }
    Ok(list)
}

/// One moment: every checkpoint, where the scan ends if it does not reach the last wallet, and the
/// wallets in it that pass. An owner's wallets are found by their own index.
const LIST: &str = "
WITH at AS (
  SELECT array_agg(c.partition ORDER BY c.partition) AS partitions,
         array_agg(c.position ORDER BY c.partition)  AS checkpoints
    FROM checkpoints c WHERE c.projection = 'balance'),
scan AS (
  SELECT b.* FROM balances b
   WHERE b.wallet_id > $1 AND $2::text IS NULL ORDER BY b.wallet_id LIMIT $7),
owned AS (
  SELECT b.* FROM balances b
   WHERE b.wallet_id > $1 AND b.owner = $2 ORDER BY b.wallet_id LIMIT $7),
page AS (
  SELECT * FROM (SELECT * FROM scan UNION ALL SELECT * FROM owned) AS s
   WHERE ($3::text IS NULL OR s.currency = $3) AND ($4::text IS NULL OR s.status = $4)
     AND ($5::numeric IS NULL OR s.balance >= $5) AND ($6::numeric IS NULL OR s.balance <= $6)
   ORDER BY s.wallet_id LIMIT $8)
SELECT at.*, page.*,
       (SELECT p.since FROM parked_wallets p
         WHERE p.projection = 'balance' AND p.partition = page.partition
           AND p.wallet_id = page.wallet_id) AS stale_since,
       (SELECT max(e.wallet_id) FROM
         (SELECT s.wallet_id FROM scan s UNION ALL SELECT o.wallet_id FROM owned o) AS e
        HAVING count(*) = $7) AS scanned_to
  FROM at LEFT JOIN page ON true ORDER BY page.wallet_id";

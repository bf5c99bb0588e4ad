//! Pages of a wallet's history, newest first, each by a range of entry numbers.
//!
//! A place is found without counting: entries are numbered without gaps, so a cursor and a page
//! number are both a bound on the number, and a time is turned into one by bisection. What remains
//! of the filters (type, amounts, counterparty) is tested entry by entry, at most [`SCAN`] of them.

use chrono::{DateTime, Utc};
use florin_domain::{Currency, WalletId};
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row as _};
use uuid::Uuid;

use super::{Kind, Status};
use crate::checkpoint::ReadAt;
use crate::column::{currency, money};
use crate::fact::{number, signed, unsigned};

/// The most entries of a page.
pub const MAX_PAGE: u32 = 200;

/// How many entries are tested for one page when the filters pass few of them: some milliseconds.
/// The page is then short, or empty, and the next one goes on from there.
pub const SCAN: u64 = 5_000;

/// The same for a numbered page, which has to count what passes, and so tests all of them. Of a
/// longer history only the newest entries are counted, and the total is not told.
pub const NUMBERED_SCAN: u64 = 5_000;

/// The most entries that a page number skips: more than any wallet has, and a number that Postgres
/// can still subtract.
const MAX_SKIPPED: u64 = 1 << 60;

/// Which entries; all of them by default.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one of these kinds; of any without.
    pub kinds: Vec<Kind>,
    /// Recorded then or later.
    pub from: Option<DateTime<Utc>>,
    /// Recorded before.
    pub to: Option<DateTime<Utc>>,
    /// Of at least so much.
    pub min_amount: Option<Decimal>,
    /// Of at most so much.
    pub max_amount: Option<Decimal>,
    /// From or to this wallet.
    pub counterparty: Option<String>,
}

impl Filter {
    /// Whether every entry in the range is shown.
    fn passes_all(&self) -> bool {
        let Self { kinds, from: _, to: _, min_amount, max_amount, counterparty } = self;
        kinds.is_empty() && min_amount.is_none() && max_amount.is_none() && counterparty.is_none()
    }
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// With the newest entry.
    Newest,
    /// With the newest entry of a lower number: what [`Page::next`] said.
    Before(u64),
    /// As this page of the same size; the first one is 1.
    Numbered(u64),
    /// After this many entries.
    Skipping(u64),
}

/// A movement of a wallet's money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the wallet's history: 1, 2, 3 …
    pub entry: u64,
    /// What it was.
    pub kind: Kind,
    /// How far it came.
    pub status: Status,
    /// Why it failed.
    pub failure: Option<String>,
    /// How much.
    pub amount: Decimal,
    /// Of what.
    pub currency: Currency,
    /// What the wallet held afterwards.
    pub balance_after: Decimal,
    /// The other wallet of a transfer.
    pub counterparty: Option<String>,
    /// The transfer's id, or the transaction id of a deposit or withdrawal.
    pub reference: Uuid,
    /// The client's idempotency key.
    pub request_id: Option<String>,
    /// What the client attached: a JSON object as text.
    pub metadata: Option<String>,
    /// Where its event lies.
    pub partition: u32,
    /// Where its event is.
    pub position: u64,
    /// When.
    pub recorded_at: DateTime<Utc>,
}

/// A page, newest entry first.
#[derive(Debug, Clone)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the next page begins, as [`Place::Before`]; `None` at the end.
    pub next: Option<u64>,
    /// How many entries pass in all: of a numbered page, and if that many could be tested.
    pub total: Option<u64>,
    /// What it is as of.
    pub at: ReadAt,
}

/// A page of a wallet's history; empty for a wallet that is not known here.
///
/// # Errors
/// When Postgres is away.
pub async fn page(
    executor: impl PgExecutor<'_>,
    partition: u32,
    wallet: &WalletId,
    filter: &Filter,
    place: Place,
    limit: u32,
) -> Result<Page, sqlx::Error> {
    let limit = u64::from(limit.clamp(1, MAX_PAGE));
    let (before, skipped) = match place {
        Place::Newest => (None, 0),
        Place::Before(entry) => (Some(entry), 0),
        Place::Numbered(page) => (None, page.saturating_sub(1).saturating_mul(limit)),
        Place::Skipping(entries) => (None, entries),
    };
    let skipped = skipped.min(MAX_SKIPPED);
    let is_numbered = matches!(place, Place::Numbered(_) | Place::Skipping(_));
    // Without a filter every entry counts, and skipping is subtracting.
    let (skip, offset) = if filter.passes_all() { (skipped, 0) } else { (0, skipped) };
    let scan = match (filter.passes_all(), is_numbered) {
        (true, _) => limit + 1,
        (false, true) => NUMBERED_SCAN,
        (false, false) => SCAN,
    };
    let kinds: Vec<&str> = filter.kinds.iter().copied().map(Kind::name).collect();
    let kinds = (!kinds.is_empty()).then_some(kinds);
    let rows = sqlx::query(PAGE)
        .bind(wallet.as_str())
        .bind(number(partition))
        .bind(filter.from)
        .bind(filter.to)
        .bind(before.map(signed))
        .bind(signed(skip))
        .bind(signed(scan))
        .bind(kinds)
        .bind(filter.min_amount)
        .bind(filter.max_amount)
        .bind(filter.counterparty.as_deref())
        .bind(signed(limit + 1))
        .bind(signed(offset))
        .bind(is_numbered && !filter.passes_all())
        .fetch_all(executor)
        .await?;
    let mut page = Page { entries: Vec::new(), next: None, total: None, at: no_answer() };
    if let Some(first) = rows.first() {
        page.at = ReadAt::from_row(first)?;
        page.next = unscanned(first)?;
        page.total = if is_numbered { total(first, page.next, filter)? } else { None };
    }
    for row in &rows {
        if row.try_get::<Option<i64>, _>("entry")?.is_some() {
            page.entries.push(entry(row)?);
        }
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if page.entries.len() > limit {
        page.entries.truncate(limit);
        page.next = page.entries.last().map(|entry| entry.entry);
    }
    Ok(page)
}

/// Of a statement without a row, which cannot be.
pub(super) fn no_answer() -> ReadAt {
    ReadAt { position: 0, stale_since: None }
}

/// Before which entry the next scan begins, if this one ended before the range did.
fn unscanned(row: &PgRow) -> Result<Option<u64>, sqlx::Error> {
    let (low, floor): (i64, i64) = (row.try_get("low")?, row.try_get("floor")?);
    Ok((floor > low).then(|| unsigned(floor)))
}

fn total(row: &PgRow, left: Option<u64>, filter: &Filter) -> Result<Option<u64>, sqlx::Error> {
    if filter.passes_all() {
        let (low, top): (i64, i64) = (row.try_get("low")?, row.try_get("top")?);
        return Ok(Some(unsigned(top - low + 1)));
    }
    let counted: Option<i64> = row.try_get("counted")?;
    Ok(counted.filter(|_| left.is_none()).map(unsigned))
}

/// One statement, so one moment: the checkpoint, the range of entries, and those that pass.
///
/// `low` to `top` is the range by time, `high` where this page begins, `floor` where its scan ends.
const PAGE: &str = concat!(
    bounds!(),
    ",
scan AS MATERIALIZED (
  SELECT b.*, h.high, greatest(b.low, h.high - $7 + 1) AS floor
    FROM bounds b,
         LATERAL (SELECT least(b.top, coalesce($5 - 1, b.top)) - $6 AS high) AS h),
-- Materialised: counted once, and not for every row of the page.
counted AS MATERIALIZED (
  SELECT CASE WHEN $14 THEN
           (SELECT count(*) FROM movements m
             WHERE m.wallet_id = $1 AND m.entry BETWEEN s.floor AND s.high
               AND ($8::text[] IS NULL OR m.type = ANY ($8))
               AND ($9::numeric IS NULL OR m.amount >= $9)
               AND ($10::numeric IS NULL OR m.amount <= $10)
               AND ($11::text IS NULL OR m.counterparty = $11)) END AS counted
    FROM scan s)
SELECT s.*, c.counted, m.*
  FROM scan s CROSS JOIN counted c
  LEFT JOIN LATERAL (
    SELECT ",
    columns!(),
    "
      FROM movements m
     WHERE m.wallet_id = $1 AND m.entry BETWEEN s.floor AND s.high
       AND ($8::text[] IS NULL OR m.type = ANY ($8))
       AND ($9::numeric IS NULL OR m.amount >= $9)
       AND ($10::numeric IS NULL OR m.amount <= $10)
       AND ($11::text IS NULL OR m.counterparty = $11)
     ORDER BY m.entry DESC LIMIT $12 OFFSET $13) AS m ON true
 ORDER BY m.entry DESC"
);

pub(super) fn entry(row: &PgRow) -> Result<Entry, sqlx::Error> {
    let currency = currency(row)?;
    Ok(Entry {
        entry: unsigned(row.try_get("entry")?),
        kind: named(row, "type", &Kind::ALL, Kind::name)?,
        status: named(row, "status", &STATUSES, Status::name)?,
        failure: row.try_get("failure")?,
        amount: money(row, "amount", currency)?,
        currency,
        balance_after: money(row, "balance_after", currency)?,
        counterparty: row.try_get("counterparty")?,
        reference: row.try_get("reference")?,
        request_id: row.try_get("request_id")?,
        metadata: row.try_get_unchecked("metadata")?,
        partition: u32::try_from(row.try_get::<i32, _>("partition")?).unwrap_or(0),
        position: unsigned(row.try_get("position")?),
        recorded_at: row.try_get("recorded_at")?,
    })
}

const STATUSES: [Status; 3] = [Status::Pending, Status::Completed, Status::Failed];

/// The value of that name.
fn named<T: Copy>(
    row: &PgRow,
    column: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    let unknown = || sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: format!("{text} is unknown").into(),
    };
    all.iter().copied().find(|value| name(*value) == text).ok_or_else(unknown)
}

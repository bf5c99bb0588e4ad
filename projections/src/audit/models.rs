//! Whether the rows of the read models are what the journal makes of them, at the checkpoint of each.
//!
//! | model | of each wallet that is not left out |
//! |---|---|
//! | `balance` | its row, every column |
//! | `stats` | its sums and counts, when it last moved, and the sums over all of its days |
//! | `history` | how many entries it has, numbered without gaps; sums of their amounts and positions, weighted so that two changes do not easily make up for each other, and of the balances after; how many are pending, and failed |
//! | `fraud` | its last movement |
//!
//! So of `history` and of the days of `stats` it is sums that are compared, and of `fraud` nothing but
//! how far it has come: what was changed in two rows so that the sum is the same is not seen. A
//! rebuild compares row by row.
//!
//! A wallet that is parked stands still by intention, and one of which an event was discarded differs
//! by intention: they are left out, and named.
//!
//! The rows are read in the snapshot in which the checkpoints were read, which the caller holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Display;

use chrono::{DateTime, Utc};
use florin_domain::wallet::Status;
use futures::TryStreamExt as _;
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{FromRow as _, PgConnection, Row as _};
use uuid::Uuid;

use super::problem::{Place, Problems};
use super::wallets::{FACTORS, State, Wallets, fingerprint, weight};
use super::{Audit, Findings};
use crate::balance::WalletRow;
use crate::checkpoint;
use crate::fact::{signed, unsigned};
use crate::history::Kind;

/// How many of the wallets that are left out are named: as many as problems are.
pub const MAX_LEFT_OUT: usize = super::MAX_PROBLEMS;

/// What was compared of a read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Its name.
    pub model: &'static str,
    /// As of which position of each partition.
    pub checkpoints: BTreeMap<u32, u64>,
    /// How many wallets were compared.
    pub wallets: u64,
    /// Some of those that were not, because they are parked or an event of theirs was discarded.
    pub left_out: BTreeSet<String>,
    /// How many those are.
    pub left_out_count: usize,
}

/// How the rows of a model are compared.
struct Comparison {
    model: &'static str,
    /// Has a row for each wallet of [`Self::has_row`].
    table: &'static str,
    /// With a column `wallet_id`.
    statement: String,
    has_row: fn(&State) -> bool,
    compare: fn(&PgRow, &State, &mut Differences) -> Result<(), sqlx::Error>,
}

/// What is not the same in a row.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn expect<T: Copy + PartialEq + Display>(&mut self, column: &str, found: T, expected: T) {
        if found != expected {
            self.0.push(format!("{column} {found} instead of {expected}"));
        }
    }
}

/// Notes where the read models are, before the first event is taken.
///
/// # Errors
/// When Postgres is away.
pub async fn stand(
    audit: &mut Audit,
    connection: &mut PgConnection,
    heads: &[Place],
) -> Result<BTreeMap<&'static str, BTreeMap<u32, u64>>, sqlx::Error> {
    let mut models = BTreeMap::<&str, BTreeMap<u32, u64>>::new();
    let all = comparisons();
    for (name, partition, position) in checkpoint::positions_of_all(connection).await? {
        let head = heads.iter().find(|(of, _)| *of == partition).map_or(0, |(_, head)| *head);
        if position > head {
            let what = format_args!("{name} has folded this, and the journal ends at {head}");
            audit.note((partition, position), what);
        }
        if let Some(known) = all.iter().find(|known| known.model == name) {
            models.entry(known.model).or_default().insert(partition, position);
        }
    }
    for (name, checkpoints) in &models {
        audit.wallets.stand(name, checkpoints.clone());
    }
    Ok(models)
}

/// Compares them, after the last event was taken.
///
/// # Errors
/// When Postgres is away.
pub async fn compare(
    audit: &mut Audit,
    connection: &mut PgConnection,
    models: BTreeMap<&'static str, BTreeMap<u32, u64>>,
) -> Result<Vec<Compared>, sqlx::Error> {
    let mut compared = Vec::new();
    for comparison in comparisons() {
        let Some(checkpoints) = models.get(comparison.model) else { continue };
        let left_out = left_out(connection, comparison.model).await?;
        let mut book = Book {
            model: comparison.model,
            wallets: &audit.wallets,
            problems: &mut audit.problems,
            left_out: &left_out,
            seen: vec![false; audit.wallets.len()],
            count: 0,
        };
        let mut rows = sqlx::query(&comparison.statement).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            book.take(&comparison, &row)?;
        }
        let wallets = book.finish(&comparison);
        compared.push(Compared {
            model: comparison.model,
            checkpoints: checkpoints.clone(),
            wallets,
            left_out_count: left_out.len(),
            left_out: left_out.into_iter().take(MAX_LEFT_OUT).collect(),
        });
    }
    Ok(compared)
}

/// Whether the ledger remembers the transfers that are under way, and no others: one that it forgot
/// would never end.
///
/// # Errors
/// When Postgres is away.
pub async fn compare_unfinished(
    findings: &mut Findings,
    connection: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    let select = "SELECT transfer_id FROM unfinished_transfers ORDER BY transfer_id";
    let kept: Vec<Uuid> = sqlx::query_scalar(select).fetch_all(connection).await?;
    let kept: HashSet<Uuid> = kept.into_iter().collect();
    for (id, place) in &findings.unfinished {
        if !kept.contains(&id.0) {
            let what = "is under way, and not among the unfinished transfers";
            findings.problems.add(*place, format_args!("transfer {id} {what}"));
        }
    }
    let under_way: HashSet<Uuid> = findings.unfinished.iter().map(|(id, _)| id.0).collect();
    for id in kept.difference(&under_way) {
        let what = "is among the unfinished transfers, and not under way";
        findings.problems.add(None, format_args!("transfer {id} {what}"));
    }
    Ok(())
}

/// One comparison at work.
struct Book<'a> {
    model: &'static str,
    wallets: &'a Wallets,
    problems: &'a mut Problems,
    left_out: &'a BTreeSet<String>,
    /// By their numbers, those that have a row.
    seen: Vec<bool>,
    count: u64,
}

impl Book<'_> {
    fn take(&mut self, comparison: &Comparison, row: &PgRow) -> Result<(), sqlx::Error> {
        let id: &str = row.try_get("wallet_id")?;
        if self.left_out.contains(id) {
            return Ok(());
        }
        let number = self.wallets.number(id);
        let state = number.and_then(|number| self.wallets.as_of(self.model, number));
        let (Some(number), Some(state)) =
            (number, state.filter(|state| (comparison.has_row)(state)))
        else {
            let table = comparison.table;
            let what = format_args!("wallet {id} has rows in {table} that no event leads to");
            self.problems.add(state.map(State::place), what);
            return Ok(());
        };
        if let Some(seen) = usize::try_from(number).ok().and_then(|at| self.seen.get_mut(at)) {
            *seen = true;
        }
        self.count += 1;
        let mut differences = Differences::default();
        if let Err(error) = (comparison.compare)(row, state, &mut differences) {
            differences.0.push(error.to_string());
        }
        if !differences.0.is_empty() {
            let (table, what) = (comparison.table, differences.0.join(", "));
            self.problems.add(state.place(), format_args!("wallet {id} has in {table} {what}"));
        }
        Ok(())
    }

    /// How many wallets were compared, once every row was taken.
    fn finish(self, comparison: &Comparison) -> u64 {
        for (id, number) in self.wallets.all() {
            let is_seen = usize::try_from(number).ok().and_then(|at| self.seen.get(at));
            let state = self.wallets.as_of(self.model, number);
            if let (Some(false), Some(state)) = (is_seen, state)
                && (comparison.has_row)(state)
                && !self.left_out.contains(id)
            {
                let table = comparison.table;
                self.problems.add(state.place(), format_args!("wallet {id} is not in {table}"));
            }
        }
        self.count
    }
}

/// The wallets that are not compared.
async fn left_out(
    connection: &mut PgConnection,
    model: &str,
) -> Result<BTreeSet<String>, sqlx::Error> {
    let wallets: Vec<String> = sqlx::query_scalar(
        "SELECT wallet_id FROM parked_wallets WHERE projection = $1
          UNION SELECT wallet_id FROM dead_letters
          WHERE projection = $1 AND state = 'discarded' AND wallet_id IS NOT NULL",
    )
    .bind(model)
    .fetch_all(connection)
    .await?;
    Ok(wallets.into_iter().collect())
}

fn comparisons() -> [Comparison; 4] {
    let was_opened: fn(&State) -> bool = |state| state.version > 0;
    let has_moved: fn(&State) -> bool = |state| state.entries > 0;
    [
        Comparison {
            model: "balance",
            table: "balances",
            statement: "SELECT b.* FROM balances b".to_owned(),
            has_row: was_opened,
            compare: balance,
        },
        Comparison {
            model: "history",
            table: "movements",
            statement: movements(),
            has_row: has_moved,
            compare: history,
        },
        Comparison {
            model: "stats",
            table: "wallet_stats",
            statement: STATS.to_owned(),
            has_row: was_opened,
            compare: stats,
        },
        Comparison {
            model: "fraud",
            table: "fraud_histories",
            statement: "SELECT h.wallet_id, h.position FROM fraud_histories h".to_owned(),
            has_row: has_moved,
            compare: fraud,
        },
    ]
}

fn balance(row: &PgRow, state: &State, found: &mut Differences) -> Result<(), sqlx::Error> {
    let row = WalletRow::from_row(row)?;
    found.expect("balance", row.balance, state.balance);
    if let Some(currency) = state.currency {
        found.expect("currency", row.currency.code(), currency.code());
    }
    found.expect("status", status(row.status), status(state.status));
    found.expect("version", row.version, state.version);
    found.expect("partition", row.partition, state.partition);
    found.expect("position", row.position, state.position);
    found.expect("updated_at", row.updated_at, time(state.updated_at));
    let opened = fingerprint(row.owner.as_deref(), row.metadata.as_deref(), row.opened_at);
    if opened != state.fingerprint {
        found.0.push("another owner, metadata or opened_at than it was opened with".to_owned());
    }
    Ok(())
}

/// A line for each wallet; the table is read once, from one end to the other.
fn movements() -> String {
    let each = |value: fn(Kind) -> String| -> String {
        let case = |kind: Kind| format!(" WHEN '{}' THEN {}", kind.name(), value(kind));
        Kind::ALL.into_iter().map(case).collect()
    };
    let weights = each(|kind| weight(kind).to_string());
    let signs = each(|kind| if kind.is_in() { "m.amount" } else { "-m.amount" }.to_owned());
    format!(
        "SELECT m.wallet_id, count(*) AS entries, max(m.entry) AS last,
                sum(m.position * CASE m.type{weights} ELSE 0 END)::text AS places,
                sum(CASE m.type{signs} ELSE 0 END * (1 + m.position % {FACTORS})) AS amounts,
                sum(m.balance_after) AS balances,
                count(*) FILTER (WHERE m.status = 'pending') AS pending,
                count(*) FILTER (WHERE m.status = 'failed') AS failed
           FROM movements m GROUP BY m.wallet_id"
    )
}

fn history(row: &PgRow, state: &State, found: &mut Differences) -> Result<(), sqlx::Error> {
    let entries = i64::from(state.entries);
    found.expect("entries", row.try_get::<i64, _>("entries")?, entries);
    found.expect("a last entry", row.try_get::<i64, _>("last")?, entries);
    let amounts: Decimal = row.try_get("amounts")?;
    if amounts.normalize() != state.amounts.normalize() {
        found.0.push("other amounts".to_owned());
    }
    let balances: Decimal = row.try_get("balances")?;
    found.expect("balances after of", balances.normalize(), state.balances.normalize());
    if row.try_get::<&str, _>("places")? != state.places.to_string() {
        found.0.push("other positions or types".to_owned());
    }
    found.expect("pending", row.try_get::<i64, _>("pending")?, state.pending.into());
    found.expect("failed", row.try_get::<i64, _>("failed")?, state.failed.into());
    Ok(())
}

/// With the days added up, so that those of no wallet are met too.
const STATS: &str = "
SELECT coalesce(s.wallet_id, v.wallet_id) AS wallet_id, s.deposited, s.withdrawn, s.transferred_in,
       s.transferred_out, s.deposits, s.withdrawals, s.transfers_in, s.transfers_out, s.currency,
       s.partition, s.last_activity_at, v.money_in, v.money_out, v.count_in, v.count_out
  FROM wallet_stats s
  FULL JOIN (SELECT d.wallet_id, sum(d.money_in) AS money_in, sum(d.money_out) AS money_out,
                    sum(d.count_in)::bigint AS count_in, sum(d.count_out)::bigint AS count_out
               FROM wallet_volumes d GROUP BY d.wallet_id) v USING (wallet_id)";

fn stats(row: &PgRow, state: &State, found: &mut Differences) -> Result<(), sqlx::Error> {
    let [deposited, withdrawn, came, went] = state.sums;
    for (column, expected) in [
        ("deposited", deposited),
        ("withdrawn", withdrawn),
        ("transferred_in", came),
        ("transferred_out", went),
        ("money_in", deposited.saturating_add(came)),
        ("money_out", withdrawn.saturating_add(went)),
    ] {
        // A wallet that has not moved has no days.
        let sum: Option<Decimal> = row.try_get(column)?;
        found.expect(column, sum.unwrap_or_default().normalize(), expected.normalize());
    }
    let [deposits, withdrawals, credits, debits] = state.counts.map(i64::from);
    for (column, expected) in [
        ("deposits", deposits),
        ("withdrawals", withdrawals),
        ("transfers_in", credits),
        ("transfers_out", debits),
        ("count_in", deposits + credits),
        ("count_out", withdrawals + debits),
    ] {
        found.expect(column, row.try_get::<Option<i64>, _>(column)?.unwrap_or(0), expected);
    }
    if let Some(currency) = state.currency {
        let code: Option<&str> = row.try_get("currency")?;
        found.expect("currency", code.unwrap_or("none"), currency.code());
    }
    let partition: Option<i32> = row.try_get("partition")?;
    let partition = partition.map_or(-1, i64::from);
    found.expect("partition", partition, signed(state.partition.into()));
    let last: Option<DateTime<Utc>> = row.try_get("last_activity_at")?;
    let expected = (state.entries > 0).then(|| time(state.moved_at));
    if last != expected {
        found.0.push("another last_activity_at".to_owned());
    }
    Ok(())
}

fn fraud(row: &PgRow, state: &State, found: &mut Differences) -> Result<(), sqlx::Error> {
    found.expect("position", unsigned(row.try_get("position")?), state.moved);
    Ok(())
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Frozen => "frozen",
        Status::Closed => "closed",
    }
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

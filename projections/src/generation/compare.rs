//! Whether two generations of a model are the same, each at the same position of every partition.
//!
//! A table is told by how many rows it has and by the sum of their hashes, which does not depend on their
//! order. A hash is that of the row's values by the hash functions of their types
//! (`hash_record_extended`), so that values which are equal have the same one: numbers whatever their
//! scale. Only if a table differs, wallets are compared one by one.
//!
//! Both generations have the same columns: one of another shape is not gone on with. Left out: wallets that are parked in either, whose rows stand still by intention; and when an alert
//! was published, which is no part of a fold.

use futures::{Stream, StreamExt as _, future::try_join};
use rust_decimal::Decimal;
use sqlx::{PgConnection, Row as _, postgres::PgRow};

use super::tables::quoted;
use super::{GenerationError, LIVE};
use crate::fact::unsigned;
use crate::read_model::Projection;

/// How many wallets that differ are named.
pub const NAMED: usize = 20;

/// The column that is no part of a fold.
const PUBLISHED: &str = "published_at";

/// One table in both generations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// How many rows the live one has.
    pub live_rows: u64,
    /// How many rows the other one has.
    pub other_rows: u64,
    /// How many wallets have other rows.
    pub different: u64,
    /// The first [`NAMED`] of those, by name.
    pub wallets: Vec<String>,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Each table of the model.
    pub tables: Vec<Table>,
    /// The wallets that were left out.
    pub parked: Vec<String>,
}

impl Comparison {
    /// Whether everything that was compared is the same.
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.different == 0)
    }
}

/// What is compared: a table, without the wallets that are parked.
#[derive(Clone, Copy)]
struct Part<'a> {
    table: &'a str,
    /// As SQL.
    values: &'a str,
    parked: &'a [String],
}

/// A view of one generation: a connection, in a transaction that sees one moment.
struct Side<'a> {
    connection: &'a mut PgConnection,
    /// Where the generation lies.
    schema: &'a str,
}

/// Compares what two connections see: the live generation, and another one.
///
/// # Errors
/// When Postgres is away.
pub async fn compare(
    model: &dyn Projection,
    live: &mut PgConnection,
    other: &mut PgConnection,
    schema: &str,
) -> Result<Comparison, GenerationError> {
    let mut live = Side { connection: live, schema: LIVE };
    let mut other = Side { connection: other, schema };
    let mut parked = live.parked(model).await?;
    parked.extend(other.parked(model).await?);
    parked.sort_unstable();
    parked.dedup();
    let mut tables = Vec::new();
    for name in model.tables() {
        let values = live.values(name).await?;
        let of = Part { table: name, values: &values, parked: &parked };
        let sums = try_join(live.sum(of), other.sum(of)).await?;
        let ((live_rows, live_sum), (other_rows, other_sum)) = sums;
        let (different, wallets) = match (live_rows, live_sum) == (other_rows, other_sum) {
            true => (0, Vec::new()),
            false => differences(&mut live, &mut other, of).await?,
        };
        tables.push(Table { name, live_rows, other_rows, different, wallets });
    }
    Ok(Comparison { tables, parked })
}

impl Side<'_> {
    async fn parked(&mut self, model: &dyn Projection) -> Result<Vec<String>, sqlx::Error> {
        let select = format!(
            "SELECT wallet_id FROM {}.parked_wallets WHERE projection = $1",
            quoted(self.schema)
        );
        sqlx::query_scalar(&select).bind(model.name()).fetch_all(&mut *self.connection).await
    }

    /// What a row of a table is compared by, as SQL; the table is `t`.
    async fn values(&mut self, table: &str) -> Result<String, sqlx::Error> {
        // A text of JSON has no equality of its own.
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT format('t.%I%s', attname, CASE atttypid WHEN 'json'::regtype THEN '::jsonb' END)
               FROM pg_attribute
              WHERE attrelid = format('%I.%I', $1, $2)::regclass AND attnum > 0 AND NOT attisdropped
                AND attname <> $3
              ORDER BY attname",
        )
        .bind(self.schema)
        .bind(table)
        .bind(PUBLISHED)
        .fetch_all(&mut *self.connection)
        .await?;
        Ok(format!("ROW({})", columns.join(", ")))
    }

    fn hashes(&self, of: Part<'_>) -> String {
        format!(
            "SELECT t.wallet_id, hash_record_extended({}, 0)::numeric AS hash
               FROM {}.{} t WHERE t.wallet_id <> ALL($1)",
            of.values,
            quoted(self.schema),
            quoted(of.table)
        )
    }

    /// How many rows there are, and the sum of their hashes.
    async fn sum(&mut self, of: Part<'_>) -> Result<(u64, Decimal), sqlx::Error> {
        let statement = format!(
            "SELECT count(*) AS rows, coalesce(sum(hash), 0) AS sum FROM ({}) AS h",
            self.hashes(of)
        );
        let row = sqlx::query(&statement).bind(of.parked).fetch_one(&mut *self.connection).await?;
        Ok((unsigned(row.try_get("rows")?), row.try_get("sum")?))
    }
}

/// How many wallets differ, and the first of them: both sides in the order of wallets, side by side.
async fn differences(
    live: &mut Side<'_>,
    other: &mut Side<'_>,
    of: Part<'_>,
) -> Result<(u64, Vec<String>), sqlx::Error> {
    let by_wallet = |hashes: String| {
        format!(
            "SELECT wallet_id, count(*) AS rows, sum(hash) AS sum FROM ({hashes}) AS h
              GROUP BY wallet_id ORDER BY wallet_id COLLATE \"C\""
        )
    };
    let (of_live, of_other) = (by_wallet(live.hashes(of)), by_wallet(other.hashes(of)));
    let ours = sqlx::query(&of_live).bind(of.parked).fetch(&mut *live.connection);
    let theirs = sqlx::query(&of_other).bind(of.parked).fetch(&mut *other.connection);
    let (mut ours, mut theirs) = (std::pin::pin!(ours), std::pin::pin!(theirs));
    let (mut mine, mut yours) = (next(&mut ours).await?, next(&mut theirs).await?);
    let (mut count, mut named) = (0, Vec::new());
    loop {
        let first = [&mine, &yours].into_iter().flatten().map(|wallet| wallet.id.clone()).min();
        let Some(id) = first else { break };
        let a = mine.take_if(|wallet| wallet.id == id);
        let b = yours.take_if(|wallet| wallet.id == id);
        if a != b {
            count += 1;
            if named.len() < NAMED {
                named.push(id);
            }
        }
        if a.is_some() {
            mine = next(&mut ours).await?;
        }
        if b.is_some() {
            yours = next(&mut theirs).await?;
        }
    }
    Ok((count, named))
}

/// What a wallet's rows of one table come to.
#[derive(Debug, PartialEq, Eq)]
struct Wallet {
    id: String,
    rows: i64,
    sum: Decimal,
}

async fn next(
    rows: &mut (impl Stream<Item = Result<PgRow, sqlx::Error>> + Unpin),
) -> Result<Option<Wallet>, sqlx::Error> {
    let Some(row) = rows.next().await.transpose()? else { return Ok(None) };
    Ok(Some(Wallet {
        id: row.try_get("wallet_id")?,
        rows: row.try_get("rows")?,
        sum: row.try_get("sum")?,
    }))
}

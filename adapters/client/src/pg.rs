//! The position in the transaction of a service that has its state in Postgres.
//!
//! ```sql
//! BEGIN;
//! UPDATE florin_positions SET position = <to>          -- moves, or the batch is somebody else's
//!  WHERE subscription = … AND partition = … AND position = <from>;
//! …                                                    -- what the service makes of the events
//! COMMIT;
//! ```
//!
//! The position moves first: whoever else is at the same batch waits for the row, finds it moved, and
//! has done no work in vain.

use sqlx::{PgConnection, PgPool};

use crate::event::LedgerEvent;
use crate::positions::Positions;
use crate::progress::{Progress, Saved};
use crate::subscriber::Batch;
use crate::subscription::Name;

/// The table, for the service's own migrations.
pub const TABLE: &str = "
CREATE TABLE IF NOT EXISTS florin_positions (
  subscription text    NOT NULL,
  partition    integer NOT NULL CHECK (partition >= 0),
  position     bigint  NOT NULL CHECK (position >= 0),
  PRIMARY KEY (subscription, partition)
)";

/// What a service makes of events.
pub trait Apply: Send {
    /// Writes what the events do, in this transaction. They come in order, and each exactly once: what
    /// is written is there if and only if the position is saved.
    fn apply(
        &mut self,
        transaction: &mut PgConnection,
        events: &[LedgerEvent],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// A service's state in Postgres, and its positions beside it.
#[derive(Debug)]
pub struct Pg<A> {
    pool: PgPool,
    name: Name,
    apply: A,
}

impl<A: Apply> Pg<A> {
    /// A subscription's, by its name. The table must be there.
    pub fn new(pool: PgPool, name: Name, apply: A) -> Self {
        Self { pool, name, apply }
    }
}

/// Creates the table if it is not there.
///
/// # Errors
/// When Postgres is away, or the role may not.
pub async fn create_table(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(TABLE).execute(connection).await.map(|_| ())
}

/// The positions that are saved; none before the first.
///
/// # Errors
/// When Postgres is away.
pub async fn load(connection: &mut PgConnection, name: &Name) -> Result<Positions, sqlx::Error> {
    let rows: Vec<(i32, i64)> =
        sqlx::query_as("SELECT partition, position FROM florin_positions WHERE subscription = $1")
            .bind(name.as_str())
            .fetch_all(connection)
            .await?;
    let unsigned = |(partition, position)| {
        // The table has none below zero.
        (u32::try_from(partition).unwrap_or(0), u64::try_from(position).unwrap_or(0))
    };
    Ok(rows.into_iter().map(unsigned).collect())
}

/// Begins at these positions, for a service that has just filled its state from
/// [`Bootstrap`](crate::Bootstrap) in the same transaction. Says whether it did: not if the
/// subscription has positions already.
///
/// # Errors
/// When Postgres is away.
pub async fn begin(
    transaction: &mut PgConnection,
    name: &Name,
    at: &Positions,
) -> Result<bool, sqlx::Error> {
    let (partitions, positions): (Vec<i32>, Vec<i64>) = at.iter().map(signed).unzip();
    let inserted = sqlx::query(
        "INSERT INTO florin_positions
         SELECT $1, m.partition, m.position FROM unnest($2::int[], $3::bigint[])
                AS m (partition, position)
         ON CONFLICT DO NOTHING",
    )
    .bind(name.as_str())
    .bind(&partitions)
    .bind(&positions)
    .execute(transaction)
    .await?;
    Ok(inserted.rows_affected() == partitions.len() as u64)
}

/// Moves the positions as a batch does. Says whether it did: if not, they are not where the batch
/// begins, and the transaction is to be rolled back.
///
/// # Errors
/// When Postgres is away.
pub async fn advance(
    transaction: &mut PgConnection,
    name: &Name,
    batch: &Batch,
) -> Result<bool, sqlx::Error> {
    let first = batch.moves.iter().filter(|moved| moved.from == 0);
    let first: Positions = first.map(|moved| (moved.partition, 0)).collect();
    if !first.is_empty() {
        // Another process may have been here before, and whose row it is shows below.
        begin(&mut *transaction, name, &first).await?;
    }
    let partitions = batch.moves.iter().map(|moved| signed((moved.partition, 0)).0);
    let from = batch.moves.iter().map(|moved| signed((0, moved.from)).1);
    let to = batch.moves.iter().map(|moved| signed((0, moved.to)).1);
    let moved = sqlx::query(
        "UPDATE florin_positions p SET position = m.became
           FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS m (partition, was, became)
          WHERE p.subscription = $1 AND p.partition = m.partition AND p.position = m.was",
    )
    .bind(name.as_str())
    .bind(partitions.collect::<Vec<_>>())
    .bind(from.collect::<Vec<_>>())
    .bind(to.collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(moved.rows_affected() == batch.moves.len() as u64)
}

fn signed((partition, position): (u32, u64)) -> (i32, i64) {
    // A ledger has fewer partitions, and positions are bigints there too.
    (i32::try_from(partition).unwrap_or(i32::MAX), i64::try_from(position).unwrap_or(i64::MAX))
}

impl<A: Apply> Progress for Pg<A> {
    type Error = sqlx::Error;

    async fn load(&mut self) -> Result<Positions, sqlx::Error> {
        load(&mut *self.pool.acquire().await?, &self.name).await
    }

    async fn save(&mut self, batch: &Batch) -> Result<Saved, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        if !advance(&mut transaction, &self.name, batch).await? {
            transaction.rollback().await?;
            return Ok(Saved::Elsewhere);
        }
        self.apply.apply(&mut transaction, &batch.events).await?;
        transaction.commit().await?;
        Ok(Saved::Done)
    }
}

//! Where the sums begin: what the read models hold, all of it of one snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row as _};

use super::sums::{ByCurrency, Held, Moved, Sums};
use super::{At, TrialBalanceError};
use crate::column::currency;
use crate::fact::{number, unsigned};

/// Where the sums of a partition are, and where they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standpoint {
    pub(super) partition: u32,
    /// As of where they should be.
    pub(super) wanted: u64,
    /// As of where it is known what the wallets hold.
    pub(super) held: u64,
    /// As of where it is known what has moved.
    pub(super) moved: u64,
    /// The wallets whose rows are no fold of their events, and are in none of the sums.
    pub(super) apart: Vec<Arc<str>>,
    /// The events that people decided never to apply.
    pub(super) discarded: Vec<u64>,
}

impl Standpoint {
    /// How many events are on the way.
    pub(super) fn distance(&self) -> u64 {
        let stops = [self.wanted, self.held, self.moved];
        let ends = stops.iter().max().zip(stops.iter().min());
        ends.map_or(0, |(last, first)| last - first)
    }

    /// The beginning, if that is nearer than where the read models are.
    fn or_the_beginning(self) -> Self {
        match self.distance() > self.wanted {
            true => Self { held: 0, moved: 0, apart: Vec::new(), ..self },
            false => self,
        }
    }

    /// Whether the rows of the read models are of any use.
    fn has_rows(&self) -> bool {
        self.held > 0 || self.moved > 0
    }
}

/// Where the sums of each partition are, and the sums.
pub(super) async fn read(
    pool: &PgPool,
    at: &At,
) -> Result<(Vec<Standpoint>, ByCurrency), TrialBalanceError> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let mut snapshot = pool.begin_with(begin).await?;
    // Before the snapshot is taken: no other generation becomes the live one within it.
    sqlx::query(HOLD).execute(&mut *snapshot).await?;
    sqlx::query(LIKE_A_REPORT).execute(&mut *snapshot).await?;
    let standpoints = standpoints(&mut snapshot, at).await?;
    let with_rows = standpoints.iter().filter(|one| one.has_rows());
    let partitions: Vec<i32> = with_rows.map(|one| number(one.partition)).collect();
    let mut sums = ByCurrency::default();
    if !partitions.is_empty() {
        let apart = standpoints.iter().flat_map(|one| one.apart.iter().map(|id| &**id));
        let apart: Vec<&str> = apart.collect();
        for (statement, read) in [(HELD, held as fn(&PgRow) -> _), (MOVED, moved)] {
            let rows = sqlx::query(statement).bind(&partitions).bind(&apart);
            for row in rows.fetch_all(&mut *snapshot).await? {
                sums.count(currency(&row)?, &read(&row)?)?;
            }
        }
    }
    snapshot.rollback().await?;
    Ok((standpoints, sums))
}

async fn standpoints(
    snapshot: &mut PgConnection,
    at: &At,
) -> Result<Vec<Standpoint>, TrialBalanceError> {
    let rows = sqlx::query(STANDPOINTS).fetch_all(snapshot).await?;
    let partitions = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let mut wanted = match at {
        At::Now => None,
        At::Positions(positions) => {
            let by_partition: BTreeMap<u32, u64> = positions.iter().copied().collect();
            if positions.len() != rows.len() || by_partition.len() != rows.len() {
                return Err(TrialBalanceError::Partitions(partitions));
            }
            Some(by_partition)
        }
    };
    let mut standpoints = Vec::with_capacity(rows.len());
    for row in &rows {
        let partition = u32::try_from(row.try_get::<i32, _>("partition")?).unwrap_or(0);
        let head = unsigned(row.try_get("head_position")?);
        let wanted = match &mut wanted {
            None => head,
            Some(positions) => {
                let named = positions.remove(&partition);
                named.ok_or(TrialBalanceError::Partitions(partitions))?
            }
        };
        if wanted > head {
            return Err(TrialBalanceError::BeyondHead { partition, wanted, head });
        }
        let apart: Option<Vec<String>> = row.try_get("apart")?;
        let discarded: Option<Vec<i64>> = row.try_get("discarded")?;
        let standpoint = Standpoint {
            partition,
            wanted,
            held: unsigned(row.try_get("held")?),
            moved: unsigned(row.try_get("moved")?),
            apart: apart.unwrap_or_default().into_iter().map(Arc::from).collect(),
            discarded: discarded.unwrap_or_default().into_iter().map(unsigned).collect(),
        };
        standpoints.push(standpoint.or_the_beginning());
    }
    Ok(standpoints)
}

fn held(row: &PgRow) -> Result<Sums, sqlx::Error> {
    let held = Held { wallets: row.try_get("wallets")?, balances: row.try_get("balances")? };
    Ok(Sums { held, ..Sums::default() })
}

fn moved(row: &PgRow) -> Result<Sums, sqlx::Error> {
    let sum = |column: &str| row.try_get::<Decimal, _>(column);
    let moved = Moved {
        deposited: sum("deposited")?,
        withdrawn: sum("withdrawn")?,
        sent: sum("sent")?,
        received: sum("received")?,
    };
    Ok(Sums { moved, ..Sums::default() })
}

/// The tables that are read, as [`crate::generation::switch`] asks for.
const HOLD: &str = "LOCK TABLE balances, wallet_stats IN ACCESS SHARE MODE";

/// Sessions of the service look rows up by index, and never scan a table. These statements read every
/// row of one, and are of no use once the client is gone.
const LIKE_A_REPORT: &str = "
SELECT set_config('enable_seqscan', 'on', true), set_config('statement_timeout', '15s', true)";

/// Every partition, where it ends, where the two read models are in it, and whose rows there are no fold
/// of their events: because they are parked, or because an event was discarded.
const STANDPOINTS: &str = "
SELECT p.partition, p.head_position,
       coalesce(b.position, 0) AS held, coalesce(s.position, 0) AS moved,
       (SELECT array_agg(w.wallet_id::text) FROM (
          SELECT wallet_id FROM parked_wallets
           WHERE projection IN ('balance', 'stats') AND partition = p.partition
           UNION
          SELECT wallet_id FROM dead_letters
           WHERE projection IN ('balance', 'stats') AND partition = p.partition
             AND state = 'discarded' AND wallet_id IS NOT NULL) AS w) AS apart,
       (SELECT array_agg(d.position) FROM dead_letters d
         WHERE d.projection IN ('balance', 'stats') AND d.partition = p.partition
           AND d.state = 'discarded') AS discarded
  FROM partitions p
  LEFT JOIN checkpoints b ON b.projection = 'balance' AND b.partition = p.partition
  LEFT JOIN checkpoints s ON s.projection = 'stats' AND s.partition = p.partition
 ORDER BY p.partition";

/// Reads every row of the table, which is one for each wallet, however many events there are.
const HELD: &str = "
SELECT currency, count(*) AS wallets, sum(balance) AS balances
  FROM balances WHERE partition = ANY ($1) AND wallet_id <> ALL ($2) GROUP BY currency";

/// The same.
const MOVED: &str = "
SELECT currency, sum(deposited) AS deposited, sum(withdrawn) AS withdrawn,
       sum(transferred_out) AS sent, sum(transferred_in) AS received
  FROM wallet_stats WHERE partition = ANY ($1) AND wallet_id <> ALL ($2) GROUP BY currency";

#[cfg(test)]
mod tests {
    use super::*;

    fn standpoint(wanted: u64, held: u64, moved: u64) -> Standpoint {
        Standpoint { partition: 0, wanted, held, moved, apart: vec!["a".into()], discarded: vec![] }
    }

    #[test]
    fn the_fold_begins_where_it_is_nearest() {
        for (wanted, held, moved, distance, has_rows) in [
            (9, 9, 9, 0, true),
            (9, 8, 5, 4, true),
            (60, 100, 95, 40, true),
            (40, 100, 95, 40, false),
            (0, 100, 100, 0, false),
            (0, 0, 0, 0, false),
        ] {
            let nearest = standpoint(wanted, held, moved).or_the_beginning();
            assert_eq!((nearest.distance(), nearest.has_rows()), (distance, has_rows), "{wanted}");
            assert_eq!(nearest.apart.is_empty(), !has_rows && held > 0, "{wanted}");
        }
    }
}

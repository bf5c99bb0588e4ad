//! How far a projection has come, as `checkpoints` has it.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};

use crate::announcement::{Announcement, CHANNEL};
use crate::fact::{number, signed, unsigned};

/// What an answer is as of: the model's checkpoint, and whether the wallet has been left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAt {
    /// The position up to which the partition is folded.
    pub position: u64,
    /// When the first event was recorded that the wallet's rows lack, because the wallet is parked.
    pub stale_since: Option<DateTime<Utc>>,
}

impl ReadAt {
    /// From the columns `checkpoint` and `stale_since`, both optional.
    pub(crate) fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let position: Option<i64> = row.try_get("checkpoint")?;
        Ok(Self {
            position: unsigned(position.unwrap_or(0)),
            stale_since: row.try_get("stale_since")?,
        })
    }
}

/// From the columns `partitions` and `checkpoints`, arrays of the same length or both NULL.
pub(crate) fn positions(row: &PgRow) -> Result<Vec<(u32, u64)>, sqlx::Error> {
    let partitions: Option<Vec<i32>> = row.try_get("partitions")?;
    let checkpoints: Option<Vec<i64>> = row.try_get("checkpoints")?;
    let pairs = partitions.unwrap_or_default().into_iter().zip(checkpoints.unwrap_or_default());
    Ok(pairs.map(|(partition, at)| (u32::try_from(partition).unwrap_or(0), unsigned(at))).collect())
}

/// The position of a projection in a partition, for a process that does not run it; 0 when it has
/// never run.
///
/// # Errors
/// When Postgres is away.
pub async fn position(
    executor: impl PgExecutor<'_>,
    projection: &str,
    partition: u32,
) -> Result<u64, sqlx::Error> {
    let select = "SELECT position FROM checkpoints WHERE projection = $1 AND partition = $2";
    let position: Option<i64> = sqlx::query_scalar(select)
        .bind(projection)
        .bind(number(partition))
        .fetch_optional(executor)
        .await?;
    Ok(unsigned(position.unwrap_or(0)))
}

/// The position of every projection in every partition in which it has run, as `(name, partition,
/// position)`.
///
/// # Errors
/// When Postgres is away.
pub async fn positions_of_all(
    executor: impl PgExecutor<'_>,
) -> Result<Vec<(String, u32, u64)>, sqlx::Error> {
    let rows: Vec<(String, i32, i64)> =
        sqlx::query_as("SELECT projection, partition, position FROM checkpoints")
            .fetch_all(executor)
            .await?;
    let read = |(name, partition, position)| {
        (name, u32::try_from(partition).unwrap_or(0), unsigned(position))
    };
    Ok(rows.into_iter().map(read).collect())
}

/// Where a projection stands in a partition, whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Which projection.
    pub projection: String,
    /// Which partition.
    pub partition: u32,
    /// The last position that it has.
    pub checkpoint: u64,
    /// The last position that there is.
    pub head: u64,
    /// When the oldest event was recorded that it lacks; `None` when it lacks none. The lag in
    /// seconds is the time since then.
    pub behind_since: Option<DateTime<Utc>>,
    /// How many wallets are parked.
    pub parked: u32,
    /// When the checkpoint last moved; `None` when the projection has never run there.
    pub moved_at: Option<DateTime<Utc>>,
}

impl Status {
    /// How many events it lacks.
    pub fn lag(&self) -> u64 {
        self.head.saturating_sub(self.checkpoint)
    }
}

/// Where every projection stands in every partition, as of one moment.
///
/// # Errors
/// When Postgres is away.
pub async fn status(executor: impl PgExecutor<'_>) -> Result<Vec<Status>, sqlx::Error> {
    // A join would be one of all events, as long as Postgres takes them for few.
    let rows = sqlx::query(
        "SELECT c.projection, c.partition, c.position, c.parked, c.updated_at, p.head_position,
                (SELECT e.recorded_at FROM events e
                  WHERE e.partition = c.partition AND e.position = c.position + 1) AS behind_since
           FROM checkpoints c
           JOIN partitions p ON p.partition = c.partition
          ORDER BY c.projection, c.partition",
    )
    .fetch_all(executor)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Status {
                projection: row.try_get("projection")?,
                partition: u32::try_from(row.try_get::<i32, _>("partition")?).unwrap_or(0),
                checkpoint: unsigned(row.try_get("position")?),
                head: unsigned(row.try_get("head_position")?),
                behind_since: row.try_get("behind_since")?,
                parked: u32::try_from(row.try_get::<i32, _>("parked")?).unwrap_or(0),
                moved_at: row.try_get("updated_at")?,
            })
        })
        .collect()
}

/// What says where the projection is in its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) position: u64,
    pub(crate) parked: u32,
}

impl Checkpoint {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            position: unsigned(row.try_get("position")?),
            parked: u32::try_from(row.try_get::<i32, _>("parked")?).unwrap_or(0),
        })
    }
}

/// The checkpoint, made at position 0 when there is none.
pub(crate) async fn open(
    connection: &mut PgConnection,
    projection: &str,
    partition: u32,
) -> Result<Checkpoint, sqlx::Error> {
    sqlx::query(
        "INSERT INTO checkpoints (projection, partition) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(projection)
    .bind(number(partition))
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query(
        "SELECT position, parked FROM checkpoints WHERE projection = $1 AND partition = $2",
    )
    .bind(projection)
    .bind(number(partition))
    .fetch_one(connection)
    .await?;
    Checkpoint::from_row(&row)
}

/// Holds the checkpoint still until the end of the transaction; `None` when it was never made.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    projection: &str,
    partition: u32,
) -> Result<Option<Checkpoint>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT position, parked FROM checkpoints WHERE projection = $1 AND partition = $2
            FOR UPDATE",
    )
    .bind(projection)
    .bind(number(partition))
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(Checkpoint::from_row).transpose()
}

/// Moves the checkpoint from where it is known to be to the position of an announcement, announces
/// that, and holds it still until the end of the transaction. `None` when it is not there any more:
/// somebody else moved it.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    known: u64,
    announcement: &Announcement,
) -> Result<Option<Checkpoint>, sqlx::Error> {
    let row = sqlx::query(
        "WITH moved AS (
           UPDATE checkpoints SET position = $4, updated_at = now()
            WHERE projection = $1 AND partition = $2 AND position = $3
           RETURNING position, parked)
         SELECT moved.*, pg_notify($5, $6) FROM moved",
    )
    .bind(&announcement.projection)
    .bind(number(announcement.partition))
    .bind(signed(known))
    .bind(signed(announcement.position))
    .bind(CHANNEL)
    .bind(announcement.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(Checkpoint::from_row).transpose()
}

/// The same of a generation that nobody reads, without a word.
pub(crate) async fn advance_quietly(
    connection: &mut PgConnection,
    projection: &str,
    partition: u32,
    known: u64,
    to: u64,
) -> Result<Option<Checkpoint>, sqlx::Error> {
    let row = sqlx::query(
        "UPDATE checkpoints SET position = $4, updated_at = now()
          WHERE projection = $1 AND partition = $2 AND position = $3
         RETURNING position, parked",
    )
    .bind(projection)
    .bind(number(partition))
    .bind(signed(known))
    .bind(signed(to))
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(Checkpoint::from_row).transpose()
}

/// Announces that rows were folded anew, where the checkpoint is.
pub(crate) async fn announce(
    connection: &mut PgConnection,
    announcement: &Announcement,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(CHANNEL)
        .bind(announcement.to_string())
        .execute(connection)
        .await
        .map(drop)
}

/// Notes that the number of parked wallets changes by so many.
pub(crate) async fn count_parked(
    connection: &mut PgConnection,
    projection: &str,
    partition: u32,
    change: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE checkpoints SET parked = parked + $3 WHERE projection = $1 AND partition = $2",
    )
    .bind(projection)
    .bind(number(partition))
    .bind(change)
    .execute(connection)
    .await
    .map(drop)
}

//! The dead letters, for operators: what could not be applied, and why. What becomes of them is in
//! [`crate::replay`].

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row as _};
use thiserror::Error;

use crate::fact::{number, signed, unsigned};

/// Which dead letter: `<projection>:<partition>:<position>`. It is the keyset cursor of the list
/// too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId {
    /// The projection that did not apply the event.
    pub projection: String,
    /// Where the event lies.
    pub partition: u32,
    /// Where the event is.
    pub position: u64,
}

/// A text that is no [`LetterId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a dead letter is named <projection>:<partition>:<position>, such as balance:0:123")]
pub struct NoLetterId;

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.projection, self.partition, self.position)
    }
}

impl FromStr for LetterId {
    type Err = NoLetterId;

    fn from_str(text: &str) -> Result<Self, NoLetterId> {
        let mut parts = text.split(':');
        let (Some(projection), Some(partition), Some(position), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoLetterId);
        };
        Ok(Self {
            projection: projection.to_owned(),
            partition: partition.parse().map_err(|_| NoLetterId)?,
            position: position.parse().map_err(|_| NoLetterId)?,
        })
    }
}

/// What has become of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is not applied.
    Open,
    /// It was applied after all.
    Replayed,
    /// Somebody decided that it never will be.
    Discarded,
}

impl State {
    /// As it is stored, and as operators are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }
}

/// An event that was not applied. Payload and metadata are read from the journal, where they are for
/// ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Which.
    pub id: LetterId,
    /// The wallet that is parked for it, if it is known.
    pub wallet_id: Option<String>,
    /// `Wallet` or `Transfer`.
    pub aggregate_type: String,
    /// The stream of the event.
    pub aggregate_id: String,
    /// Its number there.
    pub sequence: u64,
    /// What it says it is.
    pub event_type: String,
    /// What it says it is.
    pub event_version: String,
    /// As stored: JSON text.
    pub payload: String,
    /// As stored: JSON text.
    pub metadata: String,
    /// When it happened.
    pub recorded_at: DateTime<Utc>,
    /// What has become of it.
    pub state: State,
    /// Why it was not applied.
    pub error: String,
    /// How often it was tried; 0 when it only follows another one.
    pub attempts: u32,
    /// When it was set aside.
    pub first_at: DateTime<Utc>,
    /// When it was last tried or decided about.
    pub last_at: DateTime<Utc>,
    /// Who discarded it.
    pub decided_by: Option<String>,
    /// And why.
    pub reason: Option<String>,
}

const COLUMNS: &str = "d.projection, d.partition, d.position, d.wallet_id, e.aggregate_type, \
     e.aggregate_id, e.sequence, e.event_type, e.event_version, e.payload::text AS payload, \
     e.metadata::text AS metadata, e.recorded_at, d.state, d.error, d.attempts, d.first_at, \
     d.last_at, d.decided_by, d.reason";

/// The most dead letters of one answer.
pub const MAX_LIST: u32 = 200;

/// Which dead letters are listed; all of them by default.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this projection.
    pub projection: Option<String>,
    /// Of this wallet.
    pub wallet_id: Option<String>,
    /// In this state.
    pub state: Option<State>,
}

/// Dead letters in the order of their ids, after one of them; one more than `limit` never comes.
///
/// # Errors
/// When Postgres is away.
pub async fn list(
    executor: impl PgExecutor<'_>,
    filter: &Filter,
    after: Option<&LetterId>,
    limit: u32,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let statement = format!(
        "SELECT {COLUMNS} FROM dead_letters d JOIN events e USING (partition, position)
          WHERE ($1::text IS NULL OR d.projection = $1)
            AND ($2::text IS NULL OR d.wallet_id = $2)
            AND ($3::text IS NULL OR d.state = $3)
            AND (d.projection, d.partition, d.position) > ($4, $5, $6)
          ORDER BY d.projection, d.partition, d.position LIMIT $7"
    );
    let rows = sqlx::query(&statement)
        .bind(filter.projection.as_deref())
        .bind(filter.wallet_id.as_deref())
        .bind(filter.state.map(State::name))
        .bind(after.map_or("", |id| &id.projection))
        .bind(after.map_or(0, |id| number(id.partition)))
        .bind(after.map_or(0, |id| signed(id.position)))
        .bind(i64::from(limit.clamp(1, MAX_LIST)))
        .fetch_all(executor)
        .await?;
    rows.iter().map(letter).collect()
}

/// One dead letter, if there is one of that id.
///
/// # Errors
/// When Postgres is away.
pub async fn show(
    executor: impl PgExecutor<'_>,
    id: &LetterId,
) -> Result<Option<DeadLetter>, sqlx::Error> {
    let statement = format!(
        "SELECT {COLUMNS} FROM dead_letters d JOIN events e USING (partition, position)
          WHERE d.projection = $1 AND d.partition = $2 AND d.position = $3"
    );
    let row = sqlx::query(&statement)
        .bind(&id.projection)
        .bind(number(id.partition))
        .bind(signed(id.position))
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(letter).transpose()
}

/// The oldest dead letters that operators have not been told of.
///
/// # Errors
/// When Postgres is away.
pub async fn unpublished(
    executor: impl PgExecutor<'_>,
    limit: u32,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let statement = format!(
        "SELECT {COLUMNS} FROM dead_letters d JOIN events e USING (partition, position)
          WHERE d.published_at IS NULL ORDER BY d.first_at LIMIT $1"
    );
    let limit = i64::from(limit.clamp(1, MAX_LIST));
    sqlx::query(&statement).bind(limit).fetch_all(executor).await?.iter().map(letter).collect()
}

/// Notes that operators have been told.
///
/// # Errors
/// When Postgres is away; they may then be told again.
pub async fn mark_published(
    executor: impl PgExecutor<'_>,
    letters: &[LetterId],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE dead_letters d SET published_at = now()
           FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS l (projection, partition, position)
          WHERE d.projection = l.projection AND d.partition = l.partition
            AND d.position = l.position",
    )
    .bind(letters.iter().map(|id| id.projection.as_str()).collect::<Vec<_>>())
    .bind(letters.iter().map(|id| number(id.partition)).collect::<Vec<_>>())
    .bind(letters.iter().map(|id| signed(id.position)).collect::<Vec<_>>())
    .execute(executor)
    .await
    .map(drop)
}

/// A wallet whose rows stand still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedWallet {
    /// In which projection.
    pub projection: String,
    /// Where it lies.
    pub partition: u32,
    /// Which.
    pub wallet_id: String,
    /// The event that it stands at.
    pub position: u64,
    /// Why.
    pub error: String,
    /// Since when its rows are stale.
    pub since: DateTime<Utc>,
}

/// The parked wallets of a projection (of all without), at most [`MAX_LIST`].
///
/// # Errors
/// When Postgres is away.
pub async fn parked(
    executor: impl PgExecutor<'_>,
    projection: Option<&str>,
) -> Result<Vec<ParkedWallet>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT projection, partition, wallet_id, position, error, since FROM parked_wallets
          WHERE ($1::text IS NULL OR projection = $1)
          ORDER BY projection, partition, wallet_id LIMIT $2",
    )
    .bind(projection)
    .bind(i64::from(MAX_LIST))
    .fetch_all(executor)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ParkedWallet {
                projection: row.try_get("projection")?,
                partition: u32::try_from(row.try_get::<i32, _>("partition")?).unwrap_or(0),
                wallet_id: row.try_get("wallet_id")?,
                position: unsigned(row.try_get("position")?),
                error: row.try_get("error")?,
                since: row.try_get("since")?,
            })
        })
        .collect()
}

fn letter(row: &PgRow) -> Result<DeadLetter, sqlx::Error> {
    Ok(DeadLetter {
        id: LetterId {
            projection: row.try_get("projection")?,
            partition: u32::try_from(row.try_get::<i32, _>("partition")?).unwrap_or(0),
            position: unsigned(row.try_get("position")?),
        },
        wallet_id: row.try_get("wallet_id")?,
        aggregate_type: row.try_get("aggregate_type")?,
        aggregate_id: row.try_get("aggregate_id")?,
        sequence: unsigned(row.try_get("sequence")?),
        event_type: row.try_get("event_type")?,
        event_version: row.try_get("event_version")?,
        payload: row.try_get("payload")?,
        metadata: row.try_get("metadata")?,
        recorded_at: row.try_get("recorded_at")?,
        state: match row.try_get("state")? {
            "replayed" => State::Replayed,
            "discarded" => State::Discarded,
            _ => State::Open,
        },
        error: row.try_get("error")?,
        attempts: u32::try_from(row.try_get::<i32, _>("attempts")?).unwrap_or(0),
        first_at: row.try_get("first_at")?,
        last_at: row.try_get("last_at")?,
        decided_by: row.try_get("decided_by")?,
        reason: row.try_get("reason")?,
    })
}

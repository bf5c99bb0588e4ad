//! The dead letters, for operators: what could not be applied, and why. What becomes of them is in
//! [`crate::replay`]; of operations that could not be carried out, and of other services' messages that
//! came to nothing, which are listed with them, it is with whoever deals with them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row as _};
use thiserror::Error;

use crate::fact::{number, signed, unsigned};
use crate::models;

/// What stands in the place of a projection where an operation could not be carried out.
pub const OPERATIONS: &str = "operations";

/// What stands in the place of a projection where a message of another service came to nothing.
pub const INTAKE: &str = "intake";

/// The views that have the letters of what is no projection, each by the name that stands in its place.
const OTHERS: [(&str, &str); 2] =
    [(INTAKE, "letters_of_intake"), (OPERATIONS, "letters_of_operations")];

/// Which dead letter: `<projection>:<partition>:<position>`. It is the keyset cursor of the list
/// too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId {
    /// The projection that did not apply the event, or [`OPERATIONS`], or [`INTAKE`].
    pub projection: String,
    /// Where the event lies.
    pub partition: u32,
    /// Where the event is; of an operation or a message, the number of its letter.
    pub position: u64,
}

/// The longest name of a projection that is asked for: four times the longest that there is.
const MAX_NAME: usize = 32;

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
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !(1..=MAX_NAME).contains(&projection.len()) || !projection.bytes().all(is_name) {
            return Err(NoLetterId);
        }
        let id = Self {
            projection: projection.to_owned(),
            partition: partition.parse().map_err(|_| NoLetterId)?,
            position: position.parse().map_err(|_| NoLetterId)?,
        };
        // One letter, one id: neither `+5` nor `05`.
        match id.to_string() == text {
            true => Ok(id),
            false => Err(NoLetterId),
        }
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

/// A text that is no [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a dead letter is open, replayed or discarded")]
pub struct NoState;

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

impl FromStr for State {
    type Err = NoState;

    fn from_str(name: &str) -> Result<Self, NoState> {
        let all = [Self::Open, Self::Replayed, Self::Discarded];
        all.into_iter().find(|state| state.name() == name).ok_or(NoState)
    }
}

/// An event that was not applied. Payload and metadata are read from the journal, where they are for
/// ever. An operation has its command for a payload, and a message what is kept of it.
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

/// Of each of the views that have the letters.
const COLUMNS: &str = "d.projection, d.partition, d.position, d.wallet_id, d.aggregate_type, \
     d.aggregate_id, d.sequence, d.event_type, d.event_version, d.payload, d.metadata, \
     d.recorded_at, d.state, d.error, d.attempts, d.first_at, d.last_at, d.decided_by, d.reason";

/// The most dead letters of one answer: with payloads and metadata of 4 KiB at most, some two
/// megabytes.
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

/// A page of the list, in the order of the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterList {
    /// The dead letters.
    pub letters: Vec<DeadLetter>,
    /// The last one of the page, after which the next page begins; `None` at the end.
    pub next: Option<LetterId>,
}

/// Dead letters in the order of their ids, after one of them.
///
/// # Errors
/// When Postgres is away.
pub async fn list(
    executor: impl PgExecutor<'_>,
    filter: &Filter,
    after: Option<&LetterId>,
    limit: u32,
) -> Result<LetterList, sqlx::Error> {
    let limit = usize::try_from(limit.clamp(1, MAX_LIST)).unwrap_or(1);
    // Without an OR, so that the letters of one projection are a range of the key.
    let of_projection = match filter.projection {
        Some(_) => "d.projection = $1",
        None => "$1::text IS NULL",
    };
    // Each part in the order of its own index and no further than the page.
    let page = format!(
        "WHERE {of_projection}
           AND ($2::text IS NULL OR d.wallet_id = $2)
           AND ($3::text IS NULL OR d.state = $3)"
    );
    // What comes after a letter of a projection that comes before these is all of theirs.
    let others = OTHERS.map(|(name, view)| {
        format!(
            "UNION ALL
            (SELECT {COLUMNS} FROM {view} d {page}
                AND $4 <= '{name}'
                AND (d.partition, d.position) > (CASE WHEN $4 = '{name}' THEN $5 ELSE -1 END,
                                                 CASE WHEN $4 = '{name}' THEN $6 ELSE 0 END)
              ORDER BY d.partition, d.position LIMIT $7)"
        )
    });
    let statement = format!(
        "(SELECT {COLUMNS} FROM letters_of_events d {page}
             AND (d.projection, d.partition, d.position) > ($4, $5, $6)
           ORDER BY d.projection, d.partition, d.position LIMIT $7)
         {}
          ORDER BY projection, partition, position LIMIT $7",
        others.join(" ")
    );
    let rows = sqlx::query(&statement)
        .bind(filter.projection.as_deref())
        .bind(filter.wallet_id.as_deref())
        .bind(filter.state.map(State::name))
        .bind(after.map_or("", |id| &id.projection))
        .bind(after.map_or(0, |id| number(id.partition)))
        .bind(after.map_or(0, |id| signed(id.position)))
        // One more tells whether there is a next page.
        .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
        .fetch_all(executor)
        .await?;
    let mut letters = rows.iter().map(letter).collect::<Result<Vec<_>, _>>()?;
    let has_more = letters.len() > limit;
    letters.truncate(limit);
    let next = letters.last().filter(|_| has_more).map(|last| last.id.clone());
    Ok(LetterList { letters, next })
}

/// One dead letter, if there is one of that id.
///
/// # Errors
/// When Postgres is away.
pub async fn show(
    executor: impl PgExecutor<'_>,
    id: &LetterId,
) -> Result<Option<DeadLetter>, sqlx::Error> {
    let other = OTHERS.iter().find(|(name, _)| *name == id.projection);
    let view = other.map_or("letters_of_events", |(_, view)| view);
    let statement = format!(
        "SELECT {COLUMNS} FROM {view} d
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

/// How many dead letters are open, by projection and what stands in the place of one.
///
/// # Errors
/// When Postgres is away.
pub async fn open(executor: impl PgExecutor<'_>) -> Result<Vec<(String, u64)>, sqlx::Error> {
    let others = OTHERS.map(|(name, view)| {
        format!("UNION ALL SELECT '{name}', count(*) FROM {view} WHERE state = 'open'")
    });
    let statement = format!(
        "SELECT projection, count(*) FROM letters_of_events WHERE state = 'open' GROUP BY projection
         {}",
        others.join(" ")
    );
    let counted: Vec<(String, i64)> = sqlx::query_as(&statement).fetch_all(executor).await?;
    let of = |name: &str| {
        let found = counted.iter().find(|(of, _)| of == name);
        (name.to_owned(), found.map_or(0, |(_, count)| unsigned(*count)))
    };
    // One that has none is named, too.
    let models = models::all();
    let names = models.iter().map(|model| model.name()).chain(OTHERS.map(|(name, _)| name));
    Ok(names.map(of).collect())
}

/// The oldest dead letters that operators have not been told of.
///
/// # Errors
/// When Postgres is away.
pub async fn unpublished(
    executor: impl PgExecutor<'_>,
    limit: u32,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let oldest = "WHERE d.published_at IS NULL ORDER BY d.first_at LIMIT $1";
    let others =
        OTHERS.map(|(_, view)| format!("UNION ALL (SELECT {COLUMNS} FROM {view} d {oldest})"));
    let statement = format!(
        "(SELECT {COLUMNS} FROM letters_of_events d {oldest}) {} ORDER BY first_at LIMIT $1",
        others.join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = LetterId { projection: "balance".to_owned(), partition: 3, position: 17 };
        assert_eq!(id.to_string(), "balance:3:17");
        assert_eq!("balance:3:17".parse(), Ok(id));
        let long = format!("{}:0:1", "x".repeat(MAX_NAME + 1));
        for other in [
            "",
            "balance",
            "balance:0",
            "balance:0:1:2",
            ":0:1",
            "bal ance:0:1",
            "balance\0:0:1",
            "balance:+0:1",
            "balance:0:01",
            "balance:0:-1",
            "balance:0:18446744073709551616",
            &long,
        ] {
            assert_eq!(other.parse::<LetterId>(), Err(NoLetterId), "{other:?}");
        }
    }

    #[test]
    fn states_are_read_by_name() {
        for state in [State::Open, State::Replayed, State::Discarded] {
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert_eq!("closed".parse::<State>(), Err(NoState));
    }
}

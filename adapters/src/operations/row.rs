//! An operation as it lies in its table.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_application::command::{Command, Outcome, RequestId};
use florin_domain::Owner;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::stored::Stored;

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits to be begun, or to be begun again.
    Queued,
    /// Somebody is at it.
    Running,
    /// It took effect.
    Completed,
    /// It did not, for a reason.
    Refused,
    /// It came to no outcome, and is set aside.
    Failed,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Running, Self::Completed, Self::Refused, Self::Failed];

    /// As it is stored, and as clients are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What became of an operation: an outcome, or why the ledger would not have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It was decided, by this operation or earlier under the same key.
    Decided {
        /// What was decided.
        outcome: Outcome,
        /// Whether that was earlier.
        replayed: bool,
    },
    /// The wallet was not at the version in `If-Match`.
    VersionMismatch {
        /// It was at this one.
        actual: u64,
    },
    /// The key had been used for another request.
    KeyReused,
}

impl Verdict {
    /// How the operation ended.
    pub(super) fn state(&self) -> State {
        match self {
            Self::Decided { outcome: Outcome::Accepted(_), .. } => State::Completed,
            Self::Decided { outcome: Outcome::Refused(_), .. }
            | Self::VersionMismatch { .. }
            | Self::KeyReused => State::Refused,
        }
    }
}

/// An operation, as of now.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Which.
    pub id: Uuid,
    /// What is asked.
    pub command: Command,
    /// What kind of command it is, as `type` in a bulk says it.
    pub kind: &'static str,
    /// The client's key.
    pub request_id: Option<RequestId>,
    /// In whose name it is asked.
    pub owner: Option<Owner>,
    /// How far it is.
    pub state: State,
    /// How often it was begun.
    pub attempts: u32,
    /// What became of it.
    pub verdict: Option<Verdict>,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When something was last done about it.
    pub updated_at: DateTime<Utc>,
}

/// What [`operation`] reads.
pub(super) const COLUMNS: &str = "o.id, o.command::text AS command, o.request_id, o.owner, o.state, \
     o.attempts, o.verdict::text AS verdict, o.created_at, o.updated_at";

/// The operation in a row of [`COLUMNS`].
pub(super) fn operation(row: &PgRow) -> Result<Operation, sqlx::Error> {
    let stored = stored(row)?;
    let state: String = row.try_get("state")?;
    Ok(Operation {
        id: row.try_get("id")?,
        kind: stored.kind(),
        command: stored.command().ok_or_else(|| corrupt("an amount is none"))?,
        request_id: read(row, "request_id")?,
        owner: read(row, "owner")?,
        state: State::named(&state).ok_or_else(|| corrupt(format!("no state is {state}")))?,
        attempts: unsigned(row.try_get("attempts")?),
        verdict: row
            .try_get::<Option<String>, _>("verdict")?
            .map(|text| serde_json::from_str(&text).map_err(corrupt))
            .transpose()?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

/// The command in a row.
pub(super) fn stored(row: &PgRow) -> Result<Stored, sqlx::Error> {
    let text: String = row.try_get("command")?;
    serde_json::from_str(&text).map_err(corrupt)
}

/// A text that was checked before it was stored, also where clients may not send it any more.
pub(super) fn read<T: DeserializeOwned>(
    row: &PgRow,
    column: &str,
) -> Result<Option<T>, sqlx::Error> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| serde_json::from_value(text.into()).map_err(corrupt)).transpose()
}

/// The trace in a row.
pub(super) fn traceparent(row: &PgRow) -> Result<Option<Arc<str>>, sqlx::Error> {
    let text: Option<String> = row.try_get("traceparent")?;
    Ok(text.map(Arc::from))
}

/// Counts are never negative: the statements say so.
pub(super) fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// Counts and versions never come near the limits of what Postgres keeps them in.
pub(super) fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// What lies there is not what this program stored.
pub(crate) fn corrupt(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(cause.into())
}

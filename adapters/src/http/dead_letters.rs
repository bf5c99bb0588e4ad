//! The dead letters: what is asked of them in a query, and how they look as JSON. The command line
//! prints the same JSON. Operations that came to no outcome are among them, as the projection
//! `operations`, and messages of other services that came to nothing, as `intake`.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use florin_domain::WalletId;
use florin_projections::dead_letters::{DeadLetter, Filter, LetterId, LetterList, MAX_LIST};
use florin_projections::read_model::Fault;
use florin_projections::replay::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::{self, Time};
use super::code::Code;
use super::openapi::types;
use super::problem::{Member, Problem};
use super::query::{self, invalid, parsed};
use crate::dead_letters::{Decided, DeskError, document, end};

/// How many dead letters a page has when nobody says.
pub(crate) const DEFAULT_LIMIT: u32 = 50;

/// Which page of which dead letters.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) filter: Filter,
    pub(super) after: Option<LetterId>,
    pub(super) limit: u32,
}

/// The query as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Of this read model.
    #[param(value_type = Option<types::ProjectionName>)]
    projection: Option<String>,
    /// Of this wallet.
    #[param(value_type = Option<types::WalletName>)]
    wallet: Option<String>,
    /// In this state.
    #[param(value_type = Option<types::LetterState>)]
    state: Option<String>,
    /// The `nextCursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
    /// How many a page has; 50 if nobody says.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

impl FromRequestParts<Api> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let given: Parameters = query::parameters(&parts.uri)?;
        let wallet: Option<WalletId> = parsed("wallet", given.wallet)?;
        let filter = Filter {
            projection: projection(given.projection, &api.dead_letters.sources())?,
            wallet_id: wallet.map(|wallet| wallet.as_str().to_owned()),
            state: parsed("state", given.state)?,
        };
        let limit = query::limit(given.limit, DEFAULT_LIMIT, MAX_LIST, "dead letters")?;
        Ok(Self { filter, after: cursor(given.cursor)?, limit })
    }
}

fn projection(name: Option<String>, known: &[&'static str]) -> Result<Option<String>, Problem> {
    match name {
        Some(name) if !known.contains(&&*name) => {
            let known = known.join(", ");
            Err(invalid("projection", format_args!("the projections are {known}")))
        }
        known => Ok(known),
    }
}

/// Clients need not know that it is an id.
fn cursor(text: Option<String>) -> Result<Option<LetterId>, Problem> {
    let wrong = |_| invalid("cursor", "a cursor is the nextCursor of the page before");
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

/// A dead letter as operators read it, with the names of the messages in `DEAD_LETTERS`. Payload and
/// metadata are those of the event in the journal; of an operation, the payload is its command, of a
/// message what is kept of it, and the position the number of its letter.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeadLetter)]
pub(crate) struct LetterAnswer<'a> {
    id: String,
    projection: &'a str,
    partition: u32,
    position: u64,
    #[schema(value_type = Option<types::WalletName>)]
    wallet_id: Option<&'a str>,
    aggregate_type: &'a str,
    aggregate_id: &'a str,
    sequence: u64,
    event_type: &'a str,
    event_version: &'a str,
    #[schema(value_type = types::AnyJson)]
    payload: Value,
    #[schema(value_type = types::AnyJson)]
    metadata: Value,
    recorded_at: Time,
    #[schema(value_type = types::LetterState)]
    state: &'static str,
    error: &'a str,
    attempts: u32,
    first_at: Time,
    last_at: Time,
    decided_by: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> From<&'a DeadLetter> for LetterAnswer<'a> {
    fn from(letter: &'a DeadLetter) -> Self {
        Self {
            id: letter.id.to_string(),
            projection: &letter.id.projection,
            partition: letter.id.partition,
            position: letter.id.position,
            wallet_id: letter.wallet_id.as_deref(),
            aggregate_type: &letter.aggregate_type,
            aggregate_id: &letter.aggregate_id,
            sequence: letter.sequence,
            event_type: &letter.event_type,
            event_version: &letter.event_version,
            payload: document(&letter.payload),
            metadata: document(&letter.metadata),
            recorded_at: Time(letter.recorded_at),
            state: letter.state.name(),
            error: &letter.error,
            attempts: letter.attempts,
            first_at: Time(letter.first_at),
            last_at: Time(letter.last_at),
            decided_by: letter.decided_by.as_deref(),
            reason: letter.reason.as_deref(),
        }
    }
}

/// A page of dead letters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeadLetterPage)]
pub(crate) struct ListAnswer<'a> {
    data: Vec<LetterAnswer<'a>>,
    next_cursor: Option<String>,
    has_more: bool,
}

impl<'a> From<&'a LetterList> for ListAnswer<'a> {
    fn from(list: &'a LetterList) -> Self {
        Self {
            data: list.letters.iter().map(LetterAnswer::from).collect(),
            next_cursor: list.next.as_ref().map(ToString::to_string),
            has_more: list.next.is_some(),
        }
    }
}

/// What a replay or a discard came to. The position is where the projection is when the wallet is
/// back, and the event that it stands at when it is not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeadLetterOutcome)]
pub(crate) struct DecidedAnswer<'a> {
    id: String,
    projection: &'a str,
    #[schema(value_type = Option<types::WalletName>)]
    wallet_id: Option<&'a str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> From<&'a Decided> for DecidedAnswer<'a> {
    fn from(Decided { letter, outcome }: &'a Decided) -> Self {
        let (outcome, events, position, error) = match outcome {
            Outcome::Replayed { events, position } => {
                ("replayed", Some(*events), Some(*position), None)
            }
            Outcome::StillParked(Fault { position, error }) => {
                ("still-parked", None, Some(*position), Some(error.as_str()))
            }
            Outcome::NothingToFold => ("nothing-to-fold", None, None, None),
            Outcome::Queued => ("queued", None, None, None),
        };
        Self {
            id: letter.id.to_string(),
            projection: &letter.id.projection,
            wallet_id: letter.wallet_id.as_deref(),
            outcome,
            events,
            position,
            error,
        }
    }
}

/// One dead letter.
pub(super) fn letter(letter: &DeadLetter) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &LetterAnswer::from(letter))
}

/// A page of them.
pub(super) fn list(list: &LetterList) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &ListAnswer::from(list))
}

/// What was done.
pub(super) fn decided(decided: &Decided) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &DecidedAnswer::from(decided))
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        let code = Code::from(&error);
        match error {
            DeskError::NotFound(id) => Self::new(
                code,
                "No dead letter is on record under this id: the event was applied, or it was never \
                 read. Correct the id, or look it up in the list.",
            )
            .with("deadLetterId", Member::Text(id.to_string())),
            DeskError::Settled(letter) => settled(code, &letter),
            DeskError::Begun(id) => Self::new(
                code,
                "What the message of this dead letter asks for may have been begun, so it cannot be \
                 decided that it never does anything. Mend what it waits for, and replay it.",
            )
            .with("deadLetterId", Member::Text(id.to_string())),
            DeskError::Away(error) => {
                tracing::warn!(target: "http", %error, "dead letters cannot be reached");
                Self::unavailable()
            }
        }
    }
}

fn settled(code: Code, letter: &DeadLetter) -> Problem {
    let problem = Problem::new(
        code,
        format!(
            "The dead letter {}, and nothing is left to decide about it: if its wallet is still \
             parked, it is for another one, which is open.",
            end(letter)
        ),
    )
    .with("deadLetterId", Member::Text(letter.id.to_string()))
    .with("state", Member::Text(letter.state.name().to_owned()));
    match &letter.decided_by {
        Some(by) => problem.with("by", Member::Text(by.clone())),
        None => problem,
    }
}

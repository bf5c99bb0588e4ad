//! Many commands in one body, and what became of each.
//!
//! A body is a frame (`atomic`, `commands`, and a key if it is atomic) around commands whose fields
//! are those of their single routes. Independent commands are answered one by one, in their order,
//! each with the status and the body or the problem of its single route; so a command that is
//! malformed is one with a problem, and the others are carried out. Of an atomic bulk the first thing
//! that is wrong is the problem of the whole.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use florin_application::command::{Answer, Command, Outcome, Receipt, RequestId};
use florin_application::{Origin, SubmitError};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use super::Api;
use super::answer::{self, BodyAnswer, REPLAYED};
use super::audit::Ticket;
use super::call::read;
use super::code::Code;
use super::fields::{object, request_ids};
use super::guard::Reach;
use super::if_match::IfMatch;
use super::limits::{Account, Left};
use super::openapi::types;
use super::position::as_of;
use super::problem::{OfCommand, Problem};
use super::submit::{Asked, not_of_a_command, tell};
use super::{key, trace};

/// How many commands a bulk has at most: what one append carries in some tens of milliseconds.
pub(super) const MAX_COMMANDS: usize = 1_000;

/// The largest body of a bulk: 2 KiB a command, which has 200 bytes and its metadata some hundred
/// more.
pub(super) const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// How many bulks are in memory at once, from before their bodies are read: with what becomes of
/// them, about 400 MB. Each partition's queue has room for seven of the largest.
pub(super) const MAX_BULKS: usize = 64;

/// Room in memory for bulks.
#[derive(Debug, Clone)]
pub struct BulkRoom(Arc<Semaphore>);

impl Default for BulkRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BULKS)))
    }
}

/// A bulk as it arrives, its commands not read yet.
pub(super) struct BulkCall {
    pub(super) is_atomic: bool,
    pub(super) commands: Vec<Box<RawValue>>,
    /// The key of the whole.
    pub(super) request_id: Option<RequestId>,
    traceparent: Option<Arc<str>>,
    ticket: Option<Ticket>,
    /// Of which wallets it may ask.
    pub(super) reach: Reach,
    /// What its commands leave of the caller's budget, if they were charged for.
    pub(super) left: Option<Left>,
    /// Held until the bulk is answered.
    _room: OwnedSemaphorePermit,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Frame<'a> {
    atomic: Option<Value>,
    client_transaction_id: Option<Value>,
    #[serde(borrow)]
    commands: Option<&'a RawValue>,
    request_id: Option<Value>,
}

impl FromRequest<Api> for BulkCall {
    type Rejection = Problem;

    async fn from_request(mut request: Request, api: &Api) -> Result<Self, Problem> {
        let room = Arc::clone(&api.bulks.0).try_acquire_owned();
        let room = room.map_err(|_| Problem::from(SubmitError::Busy))?;
        let reach = request.extensions_mut().remove().unwrap_or(Reach::Nothing);
        let ticket = request.extensions_mut().remove();
        let account: Option<Account> = request.extensions_mut().remove();
        let headers = std::mem::take(request.headers_mut());
        let traceparent = trace::kept(request.extensions_mut(), &headers);
        if IfMatch::of(&headers)?.is_some() {
            let why = "A bulk has no condition, nor have its commands: send it without If-Match.";
            return Err(Problem::new(Code::InvalidIfMatch, why));
        }
        let body = read(request, &headers, api, MAX_BODY_BYTES).await?;
        let frame: Frame<'_> = object("The body", &body)?;
        let in_body = request_ids(frame.request_id, frame.client_transaction_id)?;
        let request_id = key::agreed(&headers, in_body)?;
        let is_atomic = match frame.atomic {
            None => false,
            Some(Value::Bool(is_atomic)) => is_atomic,
            Some(_) => return Err(invalid("atomic", "it is true or false")),
        };
        if request_id.is_some() && !is_atomic {
            return Err(Problem::new(
                Code::ConflictingFields,
                "Each command of a bulk has a key of its own: send `requestId` in the commands, or \
                 `atomic` for one key and one outcome of all.",
            ));
        }
        let commands = commands(frame.commands)?;
        let left = account.and_then(|account| account.owe(commands.len()));
        if let Some(problem) = left.as_ref().and_then(Left::refused) {
            return Err(problem);
        }
        Ok(Self { is_atomic, commands, request_id, traceparent, ticket, reach, left, _room: room })
    }
}

impl BulkCall {
    /// Where its commands come from; recorded with this status.
    pub(super) fn origin(&self, status: fn(&Outcome) -> u16) -> Origin {
        let audit = self.ticket.as_ref().map(|ticket| ticket.audit(status, true));
        Origin { traceparent: self.traceparent.clone(), audit }
    }
}

fn invalid(field: &'static str, why: &str) -> Problem {
    Problem::of_field(Code::InvalidBulk, field, why)
}

/// The commands as they are written, 1 to [`MAX_COMMANDS`].
fn commands(text: Option<&RawValue>) -> Result<Vec<Box<RawValue>>, Problem> {
    let listed = text.and_then(|text| serde_json::from_str::<Listed>(text.get()).ok());
    let is_good = |commands: &Vec<_>| (1..=MAX_COMMANDS).contains(&commands.len());
    listed.map(|Listed(commands)| commands).filter(is_good).ok_or_else(|| {
        let why = format!("a bulk is a list of 1 to {MAX_COMMANDS} commands: send it in parts");
        invalid("commands", &why)
    })
}

/// The elements of a list; of one that is too long, one more than may be.
struct Listed(Vec<Box<RawValue>>);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Bounded;

        impl<'de> Visitor<'de> for Bounded {
            type Value = Listed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of commands")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listed, A::Error> {
                let mut commands = Vec::new();
                while commands.len() <= MAX_COMMANDS
                    && let Some(command) = list.next_element()?
                {
                    commands.push(command);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Listed(commands))
            }
        }

        input.deserialize_seq(Bounded)
    }
}

/// A command of a bulk, and its own key.
pub(super) struct Item {
    pub(super) command: Command,
    pub(super) request_id: Option<RequestId>,
}

/// What became of every command of a bulk, in their order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bulk)]
pub(super) struct BulkAnswer<'a> {
    /// How many took effect.
    succeeded: usize,
    /// How many did not.
    failed: usize,
    /// In the order of the commands.
    results: Vec<ResultAnswer<'a>>,
}

/// What became of one command: a body if it took effect, a problem if it did not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkResult)]
pub(super) struct ResultAnswer<'a> {
    /// That of the single route.
    status: u16,
    /// Whether it was decided earlier, under the same key.
    replayed: bool,
    /// What the single route would have answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<BodyAnswer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::BulkProblem>)]
    problem: Option<OfCommand>,
}

/// What is known of one command.
pub(super) enum Done {
    /// It did not reach the ledger.
    Malformed(Problem),
    /// It did.
    Answered(Box<Asked>, Result<Answer, SubmitError>),
}

/// The answer to independent commands.
pub(super) fn each(api: &Api, done: Vec<Done>) -> Result<Response, Problem> {
    let is_away = |done: &&Done| matches!(done, Done::Answered(_, Err(SubmitError::Unavailable)));
    let away = done.iter().filter(is_away).count();
    let asked = done.iter().filter(|done| matches!(done, Done::Answered(..))).count();
    if asked > 0 && away == asked {
        return Err(Problem::unavailable());
    }
    let mut positions = BTreeMap::new();
    let kept: Vec<Kept> = done.into_iter().map(|done| keep(api, done, &mut positions)).collect();
    respond(kept.iter().map(Kept::shown), &positions)
}

/// A command with what its answer borrows from.
enum Kept {
    Accepted(Box<Asked>, Box<Receipt>, bool),
    Failed(Problem),
}

fn keep(api: &Api, done: Done, positions: &mut BTreeMap<u32, u64>) -> Kept {
    match done {
        Done::Malformed(problem) => Kept::Failed(problem),
        Done::Answered(_, Err(error)) => Kept::Failed(error.into()),
        Done::Answered(asked, Ok(Answer { outcome, replayed })) => match outcome {
            Outcome::Accepted(receipt) => {
                tell(api, &receipt);
                reach(positions, &receipt);
                Kept::Accepted(asked, receipt.into(), replayed)
            }
            Outcome::Refused(refused) => {
                Kept::Failed(Problem { replayed, ..asked.refused(&refused) })
            }
        },
    }
}

impl Kept {
    fn shown(&self) -> ResultAnswer<'_> {
        match self {
            Self::Accepted(asked, receipt, replayed) => accepted(asked, receipt, *replayed),
            Self::Failed(problem) => failed(problem.clone()),
        }
    }
}

/// The answer to an atomic bulk.
pub(super) fn all(
    api: &Api,
    mut asked: Vec<Asked>,
    answered: Result<Answer, SubmitError>,
) -> Result<Response, Problem> {
    let Answer { outcome, replayed } = answered?;
    let receipts = match outcome {
        Outcome::Accepted(Receipt::All(receipts)) => receipts,
        Outcome::Accepted(other) => return Err(not_of_a_command(&other)),
        Outcome::Refused(refused) => {
            let index = refused.index.unwrap_or_default();
            if index >= asked.len() {
                return Err(Problem::internal());
            }
            let problem = asked.swap_remove(index).refused(&refused).of_whole(index);
            return Err(Problem { replayed, ..problem });
        }
    };
    let mut positions = BTreeMap::new();
    for receipt in &receipts {
        tell(api, receipt);
        reach(&mut positions, receipt);
    }
    let results =
        asked.iter().zip(&receipts).map(|(asked, receipt)| accepted(asked, receipt, replayed));
    let mut response = respond(results, &positions)?;
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn respond<'a>(
    results: impl Iterator<Item = ResultAnswer<'a>>,
    positions: &BTreeMap<u32, u64>,
) -> Result<Response, Problem> {
    let results: Vec<ResultAnswer<'a>> = results.collect();
    let succeeded = results.iter().filter(|result| result.problem.is_none()).count();
    let body = BulkAnswer { succeeded, failed: results.len() - succeeded, results };
    let positions: Vec<(u32, u64)> = positions.iter().map(|(of, at)| (*of, *at)).collect();
    Ok(as_of(answer::json(StatusCode::OK, &body)?, &positions))
}

pub(super) fn accepted<'a>(
    asked: &'a Asked,
    receipt: &'a Receipt,
    replayed: bool,
) -> ResultAnswer<'a> {
    let request_id = asked.request_id.as_ref();
    let Some(body) = BodyAnswer::of(receipt, request_id, &asked.reach) else {
        return failed(not_of_a_command(receipt));
    };
    let status = answer::status(receipt, asked.opens).as_u16();
    ResultAnswer { status, replayed, body: Some(body), problem: None }
}

pub(super) fn failed(problem: Problem) -> ResultAnswer<'static> {
    let (status, replayed) = (problem.code.status().as_u16(), problem.replayed);
    ResultAnswer { status, replayed, body: None, problem: Some(OfCommand(problem)) }
}

/// Notes how far an answer is, in each partition.
pub(super) fn reach(positions: &mut BTreeMap<u32, u64>, receipt: &Receipt) {
    let reached = match receipt {
        Receipt::Movement(movement) => vec![(movement.partition, movement.position)],
        Receipt::Wallet(state) => vec![(state.partition, state.position)],
        Receipt::Transfer(transfer) => {
            answer::positions((transfer.partition, transfer.position), transfer.credit.as_ref())
        }
        Receipt::Leg(_) | Receipt::All(_) => vec![],
    };
    for (partition, position) in reached {
        let furthest = positions.entry(partition).or_insert(position);
        *furthest = position.max(*furthest);
    }
}

#[cfg(test)]
mod tests;

//! Operations as JSON: what was asked, how far it is, and what became of it, as the route that was
//! called would have answered.

use std::collections::BTreeMap;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use florin_application::SubmitError;
use florin_application::command::{Command, Outcome, Receipt, RequestId, WalletState};
use florin_domain::{WalletCommand, WalletId};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::answer::{self, REPLAYED, ReceiptAnswer, Time};
use super::bulk::{self, ResultAnswer};
use super::code::Code;
use super::guard::Reach;
use super::openapi::types;
use super::position::as_of;
use super::prefer::{PREFERENCE_APPLIED, RESPOND_ASYNC};
use super::problem::{Member, Problem, RETRY_AFTER_SECONDS};
use super::submit::{Asked, tell};
use super::wallets::WalletAnswer;
use crate::operations::desk::Accepted;
use crate::operations::{Operation, State, Verdict};

/// A command whose client does not wait for the outcome.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Operation)]
pub(super) struct OperationAnswer<'a> {
    #[schema(value_type = types::Id)]
    id: Uuid,
    #[schema(value_type = types::OperationState)]
    state: &'static str,
    request: RequestAnswer<'a>,
    /// How often it was begun.
    attempts: u32,
    created_at: Time,
    updated_at: Time,
    /// What the route would have answered; when it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultAnswer<'a>>,
}

/// What was asked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OperationRequest)]
struct RequestAnswer<'a> {
    #[serde(rename = "type")]
    #[schema(value_type = types::CommandType)]
    kind: &'static str,
    #[schema(value_type = types::WalletName)]
    wallet_id: &'a WalletId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::WalletName>)]
    to_wallet_id: Option<&'a WalletId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::RequestKey>)]
    request_id: Option<&'a RequestId>,
}

/// A transfer that takes longer than its client waits, or whose client does not wait.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = OnItsWay)]
#[expect(dead_code, reason = "a description: each is answered by itself")]
pub(super) enum OnItsWay<'a> {
    Transfer(ReceiptAnswer<'a>),
    Operation(OperationAnswer<'a>),
}

/// A wallet in its new state, or the operation that was to bring it there, which has ended before.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = WalletOrOperation)]
#[expect(dead_code, reason = "a description: each is answered by itself")]
pub(super) enum WalletOrOperation<'a> {
    Wallet(WalletAnswer<'a>),
    Operation(OperationAnswer<'a>),
}

/// The answer to a command that was taken in as an operation: a promise, unless it is here already
/// and has ended, of which nothing more is to come.
pub(super) fn accepted(
    api: &Api,
    Accepted { operation, is_known }: &Accepted,
    called: &Uri,
    reach: &Reach,
) -> Result<Response, Problem> {
    let version = if called.path().starts_with("/v1/") { "/v1" } else { "" };
    let location = format!("{version}/operations/{}", operation.id);
    let answered = match operation.state {
        State::Queued | State::Running => answer(StatusCode::ACCEPTED, operation, reach)?,
        State::Completed | State::Refused | State::Failed => on_record(api, operation, reach)?,
    };
    let mut response = answer::located(answered, &location);
    let is_promised = response.status() == StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    if is_promised {
        headers.insert(PREFERENCE_APPLIED, RESPOND_ASYNC);
    }
    if *is_known {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// An operation, for whoever may ask of it.
pub(super) async fn show(api: &Api, id: Uuid, reach: &Reach) -> Result<Response, Problem> {
    let found = api.operations.show(id).await.map_err(|error| {
        tracing::warn!(target: "http", %error, "an operation cannot be read");
        Problem::unread()
    })?;
    let operation = found.ok_or_else(|| not_found(id))?;
    if !covers(api, &operation, reach).await? {
        return Err(not_found(id));
    }
    on_record(api, &operation, reach)
}

/// One that is on record. Whoever is told what it did reads that from now on.
fn on_record(api: &Api, operation: &Operation, reach: &Reach) -> Result<Response, Problem> {
    if let Some(receipt) = receipt(operation) {
        tell(api, receipt);
    }
    answer(StatusCode::OK, operation, reach)
}

/// One that somebody asked in their own name is theirs; one in nobody's name is its wallet's owner's,
/// too.
async fn covers(api: &Api, operation: &Operation, reach: &Reach) -> Result<bool, Problem> {
    match (reach, &operation.owner) {
        (Reach::Any, _) => Ok(true),
        (Reach::Nothing, _) => Ok(false),
        (Reach::Own(own), Some(owner)) => Ok(own == owner),
        (Reach::Own(_), None) => {
            let wallet = api.ledger.wallet(operation.command.wallet()).await?;
            Ok(wallet.is_some_and(|state: WalletState| reach.covers_state(&state)))
        }
    }
}

fn not_found(id: Uuid) -> Problem {
    Problem::new(
        Code::OperationNotFound,
        "No operation is on record under this id: correct it, or send the command.",
    )
    .with("operationId", Member::Text(id.to_string()))
}

/// What it did, if it took effect.
fn receipt(operation: &Operation) -> Option<&Receipt> {
    match operation.verdict.as_ref()? {
        Verdict::Decided { outcome: Outcome::Accepted(receipt), .. } => Some(receipt),
        Verdict::Decided { outcome: Outcome::Refused(_), .. }
        | Verdict::VersionMismatch { .. }
        | Verdict::KeyReused => None,
    }
}

fn answer(status: StatusCode, operation: &Operation, reach: &Reach) -> Result<Response, Problem> {
    let asked = Asked::of(&operation.command, operation.request_id.as_ref(), reach);
    let body = OperationAnswer {
        id: operation.id,
        state: operation.state.name(),
        request: RequestAnswer {
            kind: operation.kind,
            wallet_id: operation.command.wallet(),
            to_wallet_id: match &operation.command {
                Command::Wallet { .. } => None,
                Command::Transfer(transfer) => Some(&transfer.to),
            },
            request_id: operation.request_id.as_ref(),
        },
        attempts: operation.attempts,
        created_at: Time(operation.created_at),
        updated_at: Time(operation.updated_at),
        result: result(operation, &asked),
    };
    let mut positions = BTreeMap::new();
    if let Some(receipt) = receipt(operation) {
        bulk::reach(&mut positions, receipt);
    }
    let positions: Vec<(u32, u64)> = positions.into_iter().collect();
    let mut response = as_of(answer::json(status, &body)?, &positions);
    match operation.state {
        State::Queued | State::Running => {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        State::Completed | State::Refused | State::Failed => {}
    }
    Ok(response)
}

/// What its route would have answered, written by whatever writes that.
fn result<'a>(operation: &'a Operation, asked: &'a Asked) -> Option<ResultAnswer<'a>> {
    let Some(verdict) = &operation.verdict else {
        return (operation.state == State::Failed).then(|| bulk::failed(set_aside()));
    };
    Some(match verdict {
        Verdict::Decided { outcome: Outcome::Accepted(receipt), replayed } => {
            let replayed = *replayed && !is_its_own(&operation.command, receipt, asked);
            bulk::accepted(asked, receipt, replayed)
        }
        Verdict::Decided { outcome: Outcome::Refused(refused), replayed } => {
            let replayed = *replayed && operation.request_id.is_some();
            bulk::failed(Problem { replayed, ..asked.refused(refused) })
        }
        Verdict::VersionMismatch { actual } => {
            bulk::failed(SubmitError::VersionMismatch { actual: *actual }.into())
        }
        Verdict::KeyReused => bulk::failed(SubmitError::KeyReused.into()),
    })
}

/// Whether it was this operation that did it, at an attempt whose end nobody saw, and no other
/// request under the same key. Of a command that changes a wallet's state under a client's key, or
/// opens one whose id is given, the outcome does not tell: if nobody saw that its attempt came to an
/// end, it counts as replayed, though it was this operation that did it.
fn is_its_own(command: &Command, receipt: &Receipt, asked: &Asked) -> bool {
    if asked.request_id.is_none() {
        return true;
    }
    match (receipt, command) {
        (Receipt::Movement(movement), Command::Wallet { command, .. }) => match command {
            WalletCommand::Deposit(deposit) => deposit.transaction_id == movement.transaction_id,
            WalletCommand::Withdraw(out) => out.transaction_id == movement.transaction_id,
            WalletCommand::Open(_)
            | WalletCommand::Freeze(_)
            | WalletCommand::Unfreeze(_)
            | WalletCommand::Close(_)
            | WalletCommand::Debit(_)
            | WalletCommand::Credit(_)
            | WalletCommand::Refund(_) => false,
        },
        (Receipt::Transfer(receipt), Command::Transfer(transfer)) => {
            receipt.transfer_id == transfer.transfer_id
        }
        (Receipt::Wallet(state), Command::Wallet { id, id_is_new: true, .. }) => {
            state.wallet_id == *id
        }
        (
            Receipt::Wallet(_)
            | Receipt::Movement(_)
            | Receipt::Transfer(_)
            | Receipt::Leg(_)
            | Receipt::All(_),
            Command::Wallet { .. } | Command::Transfer(_),
        ) => false,
    }
}

/// It came to no outcome, as far as anybody can see.
fn set_aside() -> Problem {
    Problem::new(
        Code::OperationFailed,
        "It was tried again and again and came to no outcome, for a reason of ours: it is set aside \
         for operators, who queue it again or discard it. With the same idempotency key and without \
         `Prefer` it is safe to send again.",
    )
}

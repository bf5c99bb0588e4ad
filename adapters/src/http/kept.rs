//! What is on record for an idempotency key, as JSON: what was asked under it is told by its
//! fingerprint, and what became of it by the answer that a repeat would be given.

use axum::http::StatusCode;
use axum::response::Response;
use florin_application::command::{Outcome, Receipt, RequestId, TransferState};
use florin_application::journal::{KeptKey, KeyRecord};
use florin_domain::{TransferId, WalletId};
use serde::Serialize;
use serde_json::value::RawValue;

use utoipa::ToSchema;

use super::Api;
use super::answer::{self, BodyAnswer, Time};
use super::code::Code;
use super::guard::Reach;
use super::openapi::types;
use super::position::as_of;
use super::problem::{Document, Member, Problem};
use super::submit::{not_of_a_command, refused_of, tell};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IdempotencyKey)]
pub(super) struct KeyAnswer<'a> {
    /// Whose key it is; nobody's, where a wallet was to be opened without saying which.
    #[schema(value_type = Option<types::WalletName>)]
    wallet_id: Option<&'a WalletId>,
    #[schema(value_type = types::RequestKey)]
    key: &'a RequestId,
    #[schema(value_type = types::KeyState)]
    state: &'static str,
    /// 128 bits of a SHA-256 over what was asked, in hexadecimal: another request has another one.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::Id>)]
    transfer_id: Option<TransferId>,
    /// Where the last event of it lies; a refusal that moved nothing has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// When the request was recorded.
    recorded_at: Time,
    /// The body that a repeat is answered with, without the trace id of a problem; of an atomic bulk,
    /// those of its commands; none while the request is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::AnyJson>)]
    outcome: Option<Box<RawValue>>,
}

/// What is on record for a key.
pub(super) async fn record(
    api: &Api,
    wallet: Option<&WalletId>,
    key: &RequestId,
    reach: &Reach,
) -> Result<Response, Problem> {
    let owner = reach.owner()?;
    // Of somebody else's wallet, nothing is on record.
    if let (Some(wallet), Some(_)) = (wallet, owner)
        && !api.ledger.wallet(wallet).await?.is_some_and(|state| reach.covers_state(&state))
    {
        return Err(unknown(Some(wallet), key));
    }
    let record = api.ledger.key(wallet, owner, key.clone()).await?;
    let KeyRecord { kept, recorded_at } = record.ok_or_else(|| unknown(wallet, key))?;
    let transfer = match kept.transfer {
        Some(id) => api.ledger.transfer(id).await?,
        None => None,
    };
    let at = place(&kept, transfer.as_ref());
    if let Some(Outcome::Accepted(receipt)) = kept.outcome.as_deref() {
        tell(api, receipt);
    }
    let outcome = kept.outcome.as_deref();
    let outcome = outcome.map(|outcome| body(wallet, key, reach, outcome, transfer.as_ref()));
    let answer = KeyAnswer {
        wallet_id: wallet,
        key,
        state: match kept.outcome.as_deref() {
            None => "in-progress",
            Some(Outcome::Accepted(_)) => "accepted",
            Some(Outcome::Refused(_)) => "refused",
        },
        fingerprint: kept.fingerprint.0.iter().map(|byte| format!("{byte:02x}")).collect(),
        transfer_id: kept.transfer,
        partition: at.map(|(partition, _)| partition),
        position: at.map(|(_, position)| position),
        recorded_at: Time(recorded_at),
        outcome: outcome.transpose()?,
    };
    let at: Vec<(u32, u64)> = at.into_iter().collect();
    Ok(as_of(answer::json(StatusCode::OK, &answer)?, &at))
}

/// Where the last event is that the request led to.
fn place(kept: &KeptKey, transfer: Option<&TransferState>) -> Option<(u32, u64)> {
    if let Some(transfer) = transfer {
        return Some((transfer.partition, transfer.position));
    }
    match kept.outcome.as_deref()? {
        Outcome::Accepted(receipt) => place_of(receipt),
        Outcome::Refused(_) => None,
    }
}

fn place_of(receipt: &Receipt) -> Option<(u32, u64)> {
    match receipt {
        Receipt::Wallet(state) => Some((state.partition, state.position)),
        Receipt::Movement(movement) => Some((movement.partition, movement.position)),
        Receipt::Transfer(receipt) => Some((receipt.partition, receipt.position)),
        Receipt::Leg(leg) => Some((leg.partition, leg.position)),
        // One append, and the last of it is at its end.
        Receipt::All(receipts) => receipts.last().and_then(place_of),
    }
}

/// The body of the answer, written by whatever writes the answer itself.
fn body(
    wallet: Option<&WalletId>,
    key: &RequestId,
    reach: &Reach,
    outcome: &Outcome,
    transfer: Option<&TransferState>,
) -> Result<Box<RawValue>, Problem> {
    let one =
        |receipt, key| BodyAnswer::of(receipt, key, reach).ok_or_else(|| not_of_a_command(receipt));
    let text = match outcome {
        Outcome::Accepted(Receipt::All(receipts)) => {
            let bodies: Result<Vec<_>, _> = receipts.iter().map(|each| one(each, None)).collect();
            answer::text(&bodies?)?
        }
        Outcome::Accepted(receipt) => answer::text(&one(receipt, Some(key))?)?,
        Outcome::Refused(refused) => {
            let target = transfer.map(|transfer| &transfer.details.to);
            let problem = refused_of(refused, wallet, target);
            answer::text(&Document { problem: &problem, trace: None })?
        }
    };
    let text = String::from_utf8(text).map_err(|_| Problem::internal())?;
    RawValue::from_string(text).map_err(|_| Problem::internal())
}

fn unknown(wallet: Option<&WalletId>, key: &RequestId) -> Problem {
    let whose = match wallet {
        Some(wallet) => format!("of wallet {wallet}"),
        None => "that belongs to no wallet".to_owned(),
    };
    let problem = Problem::new(
        Code::KeyNotFound,
        format!(
            "Nothing is on record for this key {whose}: no request with it came to an outcome, and \
             it is safe to send one. (A key belongs to the wallet in the path, to the source of a \
             transfer, or to no wallet where one was opened without an id.)"
        ),
    )
    .with("key", Member::Text(key.to_string()));
    match wallet {
        Some(wallet) => problem.with("walletId", Member::Text(wallet.to_string())),
        None => problem,
    }
}

//! What is on record for an idempotency key, as JSON: what was asked under it is told by its
//! fingerprint, and what became of it by the answer that a repeat would be given.

use axum::body::to_bytes;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use florin_application::command::{Outcome, Receipt, RequestId, TransferState};
use florin_application::journal::{KeptKey, KeyRecord};
use florin_domain::{TransferId, WalletId};
use serde::Serialize;
use serde_json::value::RawValue;

use utoipa::ToSchema;

use super::Api;
use super::answer::{self, Time};
use super::code::Code;
use super::guard::Reach;
use super::openapi::types;
use super::position::as_of;
use super::problem::{Document, Member, Problem};
use super::submit::{refused_of, tell};
use super::wallets;

/// The largest answer to a command, by far: it has names, amounts and times, and no metadata.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

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
    uri: &Uri,
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
    let outcome = match kept.outcome.as_deref() {
        Some(outcome) => {
            Some(body(api, wallet, key, (reach, uri), outcome, transfer.as_ref()).await?)
        }
        None => None,
    };
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
        outcome,
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
async fn body(
    api: &Api,
    wallet: Option<&WalletId>,
    key: &RequestId,
    (reach, uri): (&Reach, &Uri),
    outcome: &Outcome,
    transfer: Option<&TransferState>,
) -> Result<Box<RawValue>, Problem> {
    match outcome {
        Outcome::Accepted(receipt) => {
            tell(api, receipt);
            match receipt {
                Receipt::All(receipts) => {
                    let mut bodies = Vec::with_capacity(receipts.len());
                    for receipt in receipts {
                        bodies.push(body_of(receipt, None, reach, uri).await?);
                    }
                    raw(answer::text(&bodies)?)
                }
                receipt @ (Receipt::Wallet(_)
                | Receipt::Movement(_)
                | Receipt::Transfer(_)
                | Receipt::Leg(_)) => body_of(receipt, Some(key), reach, uri).await,
            }
        }
        Outcome::Refused(refused) => {
            let target = transfer.map(|transfer| &transfer.details.to);
            let problem = refused_of(refused, wallet, target);
            raw(answer::text(&Document { problem: &problem, trace: None })?)
        }
    }
}

/// The body of one command's answer.
async fn body_of(
    receipt: &Receipt,
    key: Option<&RequestId>,
    reach: &Reach,
    uri: &Uri,
) -> Result<Box<RawValue>, Problem> {
    let response = match receipt {
        Receipt::Wallet(state) => wallets::state(StatusCode::OK, state)?,
        Receipt::Movement(movement) => answer::movement(movement, key)?,
        Receipt::Transfer(receipt) => answer::receipt(receipt, key, uri, reach)?,
        // Under a key of the ledger's own, which no client can name; and no bulk is in another.
        Receipt::Leg(_) | Receipt::All(_) => return Err(Problem::internal()),
    };
    let body = to_bytes(response.into_body(), MAX_ANSWER_BYTES).await;
    raw(body.map_err(|_| Problem::internal())?.to_vec())
}

fn raw(text: Vec<u8>) -> Result<Box<RawValue>, Problem> {
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

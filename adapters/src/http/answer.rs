//! What a client is told when all went well: amounts as strings in the scale of their currency,
//! times in RFC 3339 with microseconds, `ETag` with the version that the next `If-Match` may name.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use florin_application::command::{
    Direction, Leg, Movement, Receipt, RequestId, TransferReceipt, TransferState,
};
use florin_domain::transfer::Phase;
use florin_domain::{Currency, Metadata, TransactionId, TransferId, WalletId};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use utoipa::ToSchema;

use super::guard::Reach;
use super::openapi::types;
use super::position::as_of;
use super::problem::{Problem, Reason};
use super::wallets::WalletAnswer;

/// Says that the outcome was decided earlier, under the same key.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A deposit or a withdrawal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Movement)]
pub(super) struct MovementAnswer<'a> {
    #[schema(value_type = types::Id)]
    transaction_id: TransactionId,
    #[schema(value_type = types::WalletName)]
    wallet_id: &'a WalletId,
    #[serde(rename = "type")]
    #[schema(value_type = types::Direction)]
    direction: Direction,
    #[schema(value_type = types::Amount)]
    amount: Decimal,
    #[schema(value_type = types::CurrencyCode)]
    currency: Currency,
    #[schema(value_type = types::Amount)]
    balance: Decimal,
    version: u64,
    partition: u32,
    position: u64,
    recorded_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::RequestKey>)]
    request_id: Option<&'a RequestId>,
}

/// A transfer that moved money, or has begun to. The version is the source's.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TransferReceipt)]
pub(super) struct ReceiptAnswer<'a> {
    #[schema(value_type = types::Id)]
    transfer_id: TransferId,
    #[schema(value_type = types::Phase)]
    status: Phase,
    #[schema(value_type = types::WalletName)]
    from_wallet_id: &'a WalletId,
    #[schema(value_type = types::WalletName)]
    to_wallet_id: &'a WalletId,
    #[schema(value_type = types::Amount)]
    amount: Decimal,
    #[schema(value_type = types::CurrencyCode)]
    currency: Currency,
    #[schema(value_type = types::Amount)]
    from_balance: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::Amount>)]
    to_balance: Option<Decimal>,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_version: Option<u64>,
    partition: u32,
    position: u64,
    recorded_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::RequestKey>)]
    request_id: Option<&'a RequestId>,
}

/// A transfer, as of its last event. The version is its own.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Transfer)]
pub(super) struct TransferAnswer<'a> {
    #[schema(value_type = types::Id)]
    transfer_id: TransferId,
    #[schema(value_type = types::Phase)]
    status: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::ProblemReason>)]
    reason: Option<Reason>,
    #[schema(value_type = types::WalletName)]
    from_wallet_id: &'a WalletId,
    #[schema(value_type = types::WalletName)]
    to_wallet_id: &'a WalletId,
    #[schema(value_type = types::Amount)]
    amount: Decimal,
    #[schema(value_type = types::CurrencyCode)]
    currency: Currency,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::Amount>)]
    from_balance: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::Amount>)]
    to_balance: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::MetadataObject>)]
    metadata: Option<&'a Metadata>,
    version: u64,
    partition: u32,
    position: u64,
    created_at: Time,
    updated_at: Time,
}

impl<'a> MovementAnswer<'a> {
    pub(super) fn of(movement: &'a Movement, request_id: Option<&'a RequestId>) -> Self {
        Self {
            transaction_id: movement.transaction_id,
            wallet_id: &movement.wallet_id,
            direction: movement.direction,
            amount: movement.amount.value(),
            currency: movement.amount.currency(),
            balance: movement.balance,
            version: movement.version,
            partition: movement.partition,
            position: movement.position,
            recorded_at: Time(movement.recorded_at),
            request_id,
        }
    }
}

impl<'a> ReceiptAnswer<'a> {
    /// What the target holds is told to nobody who may not ask of it.
    pub(super) fn of(
        receipt: &'a TransferReceipt,
        request_id: Option<&'a RequestId>,
        reach: &Reach,
    ) -> Self {
        let credit = receipt.credit.as_ref().filter(|_| *reach == Reach::Any);
        Self {
            transfer_id: receipt.transfer_id,
            status: receipt.phase,
            from_wallet_id: &receipt.from,
            to_wallet_id: &receipt.to,
            amount: receipt.amount.value(),
            currency: receipt.amount.currency(),
            from_balance: receipt.debit.balance,
            to_balance: credit.map(|leg| leg.balance),
            version: receipt.debit.version,
            to_version: credit.map(|leg| leg.version),
            partition: receipt.partition,
            position: receipt.position,
            recorded_at: Time(receipt.recorded_at),
            request_id,
        }
    }
}

/// The body of an accepted command.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = BulkBody)]
pub(super) enum BodyAnswer<'a> {
    Movement(MovementAnswer<'a>),
    Transfer(ReceiptAnswer<'a>),
    Wallet(WalletAnswer<'a>),
}

impl<'a> BodyAnswer<'a> {
    /// None of what no single command of a client is answered with.
    pub(super) fn of(
        receipt: &'a Receipt,
        request_id: Option<&'a RequestId>,
        reach: &Reach,
    ) -> Option<Self> {
        match receipt {
            Receipt::Movement(movement) => {
                Some(Self::Movement(MovementAnswer::of(movement, request_id)))
            }
            Receipt::Transfer(transfer) => {
                Some(Self::Transfer(ReceiptAnswer::of(transfer, request_id, reach)))
            }
            Receipt::Wallet(state) => Some(Self::Wallet(WalletAnswer::from(state))),
            Receipt::Leg(_) | Receipt::All(_) => None,
        }
    }
}

/// The status of an accepted command: that of an opening, of money moved, of money on its way, or of
/// any other change.
pub(super) fn status(receipt: &Receipt, opens: bool) -> StatusCode {
    match receipt {
        Receipt::Transfer(receipt) => of_transfer(receipt.phase),
        Receipt::Movement(_) => MOVED,
        Receipt::Wallet(_) if opens => StatusCode::CREATED,
        Receipt::Wallet(_) | Receipt::Leg(_) | Receipt::All(_) => StatusCode::OK,
    }
}

/// The status of money that has moved.
const MOVED: StatusCode = StatusCode::CREATED;

fn of_transfer(phase: Phase) -> StatusCode {
    if phase == Phase::Completed { MOVED } else { StatusCode::ACCEPTED }
}

/// A deposit or a withdrawal.
pub(super) fn movement(
    movement: &Movement,
    request_id: Option<&RequestId>,
) -> Result<Response, Problem> {
    let body = MovementAnswer::of(movement, request_id);
    let response = versioned(MOVED, movement.version, &body)?;
    Ok(as_of(response, &[(movement.partition, movement.position)]))
}

/// A transfer that completed, or that goes on while the client may look at its `Location`. Who sends
/// from their own wallet is not told what the target's holds.
pub(super) fn receipt(
    receipt: &TransferReceipt,
    request_id: Option<&RequestId>,
    called: &Uri,
    reach: &Reach,
) -> Result<Response, Problem> {
    let positions = positions((receipt.partition, receipt.position), receipt.credit.as_ref());
    let body = ReceiptAnswer::of(receipt, request_id, reach);
    let response = as_of(versioned(of_transfer(receipt.phase), body.version, &body)?, &positions);
    if receipt.phase == Phase::Completed {
        return Ok(response);
    }
    let version = if called.path().starts_with("/v1/") { "/v1" } else { "" };
    let location = format!("{version}/transfers/{}", receipt.transfer_id);
    Ok(located(response, &location))
}

/// What a transfer is as of: in the partition of its source, and in that of its target if it is
/// another one.
pub(super) fn positions(own: (u32, u64), credit: Option<&Leg>) -> Vec<(u32, u64)> {
    let credit = credit.map(|leg| (leg.partition, leg.position));
    [own].into_iter().chain(credit.filter(|(partition, _)| *partition != own.0)).collect()
}

/// Which ends of a transfer whoever reads it may ask of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) from: bool,
    pub(super) to: bool,
}

/// A transfer on record. What only one end knows is told to that end only.
pub(super) fn transfer(state: &TransferState, ends: Ends) -> Result<Response, Problem> {
    let details = &state.details;
    let body = TransferAnswer {
        transfer_id: state.transfer_id,
        status: details.phase,
        // It may say what the source holds.
        reason: details.refusal.as_ref().filter(|_| ends.from).map(|why| Reason(why.into())),
        from_wallet_id: &details.from,
        to_wallet_id: &details.to,
        amount: details.amount.value(),
        currency: details.amount.currency(),
        from_balance: details.debit.as_ref().filter(|_| ends.from).map(|leg| leg.balance),
        to_balance: details.credit.as_ref().filter(|_| ends.to).map(|leg| leg.balance),
        request_id: state.request_id.as_deref().filter(|_| ends.from),
        metadata: details.metadata.as_ref(),
        version: state.version,
        partition: state.partition,
        position: state.position,
        created_at: Time(state.initiated_at),
        updated_at: Time(state.updated_at),
    };
    let response = versioned(StatusCode::OK, state.version, &body)?;
    Ok(as_of(response, &positions((state.partition, state.position), details.credit.as_ref())))
}

/// Says where the thing is that was made.
pub(super) fn located(mut response: Response, location: &str) -> Response {
    // Paths that were matched, ids and UUIDs are fit for a header.
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// A body as JSON text.
pub(super) fn text(body: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(body).map_err(|error| {
        tracing::error!(target: "http", %error, "an answer has no JSON text");
        Problem::internal()
    })
}

/// An answer that is written already.
pub(super) fn of_text(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body with nothing to say about versions.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    Ok(of_text(status, text(body)?))
}

/// A body as of a version of what it shows.
pub(super) fn versioned(
    status: StatusCode,
    version: u64,
    body: &impl Serialize,
) -> Result<Response, Problem> {
    Ok(tagged(json(status, body)?, version))
}

/// Says as of which version an answer is: what the next `If-Match` may name.
pub(super) fn tagged(mut response: Response, version: u64) -> Response {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// RFC 3339 in UTC, with the microseconds that the journal keeps.
#[derive(Debug)]
pub(super) struct Time(pub(super) DateTime<Utc>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

#[cfg(test)]
mod tests;

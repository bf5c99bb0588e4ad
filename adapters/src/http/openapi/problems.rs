//! What can go wrong at a route, as the responses of its operation: one for each status, which lists
//! the codes that it comes with.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response, Schema};

use super::types::text;
use crate::http::code::Code;

/// Wherever a request goes.
pub(in crate::http) const ANY: &[Code] = &[Code::Internal, Code::Unavailable];

/// Where a body is read.
pub(in crate::http) const BODY: &[Code] = &[
    Code::MalformedJson,
    Code::MalformedBody,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::InvalidRequestId,
    Code::ConflictingFields,
    Code::InvalidIfMatch,
];

/// Where a command goes to the ledger.
pub(in crate::http) const COMMAND: &[Code] = &[
    Code::InvalidWalletId,
    Code::WalletNotFound,
    Code::RequestInProgress,
    Code::VersionMismatch,
    Code::IdempotencyMismatch,
    Code::WalletClosed,
    Code::Busy,
];

/// Where many commands go there at once; those of single commands besides.
pub(in crate::http) const BULK: &[Code] = &[
    Code::InvalidBulk,
    Code::InvalidCommandType,
    Code::InvalidWalletId,
    Code::WalletNotFound,
    Code::RequestInProgress,
    Code::IdempotencyMismatch,
    Code::WalletClosed,
    Code::DifferentPartitions,
    Code::Busy,
];

/// Where money is named.
pub(in crate::http) const MONEY: &[Code] = &[
    Code::InvalidAmount,
    Code::TooManyDecimals,
    Code::InvalidCurrency,
    Code::InvalidMetadata,
    Code::CurrencyMismatch,
    Code::BalanceLimit,
];

/// Where money must be named.
pub(in crate::http) const AMOUNT: &[Code] = &[Code::MissingField];

/// Where money leaves a wallet.
pub(in crate::http) const OUT: &[Code] = &[Code::InsufficientFunds, Code::WalletFrozen];

/// Where it goes to another wallet.
pub(in crate::http) const TRANSFER: &[Code] = &[Code::SameWallet];

/// Where a wallet is opened.
pub(in crate::http) const OPEN: &[Code] = &[Code::WalletExists, Code::InvalidOwner];

/// Where the status of a wallet changes.
pub(in crate::http) const STATUS: &[Code] = &[Code::InvalidReason];

/// Where a wallet is closed.
pub(in crate::http) const CLOSE: &[Code] = &[Code::WalletNotEmpty, Code::TransferInFlight];

/// Where a read model answers.
pub(in crate::http) const READ: &[Code] = &[Code::InvalidParameter, Code::ReadModelBehind];

/// Where events are streamed.
pub(in crate::http) const STREAM: &[Code] = &[Code::InvalidParameter, Code::TooManyStreams];

/// Where the write side answers, which has no more than it can do.
pub(in crate::http) const LEDGER: &[Code] = &[Code::Busy];

/// Where it answers about one wallet.
pub(in crate::http) const WALLET: &[Code] = &[Code::InvalidWalletId, Code::WalletNotFound];

/// Where it is about an alert.
pub(in crate::http) const ALERT: &[Code] = &[Code::InvalidAlertId, Code::AlertNotFound];

/// Where it is about a dead letter.
pub(in crate::http) const LETTER: &[Code] = &[Code::InvalidDeadLetterId, Code::DeadLetterNotFound];

/// Where it is about a call on record.
pub(in crate::http) const CALL: &[Code] = &[Code::InvalidCallId, Code::CallNotFound];

/// Where it is about an operation.
pub(in crate::http) const OPERATION: &[Code] = &[Code::InvalidOperationId, Code::OperationNotFound];

/// Where it is about an idempotency key.
pub(in crate::http) const KEY: &[Code] = &[Code::InvalidRequestId, Code::KeyNotFound];

/// Where the journal tells what was.
pub(in crate::http) const PAST: &[Code] = &[Code::UnreadableEvent];

/// Where the whole ledger is reported on.
pub(in crate::http) const REPORT: &[Code] =
    &[Code::ReportTooLarge, Code::UnreadableEvent, Code::Busy];

/// Where a wallet is reported on, in one of several ways.
pub(in crate::http) const STATEMENT: &[Code] =
    &[Code::ReportTooLarge, Code::StatementIncomplete, Code::NotAcceptable];

/// Where a person decides.
pub(in crate::http) const DECISION: &[Code] =
    &[Code::MissingField, Code::InvalidOperator, Code::InvalidReason];

/// The name of the schema of problems.
const PROBLEM: &str = "Problem";

/// The schemas that the responses refer to.
pub(super) fn schemas() -> Vec<(String, RefOr<Schema>)> {
    let text =
        |description: &str| ObjectBuilder::from(text()).description(Some(description)).build();
    let status = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("The status of the answer."));
    let problem = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "What went wrong (RFC 9457), what to do about it, and the numbers, each by its name.",
        ))
        .property("type", text("`urn:florin:problem:` and the code."))
        .property("title", text("The code, for people."))
        .property("status", status)
        .property("detail", text("What is wrong, and how to mend it."))
        .property("code", text("What is wrong, by a name that does not change."))
        .property("traceId", text("Quote it when you report the problem."))
        .examples([example()]);
    let names = ["type", "title", "status", "detail", "code", "traceId"];
    let problem = names.into_iter().fold(problem, ObjectBuilder::required);
    vec![(PROBLEM.to_owned(), problem.into())]
}

fn example() -> Value {
    let code = Code::InsufficientFunds;
    json!({
        "type": format!("urn:florin:problem:{}", code.as_str()),
        "title": code.title(),
        "status": code.status().as_u16(),
        "detail": "The wallet holds 5.00, which is less than 7.25: ask for less, or deposit first.",
        "code": code.as_str(),
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "available": "5.00",
        "requested": "7.25",
        "currency": "USD",
    })
}

/// The responses for these codes, by status.
pub(super) fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().insert(code.as_str());
    }
    by_status.into_iter().map(|(status, names)| (status.to_string(), response(&names))).collect()
}

fn response(names: &BTreeSet<&'static str>) -> RefOr<Response> {
    let code =
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names.iter().copied()));
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name(PROBLEM))
        .item(ObjectBuilder::new().schema_type(Type::Object).property("code", code));
    let listed: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    ResponseBuilder::new()
        .description(listed.join(", "))
        .content("application/problem+json", Content::new(Some(Schema::from(schema.build()))))
        .build()
        .into()
}

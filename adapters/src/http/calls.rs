//! The record of calls: what is asked of it in a query, and how a call looks as JSON.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use florin_domain::Owner;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::answer::{self, Time};
use super::code::Code;
use super::openapi::types;
use super::problem::{Member, Problem};
use super::query::{self, invalid, parsed, time};
use crate::audit::{CallList, Filter, MAX_LIST, RecordedCall};

/// How many calls a page has when nobody says.
const DEFAULT_LIMIT: u32 = 50;

/// How much of a path can be asked for.
const MAX_PATH: usize = 200;

/// Which page of which calls.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) filter: Filter,
    pub(super) before: Option<Uuid>,
    pub(super) limit: u32,
}

/// The query as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Of this caller, as the token names it.
    #[param(value_type = Option<types::OwnerName>)]
    subject: Option<String>,
    /// From this address.
    #[param(value_type = Option<types::ClientAddressText>)]
    client: Option<String>,
    /// Whose path begins with this.
    #[param(value_type = Option<types::PathStart>)]
    path: Option<String>,
    /// Answered with this status.
    #[param(value_type = Option<u16>, minimum = 100, maximum = 599)]
    status: Option<String>,
    /// Received not before.
    #[param(value_type = Option<Time>)]
    from: Option<String>,
    /// Received before.
    #[param(value_type = Option<Time>)]
    to: Option<String>,
    /// The `nextCursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
    /// How many calls a page has; 50 if nobody says.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let given: Parameters = query::parameters(&parts.uri)?;
        let client: Option<IpAddr> = parsed("client", given.client)?;
        let subject: Option<Owner> = parsed("subject", given.subject)?;
        let filter = Filter {
            subject: subject.map(|subject| subject.as_str().to_owned()),
            client: client.map(|address| address.to_string()),
            path: path(given.path)?,
            status: status(given.status)?,
            from: time("from", given.from)?,
            to: time("to", given.to)?,
        };
        let limit = query::limit(given.limit, DEFAULT_LIMIT, MAX_LIST, "calls")?;
        Ok(Self { filter, before: cursor(given.cursor)?, limit })
    }
}

/// How the path of a call may begin.
fn path(text: Option<String>) -> Result<Option<String>, Problem> {
    let is_start = |text: &str| {
        text.len() <= MAX_PATH
            && text.starts_with('/')
            && text.bytes().all(|b| b.is_ascii_graphic())
    };
    match text {
        Some(text) if !is_start(&text) => {
            let why = format!("a path begins with `/` and is up to {MAX_PATH} letters and signs");
            Err(invalid("path", why))
        }
        text => Ok(text),
    }
}

fn status(text: Option<String>) -> Result<Option<u16>, Problem> {
    match parsed("status", text)? {
        Some(status) if !(100..600).contains(&status) => {
            Err(invalid("status", "a status is 100 to 599"))
        }
        status => Ok(status),
    }
}

/// Clients need not know that it is an id.
fn cursor(text: Option<String>) -> Result<Option<Uuid>, Problem> {
    let wrong = |_| invalid("cursor", "a cursor is the nextCursor of the page before");
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

/// A call as operators read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditedCall)]
pub(super) struct CallAnswer<'a> {
    /// What the metadata of its events have as `auditId`.
    #[schema(value_type = types::Id)]
    id: Uuid,
    at: Time,
    method: &'a str,
    /// Path and query.
    url: &'a str,
    /// By name; secrets are taken out.
    #[schema(value_type = types::AnyJson)]
    headers: Option<&'a RawValue>,
    /// The first 16 KiB of what was sent, if anything was read of it.
    body: Option<&'a str>,
    /// How many bytes were read.
    body_bytes: u64,
    /// The address that it came from.
    client: Option<&'a str>,
    /// Who called, if a token said it.
    subject: Option<&'a str>,
    /// What the caller was told. 499: they left before.
    status: u16,
    trace_id: &'a str,
}

impl<'a> From<&'a RecordedCall> for CallAnswer<'a> {
    fn from(RecordedCall { call, status }: &'a RecordedCall) -> Self {
        Self {
            id: call.id,
            at: Time(call.received_at),
            method: &call.method,
            url: &call.url,
            headers: serde_json::from_str(&call.headers).ok(),
            body: call.body.as_deref(),
            body_bytes: call.body_bytes,
            client: call.client.as_deref(),
            subject: call.subject.as_deref(),
            status: *status,
            trace_id: &call.trace_id,
        }
    }
}

/// A page of calls, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditPage)]
pub(super) struct ListAnswer<'a> {
    data: Vec<CallAnswer<'a>>,
    #[schema(value_type = Option<types::Id>)]
    next_cursor: Option<Uuid>,
    has_more: bool,
}

/// A page of them.
pub(super) fn list(list: &CallList) -> Result<Response, Problem> {
    let body = ListAnswer {
        data: list.calls.iter().map(CallAnswer::from).collect(),
        next_cursor: list.next,
        has_more: list.next.is_some(),
    };
    answer::json(StatusCode::OK, &body)
}

/// One of them.
pub(super) fn call(call: &RecordedCall) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &CallAnswer::from(call))
}

/// No call is on record under this id.
pub(super) fn not_found(id: Uuid) -> Problem {
    Problem::new(
        Code::CallNotFound,
        "No call is on record under this id. One that led to no event is on record within a second: \
         come again, or correct the id.",
    )
    .with("auditId", Member::Text(id.to_string()))
}

/// The record cannot be read now.
pub(super) fn away(cause: &sqlx::Error) -> Problem {
    tracing::warn!(target: "http", %cause, "the record of calls cannot be read");
    Problem::unread()
}

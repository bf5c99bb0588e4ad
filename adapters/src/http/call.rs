//! A write as it arrives: fields, key, condition, trace and reach, checked before a handler sees them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use florin_application::Origin;
use florin_application::command::{Outcome, RequestId};

use super::audit::Ticket;
use super::code::Code;
use super::fields::Fields;
use super::guard::Reach;
use super::if_match::IfMatch;
use super::key;
use super::prefer;
use super::problem::Problem;
use super::trace;

/// The largest body: sixteen times the largest metadata, so that nothing in bounds is near it.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// What a write brings.
#[derive(Debug)]
pub(super) struct Call {
    /// Where it was sent.
    pub(super) uri: Uri,
    /// Its body.
    pub(super) fields: Fields,
    /// Its idempotency key.
    pub(super) request_id: Option<RequestId>,
    /// Its condition.
    pub(super) if_match: Option<IfMatch>,
    /// The trace that it belongs to.
    traceparent: Option<Arc<str>>,
    /// The record of it, where there is one.
    ticket: Option<Ticket>,
    /// Of which wallets it may ask.
    pub(super) reach: Reach,
    /// Whether its client would rather not wait.
    pub(super) is_async: bool,
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        let headers = std::mem::take(request.headers_mut());
        let reach = request.extensions_mut().remove().unwrap_or(Reach::Nothing);
        let ticket = request.extensions_mut().remove();
        let traceparent = trace::kept(request.extensions_mut(), &headers);
        let uri = request.uri().clone();
        let if_match = IfMatch::of(&headers)?;
        let body = read(request, &headers, state, MAX_BODY_BYTES).await?;
        let mut fields = Fields::parse(&body)?;
        let request_id = key::agreed(&headers, fields.request_ids()?)?;
        let is_async = prefer::respond_async(&headers);
        Ok(Self { uri, fields, request_id, if_match, traceparent, ticket, reach, is_async })
    }
}

impl Call {
    /// Where its command comes from; recorded with these statuses.
    pub(super) fn origin(&self, status: fn(&Outcome) -> u16) -> Origin {
        let audit = self.ticket.as_ref().map(|ticket| ticket.audit(status, false));
        Origin { traceparent: self.traceparent.clone(), audit }
    }
}

/// A body that is JSON by its type, or nothing.
pub(super) async fn read<S: Send + Sync>(
    mut request: Request,
    headers: &HeaderMap,
    state: &S,
    max_bytes: usize,
) -> Result<Bytes, Problem> {
    DefaultBodyLimit::max(max_bytes).apply(&mut request);
    let body = Bytes::from_request(request, state).await.map_err(|error| {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let why = format!("A body is at most {max_bytes} bytes: send less.");
            return Problem::new(Code::BodyTooLarge, why);
        }
        Problem::new(Code::MalformedBody, "The body did not arrive whole: send it again.")
    })?;
    if !body.is_empty() && !is_json(headers) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "Bodies are JSON: send Content-Type: application/json.",
        ));
    }
    Ok(body)
}

/// `application/json`, whatever its parameters: JSON is UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

//! What a client is told when a request is not carried out: RFC 9457, `application/problem+json`.
//!
//! A handler returns a [`Problem`]; it travels in the response's extensions to the outermost layer,
//! which knows the trace id and writes the body. A 5xx says the same whatever its cause.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use florin_application::SubmitError;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::answer::REPLAYED;
use super::code::Code;
use super::guard;
use super::trace::TraceId;
use crate::reads::{ReadError, StandingsError};

/// How long a client waits before it sends the same again: most jams are gone within a second.
pub(super) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A request that was not carried out.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    /// What is wrong.
    pub(super) code: Code,
    /// What is wrong this time, and how to mend it.
    pub(super) detail: Cow<'static, str>,
    /// The numbers and names of this time, each a member of its own.
    pub(super) members: Vec<(&'static str, Member)>,
    /// Whether it was decided earlier, under the same key.
    pub(super) replayed: bool,
    /// After how many seconds the same may be sent again, where that is known better than by the code.
    pub(super) wait: Option<u64>,
}

/// The value of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Member {
    Text(String),
    Count(u64),
    Flag(bool),
    Names(Vec<&'static str>),
}

impl Problem {
    pub(super) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), members: vec![], replayed: false, wait: None }
    }

    /// One field of the body is wrong.
    pub(super) fn of_field(code: Code, field: &'static str, why: impl std::fmt::Display) -> Self {
        Self::new(code, format!("`{field}`: {why}")).with("field", Member::Text(field.to_owned()))
    }

    /// The cause is ours, and not the client's to know.
    pub(super) fn internal() -> Self {
        Self::new(
            Code::Internal,
            "The request failed for a reason of ours. Quote the trace id when you report it; with \
             the same idempotency key it is safe to send again.",
        )
    }

    /// The journal or the time ran out.
    pub(super) fn unavailable() -> Self {
        Self::new(
            Code::Unavailable,
            "The ledger cannot answer now, and the request may or may not have taken effect. With \
             the same idempotency key it is safe to send again.",
        )
    }

    /// The read models cannot be reached; reading has no effect, so there is none to be in doubt of.
    pub(super) fn unread() -> Self {
        Self::new(
            Code::Unavailable,
            "The read models cannot answer now: send the same again after the time in Retry-After.",
        )
    }

    /// The journal cannot be followed, as [`Self::unread`].
    pub(super) fn unfollowed() -> Self {
        Self::new(
            Code::Unavailable,
            "The journal cannot be followed now: come again after the time in Retry-After.",
        )
    }

    /// It is of use to send the same again after so many seconds.
    pub(super) fn after(self, seconds: u64) -> Self {
        Self { wait: Some(seconds), ..self }
    }

    pub(super) fn with(mut self, name: &'static str, value: Member) -> Self {
        self.members.push((name, value));
        self
    }

    /// Of which command of a bulk it is, the first being 0.
    pub(super) fn at(self, index: usize) -> Self {
        self.with("index", Member::Count(index as u64))
    }

    /// Of one command of an atomic bulk, by which the whole came to nothing.
    pub(super) fn of_whole(mut self, index: usize) -> Self {
        let detail = format!("commands[{index}]: {} Nothing of the bulk took effect.", self.detail);
        self.detail = detail.into();
        self.at(index)
    }

    /// The whole answer.
    pub(super) fn render(&self, trace: &TraceId, mut response: Response) -> Response {
        let document = Document { problem: self, trace: Some(trace) };
        // A map with names as keys always has a JSON text.
        *response.body_mut() = Body::from(serde_json::to_vec(&document).unwrap_or_default());
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.wait {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        } else if self.code.passes() {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if let Some(challenge) = guard::challenge(self) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if self.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }

    fn write_members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let code = Code::from(&error);
        match error {
            SubmitError::InProgress => Self::new(
                code,
                "A transfer with this idempotency key is still under way: send the same again \
                 after the time in Retry-After.",
            ),
            SubmitError::KeyReused => Self::new(
                code,
                "This idempotency key was used for another request: choose a new one, or send the \
                 first request again unchanged.",
            ),
            SubmitError::VersionMismatch { actual } => Self::new(
                code,
                format!(
                    "The wallet is at version {actual}, not at the one in If-Match: read it and \
                     decide again."
                ),
            )
            .with("actualVersion", Member::Count(actual)),
            SubmitError::Apart { index, one, other } => Self::new(
                code,
                format!(
                    "The wallets {one} and {other} lie in different partitions of the ledger, and \
                     an atomic bulk is of one: send these commands without `atomic`, or in a bulk \
                     for each partition, which every answer about a wallet names."
                ),
            )
            .at(index)
            .with("walletId", Member::Text(one.as_str().to_owned()))
            .with("otherWalletId", Member::Text(other.as_str().to_owned())),
            SubmitError::Busy => Self::new(
                code,
                "More is being asked than the ledger can do now, and nothing was done: send the \
                 same again after the time in Retry-After.",
            ),
            SubmitError::Unavailable => Self::unavailable(),
            SubmitError::Rejected => Self::internal(),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Behind { model, partition, position, wanted } => Self::new(
                Code::ReadModelBehind,
                format!(
                    "The read model {model} is at position {position} of partition {partition}, \
                     and not at {wanted} yet: send the same again after the time in Retry-After. \
                     GET /projections tells how far it is; a wallet is also read from the write \
                     side, with ?consistency=strong."
                ),
            )
            .with("model", Member::Text(model.to_owned()))
            .with("partition", Member::Count(partition.into()))
            .with("position", Member::Count(position))
            .with("wantedPosition", Member::Count(wanted)),
            error @ (ReadError::Unfollowed | ReadError::Away(_)) => away(&error),
        }
    }
}

impl From<StandingsError> for Problem {
    fn from(error: StandingsError) -> Self {
        away(&error)
    }
}

/// The read models' database does not answer.
fn away(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::warn!(target: "http", error, "the read models cannot be reached");
    Problem::unread()
}

/// The body of a problem; without a trace id where it tells of an answer of another time.
pub(super) struct Document<'a> {
    pub(super) problem: &'a Problem,
    pub(super) trace: Option<&'a TraceId>,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Problem { code, detail, .. } = self.problem;
        let status: StatusCode = code.status();
        let mut map = out.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("urn:florin:problem:{}", code.as_str()))?;
        map.serialize_entry("title", code.title())?;
        map.serialize_entry("status", &status.as_u16())?;
        map.serialize_entry("detail", detail)?;
        map.serialize_entry("code", code.as_str())?;
        if let Some(trace) = self.trace {
            map.serialize_entry("traceId", trace.as_str())?;
        }
        self.problem.write_members(&mut map)?;
        map.end()
    }
}

/// A problem of one command of several. The trace is that of the whole answer.
#[derive(Debug)]
pub(super) struct OfCommand(pub(super) Problem);

impl Serialize for OfCommand {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        Document { problem: &self.0, trace: None }.serialize(out)
    }
}

/// A problem as the reason of something else, such as of a failed transfer.
#[derive(Debug)]
pub(super) struct Reason(pub(super) Problem);

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        map.serialize_entry("code", self.0.code.as_str())?;
        map.serialize_entry("detail", &self.0.detail)?;
        self.0.write_members(&mut map)?;
        map.end()
    }
}

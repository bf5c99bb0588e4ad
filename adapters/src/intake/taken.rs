//! A message in hand, and what is done about it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use florin_application::{Answer, Ledger, Request, SubmitError};
use tokio::time::timeout;

use super::desk::ANSWER_WAIT;
use super::letters::HEADER;
use super::read::{Asked, Malformed, read};
use crate::nats::stream::INTAKE;
use crate::telemetry::traces as telemetry;
use crate::telemetry::traces::{AskedFor, context};

/// Where a sender says of which trace a message is part.
const TRACE: &str = "traceparent";

/// A message in hand.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) subject: String,
    pub(super) asked: Result<Asked, Malformed>,
    /// The letter that it was replayed from.
    pub(super) letter: Option<String>,
    /// What tells it from all others: its place in the stream, and when it came there, because a stream
    /// that is made anew counts anew.
    pub(super) place: String,
    /// How often it was delivered.
    pub(super) deliveries: u32,
    /// The trace that its sender says it is part of.
    pub(super) traceparent: Option<Arc<str>>,
}

impl Taken {
    /// What a message asks for, and whence it comes.
    pub(super) fn of(message: &Message) -> Self {
        let header = |name| message.headers.as_ref().and_then(|headers| headers.get(name));
        let letter = header(HEADER);
        let trace = header(TRACE).and_then(|value| context::traceparent(value.as_str()));
        let (place, deliveries) = match message.info() {
            Ok(info) => (
                format!("{}@{}", info.stream_sequence, info.published.unix_timestamp_nanos()),
                u32::try_from(info.delivered).unwrap_or(1),
            ),
            // It did not come from a stream; there is one letter for all such.
            Err(_) => ("nowhere".to_owned(), 1),
        };
        Self {
            subject: message.subject.to_string(),
            asked: read(message.subject.as_str(), &message.payload),
            letter: letter.map(|letter| letter.as_str().to_owned()),
            place,
            deliveries,
            traceparent: trace.map(Arc::from),
        }
    }
}

/// Submits what a message asks for, within its trace.
pub(super) async fn submitted(
    ledger: &Ledger,
    mut request: Request,
    trace: Option<&Arc<str>>,
) -> Option<Result<Answer, SubmitError>> {
    let asked = AskedFor { stream: INTAKE.name, message: None };
    let traced = telemetry::Asked::later(asked, trace.map(AsRef::as_ref));
    let own = traced.as_ref().map(telemetry::Asked::traceparent);
    request.origin.traceparent = own.or_else(|| trace.cloned());
    let answered = timeout(ANSWER_WAIT, ledger.submit(request)).await.ok();
    if let Some(span) = traced
        && !matches!(answered, Some(Ok(_)))
    {
        span.failed("no-outcome");
    }
    answered
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has been dealt with.
    Done,
    /// It is in a letter, for operators.
    Aside,
    /// It is to come again, after so long.
    Later(Duration),
}

impl Fate {
    /// As the server is told.
    pub(super) fn answer(self) -> AckKind {
        match self {
            Self::Done | Self::Aside => AckKind::Ack,
            Self::Later(wait) => AckKind::Nak(Some(wait)),
        }
    }
}

//! A recorded event as a message, and back: the two are the same event, byte for byte.
//!
//! The subject is `ledger.<partition>.<wallet|transfer>.<aggregate id>.<event type>`, the body is the
//! payload as it is stored, and everything else is a header: CloudEvents 1.0 in binary mode, whose
//! values are percent-encoded as its NATS binding wants.
//!
//! | header | holds |
//! |---|---|
//! | `Nats-Msg-Id`, `ce-id` | `<partition>-<position>`; the former with a suffix when published again |
//! | `ce-type`, `ce-eventversion` | the fact and the version of its shape |
//! | `ce-source` | always [`SOURCE`] |
//! | `ce-subject` | `wallet/<id>` or `transfer/<id>`; `ce-sequence` is the number in that stream |
//! | `ce-time` | when it was recorded, in microseconds |
//! | `ce-partition`, `ce-position` | where it lies in the journal |
//! | `ce-correlationid` | the deposit, withdrawal or transfer that it is part of |
//! | `ce-causationid` | see [`causation`] |
//! | `ce-balance` | what the wallet holds after it; transfers have none |
//! | `ce-hash` | the chain up to it, in hex |
//! | `ce-metadata` | the metadata as they are stored |
//! | `traceparent` | the W3C trace that it was part of |
//!
//! Nothing here looks into a payload.
//! Source: <https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md>.

use std::borrow::Cow;
use std::sync::Arc;

use async_nats::header::{HeaderName, HeaderValue, NATS_MESSAGE_ID};
use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, Message};
use chrono::{DateTime, SecondsFormat, Utc};
use florin_domain::event_metadata::EventMetadata;
use florin_domain::journal::{RecordedEvent, event_type_named};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

use crate::hex::{hex, unhex};
use crate::moment::place;

/// What `ce-source` says: with `ce-id` it names an event of this ledger.
pub const SOURCE: &str = "/florin/ledger";

/// What CloudEvents wants encoded: everything but printable ASCII, and of that ` `, `"` and `%`.
const TEXT: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'%');

/// What must not be in a token of a subject either. The ids of this ledger have none of it.
const TOKEN: AsciiSet = TEXT.add(b'.').add(b'*').add(b'>');

const TYPE: HeaderName = HeaderName::from_static("ce-type");
const ID: HeaderName = HeaderName::from_static("ce-id");
const ORIGIN: HeaderName = HeaderName::from_static("ce-source");
const SUBJECT: HeaderName = HeaderName::from_static("ce-subject");
const TIME: HeaderName = HeaderName::from_static("ce-time");
const SPEC: HeaderName = HeaderName::from_static("ce-specversion");
const SEQUENCE: HeaderName = HeaderName::from_static("ce-sequence");
const POSITION: HeaderName = HeaderName::from_static("ce-position");
const PARTITION: HeaderName = HeaderName::from_static("ce-partition");
const CORRELATION: HeaderName = HeaderName::from_static("ce-correlationid");
const CAUSATION: HeaderName = HeaderName::from_static("ce-causationid");
const VERSION: HeaderName = HeaderName::from_static("ce-eventversion");
const BALANCE: HeaderName = HeaderName::from_static("ce-balance");
const HASH: HeaderName = HeaderName::from_static("ce-hash");
const METADATA: HeaderName = HeaderName::from_static("ce-metadata");
const TRACE: HeaderName = HeaderName::from_static("traceparent");
const CONTENT: HeaderName = HeaderName::from_static("content-type");

/// A message that is no event of this ledger.
#[derive(Debug, Error)]
#[error("a message on {subject} is no event of this ledger: {header} {problem}")]
pub struct NotAnEvent {
    subject: String,
    header: String,
    problem: &'static str,
}

/// The subjects of a partition's events; what a consumer filters by.
pub fn subjects_of(partition: u32) -> String {
    format!("ledger.{partition}.>")
}

/// The event as a message, without a place to answer to yet.
///
/// `again` distinguishes a message that must reach the stream though the same event is there: it
/// follows the id by which the server finds duplicates.
pub fn message(event: RecordedEvent, again: Option<&str>) -> OutboundMessage {
    let id = place(event.partition, event.position);
    let kind = kind(event.aggregate_type);
    let subject = format!(
        "ledger.{}.{kind}.{}.{}",
        event.partition,
        utf8_percent_encode(&event.aggregate_id, &TOKEN),
        utf8_percent_encode(&event.event_type, &TOKEN)
    );
    let mut headers = HeaderMap::new();
    headers.insert(
        NATS_MESSAGE_ID,
        again.map_or_else(|| id.clone(), |suffix| format!("{id}-{suffix}")),
    );
    headers.insert(ID, id);
    headers.insert(SPEC, "1.0");
    headers.insert(CONTENT, "application/json");
    headers.insert(ORIGIN, SOURCE);
    headers.insert(TYPE, encoded(&event.event_type));
    headers.insert(VERSION, encoded(&event.event_version));
    headers.insert(SUBJECT, format!("{kind}/{}", utf8_percent_encode(&event.aggregate_id, &TEXT)));
    headers.insert(SEQUENCE, HeaderValue::from(event.sequence));
    headers.insert(TIME, event.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true));
    headers.insert(PARTITION, HeaderValue::from(event.partition));
    headers.insert(POSITION, HeaderValue::from(event.position));
    headers.insert(HASH, hex(&event.hash));
    headers.insert(METADATA, encoded(&event.metadata));
    if let Some(balance) = event.balance {
        headers.insert(BALANCE, balance.to_string());
    }
    let metadata = EventMetadata::read(&event.metadata);
    if let Some(correlation) = metadata.correlation_id {
        headers.insert(CORRELATION, correlation.to_string());
    }
    if let Some(causation) = causation(&event, &metadata) {
        headers.insert(CAUSATION, encoded(&causation));
    }
    // Checked where it came in; one of another form is left out.
    if let Some(Ok(trace)) = metadata.traceparent.map(|text| text.parse::<HeaderValue>()) {
        headers.insert(TRACE, trace);
    }
    let payload = event.payload.into();
    OutboundMessage { subject: subject.into(), reply: None, headers: Some(headers), payload }
}

/// What made the event happen: the transfer, deposit or withdrawal, for the events of the wallets in
/// it; the client's request, by its key, for the events of the transfer itself and for those that
/// are part of nothing else. Unknown for a request without a key.
fn causation(event: &RecordedEvent, metadata: &EventMetadata<'_>) -> Option<String> {
    let correlation = metadata.correlation_id.map(|id| id.to_string());
    let caused_by = correlation.filter(|id| **id != *event.aggregate_id);
    caused_by.or_else(|| metadata.request_id.as_deref().map(ToOwned::to_owned))
}

/// The event that a message carries.
///
/// # Errors
/// [`NotAnEvent`], with the header that is not as [`message`] writes it.
pub fn event(message: &Message) -> Result<RecordedEvent, NotAnEvent> {
    let found = Found::among(message.headers.as_ref());
    let wrong = |header: &HeaderName, problem| NotAnEvent {
        subject: message.subject.to_string(),
        header: header.to_string(),
        problem,
    };
    let text = |value: Option<&str>, name: &HeaderName| {
        let encoded = value.ok_or_else(|| wrong(name, "is missing"))?;
        let decoded = percent_decode_str(encoded).decode_utf8();
        decoded.map(Cow::into_owned).map_err(|_| wrong(name, "is not UTF-8"))
    };
    let number = |value: Option<&str>, name: &HeaderName| {
        let number = value.and_then(|text| text.parse::<u64>().ok());
        number.ok_or_else(|| wrong(name, "is not a number"))
    };
    let subject = text(found.subject, &SUBJECT)?;
    let (aggregate_type, aggregate_id) =
        aggregate(&subject).ok_or_else(|| wrong(&SUBJECT, "is neither a wallet nor a transfer"))?;
    let event_type = text(found.event_type, &TYPE)?;
    let balance = found.balance.map(str::parse).transpose();
    let recorded_at = found.time.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let payload = std::str::from_utf8(&message.payload).map(ToOwned::to_owned);
    Ok(RecordedEvent {
        partition: u32::try_from(number(found.partition, &PARTITION)?)
            .map_err(|_| wrong(&PARTITION, "is too large"))?,
        position: number(found.position, &POSITION)?,
        aggregate_type,
        aggregate_id: aggregate_id.into(),
        sequence: number(found.sequence, &SEQUENCE)?,
        event_type: event_type_named(&event_type),
        event_version: text(found.version, &VERSION)?,
        payload: payload.map_err(|_| wrong(&CONTENT, "is not that of the body"))?,
        metadata: Arc::from(text(found.metadata, &METADATA)?),
        balance: balance.map_err(|_| wrong(&BALANCE, "is not an amount"))?,
        recorded_at: recorded_at.ok_or_else(|| wrong(&TIME, "is not a time"))?.with_timezone(&Utc),
        hash: found.hash.and_then(unhex).ok_or_else(|| wrong(&HASH, "is not a hash"))?,
    })
}

/// The headers that make up an event, found in one pass: at 60,000 messages a second, a look-up for
/// each of them was a twentieth of a worker's time.
#[derive(Default)]
struct Found<'a> {
    subject: Option<&'a str>,
    event_type: Option<&'a str>,
    version: Option<&'a str>,
    sequence: Option<&'a str>,
    time: Option<&'a str>,
    partition: Option<&'a str>,
    position: Option<&'a str>,
    hash: Option<&'a str>,
    metadata: Option<&'a str>,
    balance: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn among(headers: Option<&'a HeaderMap>) -> Self {
        let mut found = Self::default();
        for (name, values) in headers.into_iter().flat_map(HeaderMap::iter) {
            let place = match name.as_ref() {
                "ce-subject" => &mut found.subject,
                "ce-type" => &mut found.event_type,
                "ce-eventversion" => &mut found.version,
                "ce-sequence" => &mut found.sequence,
                "ce-time" => &mut found.time,
                "ce-partition" => &mut found.partition,
                "ce-position" => &mut found.position,
                "ce-hash" => &mut found.hash,
                "ce-metadata" => &mut found.metadata,
                "ce-balance" => &mut found.balance,
                _ => continue,
            };
            *place = values.first().map(HeaderValue::as_str);
        }
        found
    }
}

/// How subjects name a kind of aggregate: `wallet`, `transfer`.
fn kind(aggregate_type: &str) -> String {
    aggregate_type.to_ascii_lowercase()
}

fn aggregate(subject: &str) -> Option<(&'static str, &str)> {
    match subject.split_once('/')? {
        ("wallet", id) => Some(("Wallet", id)),
        ("transfer", id) => Some(("Transfer", id)),
        _ => None,
    }
}

pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &TEXT).to_string()
}

#[cfg(test)]
mod tests;

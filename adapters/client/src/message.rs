//! An event as a message of the stream `LEDGER`: the subject is
//! `ledger.<partition>.<wallet|transfer>.<id>.<type>`, the body the payload, and everything else a
//! header, as CloudEvents 1.0 has them in NATS, percent-encoded.

use std::borrow::Cow;
use std::str::FromStr;

use async_nats::header::HeaderValue;
use async_nats::{HeaderMap, Message};
use chrono::{DateTime, Utc};
use florin_domain::event_metadata::request_id;
use florin_domain::journal::event_type_named;
use florin_domain::{TransferId, WalletId};
use percent_encoding::percent_decode_str;

use crate::event::{Arrived, LedgerEvent, NotAnEvent, Stream};

/// The event that a message carries.
///
/// # Errors
/// [`NotAnEvent`], with the header that is missing or wrong.
pub fn read(message: &Message) -> Result<LedgerEvent, NotAnEvent> {
    let found = Found::among(message.headers.as_ref());
    let wrong = |name: &str| NotAnEvent(format!("{name} on {}", message.subject));
    let payload = std::str::from_utf8(&message.payload).map_err(|_| wrong("the body"))?;
    let time = found.time.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let subject = text(found.subject).ok_or_else(|| wrong("ce-subject"))?;
    let event_type = text(found.event_type).ok_or_else(|| wrong("ce-type"))?;
    let version = text(found.version).ok_or_else(|| wrong("ce-eventversion"))?;
    let balance = found.balance.map(str::parse).transpose();
    Ok(Arrived {
        partition: number(found.partition).ok_or_else(|| wrong("ce-partition"))?,
        position: number(found.position).ok_or_else(|| wrong("ce-position"))?,
        stream: stream(&subject).ok_or_else(|| wrong("ce-subject"))?,
        sequence: number(found.sequence).ok_or_else(|| wrong("ce-sequence"))?,
        event_type: event_type_named(&event_type),
        event_version: version.into_owned(),
        payload: payload.to_owned(),
        balance: balance.map_err(|_| wrong("ce-balance"))?,
        recorded_at: time.ok_or_else(|| wrong("ce-time"))?.with_timezone(&Utc),
        // Metadata of another form say nothing.
        request_id: text(found.metadata).and_then(|metadata| request_id(&metadata)),
    }
    .into())
}

/// The headers that make up an event, found in one pass.
#[derive(Default)]
struct Found<'a> {
    subject: Option<&'a str>,
    event_type: Option<&'a str>,
    version: Option<&'a str>,
    sequence: Option<&'a str>,
    time: Option<&'a str>,
    partition: Option<&'a str>,
    position: Option<&'a str>,
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
                "ce-metadata" => &mut found.metadata,
                "ce-balance" => &mut found.balance,
                _ => continue,
            };
            *place = values.first().map(HeaderValue::as_str);
        }
        found
    }
}

fn text(encoded: Option<&str>) -> Option<Cow<'_, str>> {
    percent_decode_str(encoded?).decode_utf8().ok()
}

fn number<N: FromStr>(text: Option<&str>) -> Option<N> {
    text?.parse().ok()
}

fn stream(subject: &str) -> Option<Stream> {
    match subject.split_once('/')? {
        ("wallet", id) => Some(Stream::Wallet(id.parse::<WalletId>().ok()?)),
        ("transfer", id) => {
            // As the domain reads it; the crate needs no UUIDs of its own.
            let id: TransferId = serde_json::from_value(id.into()).ok()?;
            Some(Stream::Transfer(id))
        }
        _ => None,
    }
}

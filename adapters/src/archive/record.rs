//! What the lines of a file say, and what that means.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_application::command::Outcome;
use florin_domain::journal::{RecordedEvent, event_type_named};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::{Header, KeyRow, KeysEnd, read_place};
use crate::hex::{hex, unhex};
use crate::moment::place;

/// A line. Tagged from outside: inside others, JSON would lose its text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Line<'a> {
    Journal(Header),
    #[serde(borrow)]
    Key(KeyLine<'a>),
    Keys(KeysEnd),
    #[serde(borrow)]
    Event(EventLine<'a>),
}

/// What a line means.
#[derive(Debug)]
pub(super) enum Record {
    Header(Header),
    Key(KeyRow),
    KeysEnd(KeysEnd),
    Event(RecordedEvent),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct KeyLine<'a> {
    #[serde(borrow)]
    scope: Cow<'a, str>,
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow)]
    fingerprint: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transfer_id: Option<Uuid>,
    recorded_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EventLine<'a> {
    #[serde(borrow)]
    position: Cow<'a, str>,
    #[serde(borrow)]
    aggregate_type: Cow<'a, str>,
    #[serde(borrow)]
    aggregate_id: Cow<'a, str>,
    sequence: u64,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    event_version: Cow<'a, str>,
    recorded_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    balance: Option<Decimal>,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
    #[serde(borrow)]
    hash: Cow<'a, str>,
}

/// JSON as it is stored. What is no object on one line becomes a text that holds it.
pub(super) fn exact(stored: &str) -> Result<Cow<'_, RawValue>, serde_json::Error> {
    match serde_json::from_str::<&RawValue>(stored) {
        Ok(raw)
            if raw.get() == stored && stored.starts_with('{') && !stored.contains(['\n', '\r']) =>
        {
            Ok(Cow::Borrowed(raw))
        }
        Ok(_) | Err(_) => to_raw_value(stored).map(Cow::Owned),
    }
}

/// The JSON that was stored.
fn stored(raw: &RawValue) -> Result<String, String> {
    match raw.get().starts_with('"') {
        true => serde_json::from_str(raw.get()).map_err(|error| error.to_string()),
        false => Ok(raw.get().to_owned()),
    }
}

impl<'a> KeyLine<'a> {
    pub(super) fn of(row: &'a KeyRow, outcome: Option<&'a RawValue>) -> Self {
        Self {
            scope: Cow::Borrowed(&row.scope),
            request_id: Cow::Borrowed(&row.request_id),
            fingerprint: Cow::Owned(hex(&row.fingerprint)),
            outcome,
            transfer_id: row.transfer_id,
            recorded_at: row.recorded_at,
        }
    }

    pub(super) fn row(&self) -> Result<KeyRow, String> {
        let outcome = self.outcome.map(stored).transpose()?;
        if let Some(outcome) = &outcome {
            serde_json::from_str::<Outcome>(outcome)
                .map_err(|error| format!("the outcome of a key cannot be read: {error}"))?;
        }
        Ok(KeyRow {
            scope: plain("scope", &self.scope)?,
            request_id: plain("requestId", &self.request_id)?,
            fingerprint: unhex(&self.fingerprint)
                .ok_or("the fingerprint of a key is 32 digits of hex")?,
            outcome,
            transfer_id: self.transfer_id,
            recorded_at: in_microseconds(self.recorded_at)?,
        })
    }
}

/// The JSON of a key, which its digest is made of.
pub(super) fn key_json(row: &KeyRow) -> Result<String, serde_json::Error> {
    let outcome = row.outcome.as_deref().map(exact).transpose()?;
    serde_json::to_string(&KeyLine::of(row, outcome.as_deref()))
}

impl<'a> EventLine<'a> {
    pub(super) fn of(
        event: &'a RecordedEvent,
        payload: &'a RawValue,
        metadata: &'a RawValue,
    ) -> Self {
        Self {
            position: Cow::Owned(place(event.partition, event.position)),
            aggregate_type: Cow::Borrowed(event.aggregate_type),
            aggregate_id: Cow::Borrowed(&event.aggregate_id),
            sequence: event.sequence,
            event_type: Cow::Borrowed(&event.event_type),
            event_version: Cow::Borrowed(&event.event_version),
            recorded_at: event.recorded_at,
            balance: event.balance,
            payload,
            metadata,
            hash: Cow::Owned(hex(&event.hash)),
        }
    }

    pub(super) fn event(&self) -> Result<RecordedEvent, String> {
        Columns {
            position: &self.position,
            aggregate_type: &self.aggregate_type,
            aggregate_id: &self.aggregate_id,
            sequence: self.sequence,
            event_type: &self.event_type,
            event_version: &self.event_version,
            recorded_at: self.recorded_at,
            balance: self.balance,
            payload: stored(self.payload)?,
            metadata: stored(self.metadata)?,
            hash: &self.hash,
        }
        .event()
    }
}

/// An event as it is written, in whichever form.
pub(super) struct Columns<'a> {
    pub(super) position: &'a str,
    pub(super) aggregate_type: &'a str,
    pub(super) aggregate_id: &'a str,
    pub(super) sequence: u64,
    pub(super) event_type: &'a str,
    pub(super) event_version: &'a str,
    pub(super) recorded_at: DateTime<Utc>,
    pub(super) balance: Option<Decimal>,
    pub(super) payload: String,
    pub(super) metadata: String,
    pub(super) hash: &'a str,
}

impl Columns<'_> {
    pub(super) fn event(self) -> Result<RecordedEvent, String> {
        let (partition, position) = read_place(self.position)
            .ok_or_else(|| format!("`{}` is no position such as 0-123", self.position))?;
        // The payload is read by whoever proves the event.
        if let Err(error) = serde_json::from_str::<&RawValue>(&self.metadata) {
            return Err(format!("the metadata are no JSON: {error}"));
        }
        Ok(RecordedEvent {
            partition,
            position,
            aggregate_type: match self.aggregate_type {
                "Wallet" => "Wallet",
                "Transfer" => "Transfer",
                unknown => return Err(format!("no aggregate is a `{unknown}`")),
            },
            aggregate_id: plain("aggregateId", self.aggregate_id)?.into(),
            sequence: self.sequence,
            event_type: event_type_named(&plain("eventType", self.event_type)?),
            event_version: plain("eventVersion", self.event_version)?,
            payload: self.payload,
            metadata: Arc::from(self.metadata),
            balance: self.balance,
            recorded_at: in_microseconds(self.recorded_at)?,
            hash: unhex(self.hash).ok_or("the hash of an event is 64 digits of hex")?,
        })
    }
}

/// A text as Postgres can keep it.
fn plain(name: &str, text: &str) -> Result<String, String> {
    match text.contains('\0') {
        true => Err(format!("{name} has a character that no ledger can keep")),
        false => Ok(text.to_owned()),
    }
}

/// A time as Postgres can keep it: hashes are made of microseconds too, and would not show more.
fn in_microseconds(time: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    match time.timestamp_subsec_nanos().is_multiple_of(1_000) {
        true => Ok(time),
        false => Err("a time has microseconds, and no smaller part".to_owned()),
    }
}

//! An alert or a dead letter as a message: CloudEvents 1.0 in binary mode, JSON in the body.
//!
//! | | alert | dead letter |
//! |---|---|---|
//! | subject | `alerts.<wallet>.<rule>` | `dead-letters.<projection>.<wallet or transfer>` |
//! | `Nats-Msg-Id`, `ce-id` | `<rule>:<partition>-<position>` | `<projection>:<partition>:<position>` |
//! | `ce-type` | `FraudAlert` | `DeadLetter` |
//! | `ce-subject` | `wallet/<id>` | `wallet/<id>`, `transfer/<id>`, `operation/<id>`, `message/<id>` |
//! | `ce-time` | when the event was recorded | when it was set aside |
//! | `ce-partition`, `ce-position` | the event | the event; of an operation or a message, its letter |
//!
//! An operation or a message of another service that was queued again may fail again: each time is told,
//! under an id that ends in `:<microseconds>`, when it was set aside.

use async_nats::HeaderMap;
use chrono::{DateTime, SecondsFormat, Utc};
use florin_domain::contracts::schemas::TimeText;
use florin_domain::fraud::Alert;
use florin_projections::dead_letters::{DeadLetter, INTAKE, OPERATIONS, State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::dead_letters::document;
use crate::nats::courier::Message;
use crate::nats::message::SOURCE;

impl Message {
    pub(crate) fn of_alert(alert: &Alert) -> Self {
        let wallet = alert.wallet.as_str();
        Self::of_event(
            Event {
                id: alert.id.clone(),
                kind: "FraudAlert",
                about: format!("wallet/{wallet}"),
                time: alert.at,
                place: (alert.event.partition, alert.event.position),
            },
            format!("alerts.{}.{}", token(wallet), token(alert.rule.as_str())),
            &json!(alert),
        )
    }

    pub(crate) fn of_letter(letter: &DeadLetter) -> Self {
        let stream = &letter.aggregate_id;
        let kind = letter.aggregate_type.to_ascii_lowercase();
        Self::of_event(
            Event {
                id: id_of(letter),
                kind: "DeadLetter",
                about: format!("{kind}/{}", token(stream)),
                time: letter.first_at,
                place: (letter.id.partition, letter.id.position),
            },
            format!("dead-letters.{}.{}", token(&letter.id.projection), token(stream)),
            &json!(LetterBody::of(letter)),
        )
    }

    fn of_event(event: Event, subject: String, body: &Value) -> Self {
        let Event { id, kind, about, time, place: (partition, position) } = event;
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-id", id.clone()),
            ("ce-specversion", "1.0".to_owned()),
            ("ce-source", SOURCE.to_owned()),
            ("ce-type", kind.to_owned()),
            ("ce-subject", about),
            ("ce-time", time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            ("ce-partition", partition.to_string()),
            ("ce-position", position.to_string()),
            ("content-type", "application/json".to_owned()),
        ] {
            headers.insert(name, value);
        }
        Self { id, subject, headers, body: body.to_string().into_bytes() }
    }
}

/// The id under which a letter is told: of what can be queued again, one for each time that it failed.
pub(super) fn id_of(letter: &DeadLetter) -> String {
    match [INTAKE, OPERATIONS].contains(&&*letter.id.projection) {
        true => format!("{}:{}", letter.id, letter.first_at.timestamp_micros()),
        false => letter.id.to_string(),
    }
}

/// What the headers say.
struct Event {
    id: String,
    kind: &'static str,
    about: String,
    time: DateTime<Utc>,
    place: (u32, u64),
}

/// The body of a dead letter.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LetterBody<'a> {
    /// `<projection>:<partition>:<position>`, by which the API knows it.
    id: String,
    /// The read model that could not apply the event; `operations` for an operation, `intake` for a
    /// message of another service.
    projection: &'a str,
    /// Where the event lies.
    partition: u32,
    /// Where the event is; of an operation or a message, the number of its letter.
    position: u64,
    /// The wallet that stands still for it.
    wallet_id: Option<&'a str>,
    /// `Wallet` or `Transfer`; `Operation`, `Message`.
    aggregate_type: &'a str,
    /// The wallet, the transfer or the operation; the user or the transaction that a message is about.
    aggregate_id: &'a str,
    /// The number of the event in that.
    sequence: u64,
    /// What the event says it is; of an operation, its command; of a message, its subject.
    event_type: &'a str,
    /// The version of its shape.
    event_version: &'a str,
    /// The event as it is stored; of an operation, its command; of a message, what is kept of it.
    payload: Value,
    /// What is stored with it.
    metadata: Value,
    /// When it was recorded.
    #[schemars(with = "TimeText")]
    recorded_at: String,
    /// What had become of the letter when this was published.
    #[schemars(extend("enum" = [State::Open.name(), State::Replayed.name(), State::Discarded.name()]))]
    state: &'static str,
    /// Why it was not applied, or came to no outcome.
    error: &'a str,
    /// How often it was tried; 0 when it only follows another one.
    attempts: u32,
    /// When it was set aside.
    #[schemars(with = "TimeText")]
    first_at: String,
}

impl<'a> LetterBody<'a> {
    fn of(letter: &'a DeadLetter) -> Self {
        let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
        Self {
            id: letter.id.to_string(),
            projection: &letter.id.projection,
            partition: letter.id.partition,
            position: letter.id.position,
            wallet_id: letter.wallet_id.as_deref(),
            aggregate_type: &letter.aggregate_type,
            aggregate_id: &letter.aggregate_id,
            sequence: letter.sequence,
            event_type: &letter.event_type,
            event_version: &letter.event_version,
            payload: document(&letter.payload),
            metadata: document(&letter.metadata),
            recorded_at: time(letter.recorded_at),
            state: letter.state.name(),
            error: &letter.error,
            attempts: letter.attempts,
            first_at: time(letter.first_at),
        }
    }
}

/// A token of a subject. Ids are safe by construction; a stream that no version of the program wrote
/// may have any name.
fn token(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.chars().map(|c| if safe(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_published_under_its_wallet_and_rule() {
        let alert: Alert = serde_json::from_value(json!({
            "id": "largeOutflow:0-17", "rule": "largeOutflow", "wallet": "alice",
            "event": "0-17", "at": "2023-11-14T22:13:20Z", "evidence": ["0-17"], "count": 1,
            "sum": "10000.00", "currency": "USD", "reason": "much at once",
        }))
        .unwrap();
        let notice = Message::of_alert(&alert);
        assert_eq!(notice.subject, "alerts.alice.largeOutflow");
        let header = |name: &str| notice.headers.get(name).unwrap().as_str();
        assert_eq!(notice.id, "largeOutflow:0-17");
        assert_eq!((header("ce-id"), header("ce-subject")), (&*notice.id, "wallet/alice"));
        assert_eq!(header("ce-time"), "2023-11-14T22:13:20.000000Z");
        assert_eq!((header("ce-partition"), header("ce-position")), ("0", "17"));
        assert_eq!(serde_json::from_slice::<Alert>(&notice.body).unwrap(), alert);
    }

    #[test]
    fn a_token_stays_one_whatever_its_stream_is_called() {
        assert_eq!(token("a.b *>é"), "a_b____");
    }
}

//! What goes out for people: fraud alerts on `ALERTS`, dead letters on `DEAD_LETTERS`. What writes
//! both is [`crate::nats::outbox`].

use chrono::DateTime;
use florin_domain::fraud::{Alert, Rule};
use florin_projections::dead_letters::{DeadLetter, INTAKE, LetterId, OPERATIONS, State};
use florin_projections::models;
use schemars::{JsonSchema as _, SchemaGenerator};
use serde_json::json;

use super::channel::{Channel, Example, Header, Message, Parameter, Way, fixed, text};
use crate::nats::courier;
use crate::nats::message::SOURCE;
use crate::nats::outbox::notice::LetterBody;
use crate::nats::stream::{ALERTS, DEAD_LETTERS};

/// A token, of whatever there is: what a subject cannot have is `_` there.
const TOKEN: &str = "[A-Za-z0-9_-]+";

/// A time in a header.
pub(super) const TIME: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$";

/// When the example was set aside: microseconds since 1970.
pub(super) const EXAMPLE_TIME: i64 = 1_769_860_800_000_001;

const ALERTS_TEXT: &str = "\
What the fraud rules found. An alert is published once it is on record, at least once, always under the \
same id; what people decide about it is told by the API (`/fraud/alerts`).";

const LETTERS_TEXT: &str = "\
What Florin could not do by itself, and somebody has to look at: events that a read model could not apply \
(its wallet stands still there until the letter is replayed or discarded), and operations and messages of \
other services that came to no outcome. A letter is published at least once, always under the same id; what becomes of it is told by the \
API (`/dead-letters`).";

/// Fraud alerts.
pub(super) fn alerts(generator: &mut SchemaGenerator) -> Result<Channel, serde_json::Error> {
    let message = Message {
        name: "FraudAlert",
        version: None,
        summary: "The condition of a fraud rule came to hold at an event of a wallet.".to_owned(),
        subject: "alerts.{wallet}.{rule}".to_owned(),
        headers: headers("FraudAlert", "<rule>:<partition>-<position>", "wallet/.+"),
        payload: Alert::json_schema(generator),
        example: example(&courier::Message::of_alert(&example_alert()?))?,
    };
    Ok(Channel {
        key: "alerts",
        title: "Fraud alerts",
        description: ALERTS_TEXT,
        address: "alerts.{wallet}.{rule}",
        parameters: vec![
            Parameter {
                name: "wallet",
                description: "The wallet whose movements they were.",
                pattern: TOKEN,
                values: Vec::new(),
                example: "alice",
            },
            Parameter {
                name: "rule",
                description: "The rule.",
                pattern: TOKEN,
                values: Rule::ALL.iter().map(|rule| rule.as_str().to_owned()).collect(),
                example: "largeOutflow",
            },
        ],
        way: Way::Out,
        stream: ALERTS,
        messages: vec![message],
    })
}

/// Dead letters.
pub(super) fn letters(generator: &mut SchemaGenerator) -> Result<Channel, serde_json::Error> {
    let id = "<projection>:<partition>:<position>, for an operation with `:<microseconds>` when it \
              was set aside: it may fail again";
    let message = Message {
        name: "DeadLetter",
        version: None,
        summary: "Something could not be done, and waits for somebody's decision.".to_owned(),
        subject: "dead-letters.{projection}.{stream}".to_owned(),
        headers: headers("DeadLetter", id, "(wallet|transfer|operation|message)/.+"),
        payload: LetterBody::json_schema(generator),
        example: example(&courier::Message::of_letter(&example_letter()))?,
    };
    let projections = models::all().iter().map(|model| model.name().to_owned()).collect::<Vec<_>>();
    Ok(Channel {
        key: "deadLetters",
        title: "Dead letters",
        description: LETTERS_TEXT,
        address: "dead-letters.{projection}.{stream}",
        parameters: vec![
            Parameter {
                name: "projection",
                description: "The read model that could not apply the event; `operations` for an \
                              operation, `intake` for a message of another service.",
                pattern: TOKEN,
                values: [projections, vec![OPERATIONS.to_owned(), INTAKE.to_owned()]].concat(),
                example: "balance",
            },
            Parameter {
                name: "stream",
                description: "The id of the wallet, the transfer, the operation, or what a message is \
                              about; characters that a \
                              subject cannot have are `_`.",
                pattern: TOKEN,
                values: Vec::new(),
                example: "alice",
            },
        ],
        way: Way::Out,
        stream: DEAD_LETTERS,
        messages: vec![message],
    })
}

fn headers(name: &str, id: &str, subject: &str) -> Vec<Header> {
    vec![
        text("Nats-Msg-Id", "As ce-id.", "^[!-~]+$"),
        text("ce-id", &format!("{id}: the same, however often it is published."), "^[!-~]+$"),
        fixed("ce-specversion", "The version of CloudEvents.", "1.0"),
        fixed("content-type", "What the payload is.", "application/json"),
        fixed("ce-source", "The ledger.", SOURCE),
        fixed("ce-type", "What it is.", name),
        text("ce-subject", "Whom it is about.", &format!("^{subject}$")),
        text("ce-time", "When it came to be: RFC 3339 in UTC, with microseconds.", TIME),
        text("ce-partition", "Where the event lies.", "^[0-9]+$"),
        text("ce-position", "Where the event is; of an operation, its letter.", "^[0-9]+$"),
    ]
}

/// A message as it is sent.
pub(super) fn example(sent: &courier::Message) -> Result<Example, serde_json::Error> {
    let mut headers = sent.headers.clone();
    headers.insert(async_nats::header::NATS_MESSAGE_ID, sent.id.as_str());
    Example::of(&sent.subject, &headers, &sent.body)
}

fn example_alert() -> Result<Alert, serde_json::Error> {
    serde_json::from_value(json!({
        "id": "largeOutflow:0-17",
        "rule": "largeOutflow",
        "wallet": "alice",
        "event": "0-17",
        "at": "2026-01-31T12:00:00.000001Z",
        "evidence": ["0-17"],
        "count": 1,
        "sum": "10000.00",
        "currency": "USD",
        "reason": "10000.00 USD at once, where 10000 is large",
    }))
}

fn example_letter() -> DeadLetter {
    let at = DateTime::from_timestamp_micros(EXAMPLE_TIME).unwrap_or_default();
    DeadLetter {
        id: LetterId { projection: "balance".to_owned(), partition: 0, position: 17 },
        wallet_id: Some("alice".to_owned()),
        aggregate_type: "Wallet".to_owned(),
        aggregate_id: "alice".to_owned(),
        sequence: 3,
        event_type: "WalletRenamed".to_owned(),
        event_version: "1.0".to_owned(),
        payload: r#"{"WalletRenamed":{"to":"Alice"}}"#.to_owned(),
        metadata: r#"{"requestId":"order-4711"}"#.to_owned(),
        recorded_at: at,
        state: State::Open,
        error: "event 0-17 (WalletRenamed 1.0) cannot be read: unknown variant".to_owned(),
        attempts: 3,
        first_at: at,
        last_at: at,
        decided_by: None,
        reason: None,
    }
}

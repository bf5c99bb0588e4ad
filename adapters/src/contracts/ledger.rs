//! The events of the ledger: `ledger.<partition>.<wallet|transfer>.<id>.<event type>` on `LEDGER`.
//!
//! Every version of every event is a message of its own, the older ones too: stored events never
//! change, and are published as they are. What writes the headers is [`crate::nats::message`].

use std::sync::Arc;

use chrono::DateTime;
use florin_domain::contracts::{EventContract, events};
use florin_domain::journal::{EVENT_TYPES, RecordedEvent, event_type_named};
use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::channel::{Channel, Example, Header, Message, Parameter, Way, fixed, text};
use crate::nats::message::{SOURCE, message};
use crate::nats::stream::LEDGER;

/// A partition and a position, as ids of events have them.
const EVENT_ID: &str = "[0-9]+-[1-9][0-9]*";

/// A number that begins with 1.
const COUNTED: &str = "^[1-9][0-9]*$";

/// What is percent-encoded is neither empty nor anything but printable ASCII.
const ENCODED: &str = "^[!-~]+$";

/// The id of a wallet, or of a transfer.
const ID: &str = "[A-Za-z0-9_-]+";

const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

const MICROSECONDS: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$";

/// Where the examples lie in the journal.
const EXAMPLE_PLACE: (u32, u64) = (0, 17);

/// When they were recorded: microseconds since 1970.
const EXAMPLE_TIME: i64 = 1_769_860_800_000_001;

const EXAMPLE_TRANSFER: &str = "0190a6b6-7a31-7f2a-8a5d-3f1b8d3c2e11";

const EXAMPLE_TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const DESCRIPTION: &str = "\
Every event of the ledger, in the order of its partition. The stream is a copy of the journal: it may \
lose, repeat and reorder messages, and keeps them for a while only. `ce-position` counts the events of a \
partition without a gap (1, 2, 3 …): skip what you have, and read what you lack from the API.\n\n\
The payload is an object with one member, named after the event's type. Members that you do not know are \
to be ignored: events grow. A change that would break who reads them is a new version of the event \
(`ce-eventversion`), and events of older versions stay as they are.\n\n\
The values of headers are percent-encoded, as the NATS binding of CloudEvents 1.0 wants them.";

/// The channel.
pub(super) fn channel(generator: &mut SchemaGenerator) -> Result<Channel, serde_json::Error> {
    let messages: Result<Vec<Message>, _> =
        events(generator)?.into_iter().map(message_of).collect();
    Ok(Channel {
        key: "ledger",
        title: "Events of the ledger",
        description: DESCRIPTION,
        address: "ledger.{partition}.{aggregate}.{id}.{eventType}",
        parameters: parameters(),
        way: Way::Out,
        stream: LEDGER,
        messages: messages?,
    })
}

fn parameters() -> Vec<Parameter> {
    vec![
        Parameter {
            name: "partition",
            description: "The ordered slice of the ledger that the event lies in: 0, 1, 2 …",
            pattern: "[0-9]+",
            values: Vec::new(),
            example: "0",
        },
        Parameter {
            name: "aggregate",
            description: "What it happened to.",
            pattern: "(wallet|transfer)",
            values: ["wallet", "transfer"].map(ToOwned::to_owned).into(),
            example: "wallet",
        },
        Parameter {
            name: "id",
            description: "The id of the wallet or of the transfer.",
            pattern: ID,
            values: Vec::new(),
            example: "alice",
        },
        Parameter {
            name: "eventType",
            description: "What happened.",
            pattern: "[A-Za-z]+",
            values: EVENT_TYPES.map(ToOwned::to_owned).into(),
            example: "FundsDeposited",
        },
    ]
}

fn message_of(event: EventContract) -> Result<Message, serde_json::Error> {
    let EventContract { aggregate_type, name, version, payload, example } = event;
    let kind = aggregate_type.to_ascii_lowercase();
    let summary = payload.get("description").and_then(Value::as_str).unwrap_or(name).to_owned();
    Ok(Message {
        name,
        subject: format!("ledger.{{partition}}.{kind}.{{id}}.{name}"),
        headers: headers(aggregate_type, name, &version),
        example: example_of(aggregate_type, name, &version, example)?,
        version: Some(version),
        summary,
        payload,
    })
}

fn headers(aggregate_type: &str, name: &str, version: &str) -> Vec<Header> {
    let kind = aggregate_type.to_ascii_lowercase();
    let mut headers = vec![
        text(
            "Nats-Msg-Id",
            "As ce-id; with a suffix where an operator published the event again.",
            &format!("^{EVENT_ID}(-.+)?$"),
        ),
        text(
            "ce-id",
            "<partition>-<position>: with ce-source the name of the event, for ever.",
            &format!("^{EVENT_ID}$"),
        ),
        fixed("ce-specversion", "The version of CloudEvents.", "1.0"),
        fixed("content-type", "What the payload is.", "application/json"),
        fixed("ce-source", "The ledger.", SOURCE),
        fixed("ce-type", "What happened.", name),
        fixed("ce-eventversion", "The version of the shape of the payload.", version),
        text("ce-subject", "What it happened to.", &format!("^{kind}/{ID}$")),
        text("ce-sequence", "Its number among the events of that: 1, 2, 3 …", COUNTED),
        text("ce-time", "When it was recorded: RFC 3339 in UTC, with microseconds.", MICROSECONDS),
        text("ce-partition", "The ordered slice of the ledger that it lies in.", "^[0-9]+$"),
        text("ce-position", "Its number there: 1, 2, 3 … without a gap.", COUNTED),
        text("ce-hash", "The SHA-256 that chains it to all before it, in hex.", "^[0-9a-f]{64}$"),
        text(
            "ce-metadata",
            "JSON: the request that it answers, what it is part of, its trace; percent-encoded.",
            ENCODED,
        ),
        text("ce-correlationid", "The deposit, withdrawal or transfer that it is part of.", UUID)
            .optional(),
        text(
            "ce-causationid",
            "What made it happen: the transfer, deposit or withdrawal, or else the client's request.",
            ENCODED,
        )
        .optional(),
        text("traceparent", "The W3C trace that it was part of.", "^[0-9a-f]{2}-.+$").optional(),
    ];
    if aggregate_type == "Wallet" {
        let pattern = r"^(0|[1-9][0-9]{0,18})(\.[0-9]{2,4})?$";
        headers.push(text("ce-balance", "What the wallet holds after it.", pattern));
    }
    headers
}

/// As the relay sends it.
fn example_of(
    aggregate_type: &'static str,
    name: &str,
    version: &str,
    payload: String,
) -> Result<Example, serde_json::Error> {
    let json: Value = serde_json::from_str(&payload)?;
    let (partition, position) = EXAMPLE_PLACE;
    let is_wallet = aggregate_type == "Wallet";
    let balance = json[name]["balance"].as_str().unwrap_or("112.50").parse().ok();
    let metadata = json!({
        "requestId": "order-4711",
        "correlationId": EXAMPLE_TRANSFER,
        "traceparent": EXAMPLE_TRACE,
    });
    let event = RecordedEvent {
        partition,
        position,
        aggregate_type,
        aggregate_id: if is_wallet { "alice" } else { EXAMPLE_TRANSFER }.into(),
        sequence: 3,
        event_type: event_type_named(name),
        event_version: version.to_owned(),
        payload,
        metadata: Arc::from(metadata.to_string()),
        balance: balance.filter(|_| is_wallet),
        recorded_at: DateTime::from_timestamp_micros(EXAMPLE_TIME).unwrap_or_default(),
        hash: [0xab; 32],
    };
    let sent = message(event, None);
    Example::of(&sent.subject, &sent.headers.unwrap_or_default(), &sent.payload)
}

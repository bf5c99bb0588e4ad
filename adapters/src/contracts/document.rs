//! All channels as one AsyncAPI 3 document.
//!
//! NATS has next to nothing of its own in AsyncAPI, and JetStream nothing at all: which stream keeps a
//! channel, and how, is said under `x-jetstream`.
//! Source: <https://www.asyncapi.com/docs/reference/specification/v3.0.0>.

use serde_json::{Map, Value, json};

use super::channel::{Channel, Message, Parameter, Way};
use crate::nats::stream::Kind;

/// What a reader has to know first.
const DESCRIPTION: &str = "\
The messages of Florin, an event-sourced wallet ledger, on NATS JetStream. Amounts are decimals as \
strings, in the scale of their currency; what comes in may have numbers, which are read from their \
text.\n\n\
Headers are those of CloudEvents 1.0 in binary mode. Each message is also committed as a JSON Schema of \
its own, in `adapters/contracts`, and stays compatible with it: fields are added, and none is removed or \
changed.";

/// Who may connect to the server is said in `deploy/nats`.
const SERVER: &str = "\
The NATS server with JetStream that `NATS_URL` names. A subscriber has a durable consumer of its own on \
the stream.";

/// The document.
pub(super) fn document(channels: &[Channel], definitions: &Map<String, Value>) -> Value {
    let all = channels.iter().map(|one| (one.key.to_owned(), channel(one)));
    let operations = channels.iter().map(operation);
    let messages = channels.iter().flat_map(|one| &one.messages);
    let messages = messages.map(|one| (one.key(), message(one)));
    json!({
        "asyncapi": "3.0.0",
        "id": "urn:florin:ledger",
        "info": {
            "title": "Florin",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "localhost:4222",
                "protocol": "nats",
                "description": SERVER,
                "security": [{ "$ref": "#/components/securitySchemes/user" }],
                "bindings": { "nats": {} },
            },
        },
        "channels": all.collect::<Map<String, Value>>(),
        "operations": operations.collect::<Map<String, Value>>(),
        "components": {
            "messages": messages.collect::<Map<String, Value>>(),
            "schemas": definitions,
            "securitySchemes": {
                "user": {
                    "type": "userPassword",
                    "description": "A user of the NATS server, or the credentials of one.",
                },
            },
        },
    })
}

fn channel(channel: &Channel) -> Value {
    let messages = channel.messages.iter().map(|message| {
        let key = message.key();
        let reference = json!({ "$ref": format!("#/components/messages/{key}") });
        (key, reference)
    });
    let parameters = channel.parameters.iter().map(parameter);
    let (retention, discard) = match channel.stream.kind {
        Kind::Log => ("limits", "old"),
        Kind::Queue => ("workqueue", "new"),
    };
    json!({
        "address": channel.address,
        "title": channel.title,
        "description": channel.description,
        "servers": [{ "$ref": "#/servers/nats" }],
        "parameters": parameters.collect::<Map<String, Value>>(),
        "messages": messages.collect::<Map<String, Value>>(),
        "bindings": { "nats": {} },
        "x-jetstream": {
            "stream": channel.stream.name,
            "subjects": channel.stream.subjects,
            "storage": "file",
            "retention": retention,
            "discard": discard,
        },
    })
}

fn parameter(parameter: &Parameter) -> (String, Value) {
    let mut described = json!({
        "description": parameter.description,
        "examples": [parameter.example],
        "x-pattern": format!("^{}$", parameter.pattern),
    });
    if !parameter.values.is_empty() {
        described["enum"] = parameter.values.clone().into();
    }
    (parameter.name.to_owned(), described)
}

fn operation(channel: &Channel) -> (String, Value) {
    let verb = match channel.way {
        Way::Out => "publish",
        Way::In => "take",
    };
    let key = channel.key;
    let mut letters = key.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let name = first.into_iter().chain(letters).collect::<String>();
    let messages = channel
        .messages
        .iter()
        .map(|message| json!({ "$ref": format!("#/channels/{key}/messages/{}", message.key()) }));
    let described = json!({
        "action": channel.way.action(),
        "channel": { "$ref": format!("#/channels/{key}") },
        "title": channel.title,
        "messages": messages.collect::<Vec<_>>(),
        "bindings": { "nats": { "bindingVersion": "0.1.0" } },
    });
    (format!("{verb}{name}"), described)
}

fn message(message: &Message) -> Value {
    let example = &message.example;
    let mut described = json!({
        "name": message.name,
        "title": message.key(),
        "summary": message.summary,
        "contentType": "application/json",
        "headers": message.headers(),
        "payload": message.payload,
        "bindings": { "nats": {} },
        "examples": [{ "headers": example.headers, "payload": example.payload }],
        "x-subject": message.subject,
        "x-subject-example": example.subject,
    });
    if let Some(version) = &message.version {
        described["x-version"] = version.as_str().into();
    }
    if message.headers.iter().any(|header| header.name == "ce-correlationid") {
        described["correlationId"] = json!({ "location": "$message.header#/ce-correlationid" });
    }
    described
}

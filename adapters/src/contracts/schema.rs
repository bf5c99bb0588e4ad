//! A message as one JSON Schema: of an object with its subject, its headers and its payload.
//!
//! So one schema is all that holds a message against its contract, and all that a later one has to be
//! compatible with. Who wants the payload alone refers to `#/properties/payload`.

use serde_json::{Map, Value, json};

use super::channel::{Channel, Message};

/// How a schema refers to another one beside it.
const REFERENCE: &str = "#/definitions/";

/// What a message of this channel is like; refers to definitions that are not in it yet.
pub(super) fn of(channel: &Channel, message: &Message) -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": message.key(),
        "description": message.summary,
        "x-action": channel.way.action(),
        "type": "object",
        "properties": {
            "stream": { "type": "string", "const": channel.stream.name },
            "subject": { "type": "string", "pattern": subject(channel, message) },
            "headers": message.headers(),
            "payload": message.payload,
        },
        "required": ["stream", "subject", "headers", "payload"],
    })
}

/// The subject as a regular expression.
fn subject(channel: &Channel, message: &Message) -> String {
    let parameter = |token: &str| {
        let name = token.strip_prefix('{')?.strip_suffix('}')?;
        channel.parameters.iter().find(|parameter| parameter.name == name)
    };
    let tokens = message.subject.split('.').map(|token| match parameter(token) {
        Some(parameter) => parameter.pattern,
        None => token,
    });
    format!("^{}$", tokens.collect::<Vec<_>>().join(r"\."))
}

/// The same with those definitions that it refers to, by whatever way.
pub(super) fn alone(mut schema: Value, definitions: &Map<String, Value>) -> Value {
    let mut own = Map::new();
    let mut open = references(&schema);
    while let Some(name) = open.pop() {
        if let Some(definition) = definitions.get(&name).filter(|_| !own.contains_key(&name)) {
            open.extend(references(definition));
            own.insert(name, definition.clone());
        }
    }
    if let Some(members) = schema.as_object_mut().filter(|_| !own.is_empty()) {
        members.insert("definitions".to_owned(), own.into());
    }
    schema
}

/// What a schema refers to.
fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str);
            let own = own.and_then(|reference| reference.strip_prefix(REFERENCE));
            let others = members.values().flat_map(references);
            own.map(ToOwned::to_owned).into_iter().chain(others).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

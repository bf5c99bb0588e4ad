//! The AsyncAPI document as a contract: what is published is held against it.
//!
//! A message must be on a subject of a channel that its stream has in the document, be one of the
//! messages of that channel, have the headers and the payload that are written there, and no other
//! headers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use async_nats::jetstream::Context;
use florin_adapters::contracts;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// The document as Florin serves it.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| contracts::document().unwrap());

/// What holds a message against its place in the document, by its name there.
static MESSAGES: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let messages = DOCUMENT["components"]["messages"].as_object().unwrap();
    let whole = |name: &str| {
        let part = |part: &str| json!({ "$ref": format!("#/components/messages/{name}/{part}") });
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": { "headers": part("headers"), "payload": part("payload") },
            "required": ["headers", "payload"],
            "components": DOCUMENT["components"],
        })
    };
    let validator = |name: &String| jsonschema::validator_for(&whole(name)).unwrap();
    messages.keys().map(|name| (name.clone(), validator(name))).collect()
});

/// The same for the schemas that stand alone.
static SCHEMAS: LazyLock<BTreeMap<String, Validator>> = LazyLock::new(|| {
    let schemas = contracts::schemas().unwrap().into_iter();
    schemas.map(|(name, schema)| (name, jsonschema::validator_for(&schema).unwrap())).collect()
});

/// Every message of a stream, in its order: an object with `stream`, `subject`, `headers` and
/// `payload`.
pub async fn everything(jetstream: &Context, stream: &str) -> Vec<Value> {
    let found = jetstream.get_stream(stream).await.unwrap();
    let mut messages = Vec::new();
    for sequence in 1..=found.cached_info().state.last_sequence {
        let message = found.get_raw_message(sequence).await.unwrap();
        let headers = message.headers.iter().map(|(name, values)| {
            assert_eq!(values.len(), 1, "{name} comes once");
            (name.to_string(), Value::from(values[0].as_str()))
        });
        messages.push(json!({
            "stream": stream,
            "subject": &*message.subject,
            "headers": headers.collect::<Map<String, Value>>(),
            "payload": serde_json::from_slice::<Value>(&message.payload).unwrap(),
        }));
    }
    messages
}

/// Fails the test if the document does not have this message; its name there.
///
/// # Panics
/// With the message, and what is wrong with it.
#[track_caller]
pub fn check(message: &Value) -> String {
    let name = name(message);
    let documented = MESSAGES.get(&name);
    let documented = documented.unwrap_or_else(|| panic!("{name} is not documented: {message}"));
    for validator in [documented, &SCHEMAS[&name]] {
        if let Err(error) = validator.validate(message) {
            panic!("{name} is documented otherwise: {error} at {}", error.instance_path());
        }
    }
    let described = &DOCUMENT["components"]["messages"][&name]["headers"]["properties"];
    for header in message["headers"].as_object().unwrap().keys() {
        assert!(described.get(header).is_some(), "{header} of {name} is not documented");
    }
    expect_channel(&name, message);
    name
}

/// What a message is called in the document: by its channel, if that has no other; else by its type.
#[track_caller]
fn name(message: &Value) -> String {
    let subject = message["subject"].as_str().unwrap();
    let mut channels = DOCUMENT["channels"].as_object().unwrap().values();
    let channel = channels.find(|channel| takes(channel, subject));
    let channel = channel.unwrap_or_else(|| panic!("{subject} is not documented: {message}"));
    let messages: Vec<_> = channel["messages"].as_object().unwrap().keys().collect();
    let header = |name: &str| message["headers"][name].as_str();
    match (&messages[..], header("ce-type"), header("ce-eventversion")) {
        ([name], ..) => (*name).clone(),
        (_, Some(kind), Some(version)) => format!("{kind}-{version}"),
        (_, kind, _) => kind.expect("a type").to_owned(),
    }
}

/// The message is one of those of a channel, on a subject and in a stream of that.
#[track_caller]
fn expect_channel(name: &str, message: &Value) {
    let (stream, subject) = (&message["stream"], message["subject"].as_str().unwrap());
    let channels = DOCUMENT["channels"].as_object().unwrap().values();
    let fits = |channel: &&Value| {
        let is_there = channel["messages"].get(name).is_some();
        is_there && channel["x-jetstream"]["stream"] == *stream && takes(channel, subject)
    };
    assert_eq!(channels.filter(fits).count(), 1, "{subject} of {stream} is no channel of {name}");
}

/// Whether a subject is one of a channel's.
fn takes(channel: &Value, subject: &str) -> bool {
    let (address, tokens) = (channel["address"].as_str().unwrap(), subject.split('.'));
    let fits = |(template, token): (&str, &str)| {
        let name = template.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let Some(name) = name else { return template == token };
        let parameter = &channel["parameters"][name];
        let schema = json!({ "type": "string", "pattern": parameter["x-pattern"] });
        let is_listed = parameter["enum"].as_array().is_none_or(|all| all.contains(&token.into()));
        is_listed && jsonschema::is_valid(&schema, &token.into())
    };
    address.split('.').count() == tokens.clone().count() && address.split('.').zip(tokens).all(fits)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    /// The example of a message, as if it had been published.
    fn example(name: &str, stream: &str) -> Value {
        let message = &DOCUMENT["components"]["messages"][name];
        json!({
            "stream": stream,
            "subject": message["x-subject-example"],
            "headers": message["examples"][0]["headers"],
            "payload": message["examples"][0]["payload"],
        })
    }

    #[test]
    fn a_message_that_is_not_in_the_document_fails_the_test() {
        let good = example("FundsDeposited-1.0", "LEDGER");
        assert_eq!(check(&good), "FundsDeposited-1.0");
        assert_eq!(check(&example("FraudAlert", "ALERTS")), "FraudAlert");
        assert_eq!(check(&example("DeadLetter", "DEAD_LETTERS")), "DeadLetter");
        let signup = example("UserSignup", "INTAKE");
        assert_eq!(check(&signup), "UserSignup");
        let mut nameless = signup;
        nameless["payload"] = json!({ "user": "alice" });
        assert!(catch_unwind(|| check(&nameless)).is_err(), "a signup of nobody");
        let changes: [(&str, Value); 7] = [
            ("/stream", json!("ALERTS")),
            ("/subject", json!("ledger.0.wallet.alice.FundsWithdrawn")),
            ("/subject", json!("ledger.0.transfer.alice.FundsDeposited")),
            ("/headers/ce-position", json!("0")),
            ("/headers/ce-eventversion", json!("0.9")),
            ("/payload/FundsDeposited/amount", json!(12.5)),
            ("/payload", json!({})),
        ];
        for (place, value) in changes {
            let mut bad = good.clone();
            *bad.pointer_mut(place).unwrap() = value;
            assert!(catch_unwind(|| check(&bad)).is_err(), "{place}");
        }
        let mut more = good.clone();
        more["headers"]["ce-new"] = "1".into();
        assert!(catch_unwind(|| check(&more)).is_err(), "a header that is not described");
    }
}

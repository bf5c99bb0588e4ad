//! The contracts as they are committed, against those of the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::compatibility::{breaks, refusals};
use super::*;

/// The document as it was committed, for whoever reads it without a Florin at hand.
const COMMITTED: &str = include_str!("../../asyncapi.json");

/// Where the contract of each message is.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("contracts")
}

/// The contracts that others rely on, by name.
fn committed() -> BTreeMap<String, Value> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    };
    files.map(read).collect()
}

/// What would break who relies on the committed contracts, in sentences that say how to mend it.
fn complaints(committed: &BTreeMap<String, Value>, today: &BTreeMap<String, Value>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, old) in committed {
        let Some(new) = today.get(name) else {
            complaints.push(format!(
                "{name} is not in the contract any more, and others take it: what is stored is \
                 published for ever. Put its schema back; that of an older version belongs into \
                 domain/src/contracts"
            ));
            continue;
        };
        if old["x-action"] == "receive" {
            complaints.extend(refusals(old, new).into_iter().map(|refused| {
                format!(
                    "{name}: {refused}, from today's schema to the committed one: what others send \
                     would be refused. Take what was taken, too"
                )
            }));
            continue;
        }
        complaints.extend(breaks(old, new).into_iter().map(|broken| {
            format!(
                "{name}: {broken}, which breaks who reads it. Leave what was there as it was and add \
                 what is new beside it; or give the event a new version, with an upcaster \
                 (domain/src/upcast.rs), and keep the schema of this one (domain/src/contracts)"
            )
        }));
    }
    complaints
}

#[test]
fn nothing_that_others_rely_on_is_broken() {
    let complaints = complaints(&committed(), &schemas().unwrap());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// `FLORIN_FREEZE=1` writes what is new and what has grown, and nothing that breaks.
#[test]
fn the_committed_contracts_are_those_of_today() {
    let (committed, today) = (committed(), schemas().unwrap());
    if std::env::var_os("FLORIN_FREEZE").is_some() && complaints(&committed, &today).is_empty() {
        for (name, schema) in &today {
            let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
            fs::write(folder().join(format!("{name}.json")), text).unwrap();
        }
        return;
    }
    for (name, schema) in &today {
        assert!(
            committed.get(name) == Some(schema),
            "adapters/contracts/{name}.json is of another version: \
             FLORIN_FREEZE=1 cargo test -p florin-adapters contracts"
        );
    }
}

#[test]
fn the_committed_document_is_that_of_today() {
    assert!(
        text().unwrap() == COMMITTED,
        "adapters/asyncapi.json is of another version: florin asyncapi > adapters/asyncapi.json"
    );
}

#[test]
fn a_contract_that_is_gone_or_broken_is_told_with_what_mends_it() {
    let today = schemas().unwrap();
    let mut without = today.clone();
    without.remove("FundsDeposited-1.0").unwrap();
    let found = complaints(&today, &without);
    assert!(
        found[0].starts_with("FundsDeposited-1.0 is not in the contract any more"),
        "{found:?}"
    );
    let mut changed = today.clone();
    let schema = changed.get_mut("FundsDeposited-1.0").unwrap();
    let body = schema.pointer_mut("/properties/payload/properties/FundsDeposited").unwrap();
    body["properties"].as_object_mut().unwrap().remove("balance").unwrap();
    let found = complaints(&today, &changed);
    assert_eq!(found.len(), 1);
    let expected = "FundsDeposited-1.0: payload.FundsDeposited.balance is gone, which breaks";
    assert!(found[0].starts_with(expected) && found[0].contains("a new version"), "{found:?}");
    // Today may have more than was committed.
    assert_eq!(complaints(&without, &today), Vec::<String>::new());
}

#[test]
fn every_example_is_valid_by_the_contract_of_its_message_and_by_that_alone() {
    let (channels, _) = described(DEFINITIONS).unwrap();
    let schemas = schemas().unwrap();
    for (channel, message) in
        channels.iter().flat_map(|channel| channel.messages.iter().map(move |one| (channel, one)))
    {
        let example = serde_json::json!({
            "stream": channel.stream.name,
            "subject": message.example.subject,
            "headers": message.example.headers,
            "payload": message.example.payload,
        });
        let is_valid =
            |schema: &Value| jsonschema::validator_for(schema).unwrap().is_valid(&example);
        let fits: Vec<&String> =
            schemas.iter().filter(|(_, schema)| is_valid(schema)).map(|(name, _)| name).collect();
        assert_eq!(fits, [&message.key()], "{example}");
    }
}

#[test]
fn every_header_of_an_example_is_described() {
    let (channels, _) = described(DEFINITIONS).unwrap();
    for message in channels.iter().flat_map(|channel| &channel.messages) {
        let described: BTreeSet<&str> = message.headers.iter().map(|header| header.name).collect();
        let sent: BTreeSet<&str> = message.example.headers.keys().map(|name| &**name).collect();
        assert_eq!(sent, described, "{}", message.key());
    }
}

#[test]
fn everything_that_the_document_refers_to_is_in_it() {
    fn references(value: &Value) -> Vec<&str> {
        match value {
            Value::Object(members) => {
                let own = members.get("$ref").and_then(Value::as_str);
                own.into_iter().chain(members.values().flat_map(references)).collect()
            }
            Value::Array(items) => items.iter().flat_map(references).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }
    let document = document().unwrap();
    for reference in references(&document) {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

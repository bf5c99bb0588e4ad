use std::collections::BTreeSet;

use jsonschema::Validator;
use schemars::generate::SchemaSettings;
use serde_json::json;

use super::*;
use crate::upcast::upcasters;

/// Every contract, and what holds an event against it.
fn contracts() -> Vec<(EventContract, Validator)> {
    let mut generator = SchemaSettings::draft07().for_serialize().into_generator();
    let events = events(&mut generator).unwrap();
    let definitions = generator.take_definitions(true);
    let validator = |payload: &Schema| {
        let whole = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "allOf": [payload],
            "definitions": definitions,
        });
        jsonschema::validator_for(&whole).unwrap()
    };
    events.into_iter().map(|event| (event.clone(), validator(&event.payload))).collect()
}

#[test]
fn every_event_of_today_has_a_schema_and_so_have_the_older_versions() {
    let all = contracts();
    let names: Vec<&str> = all.iter().map(|(event, _)| event.name).collect();
    assert_eq!(names[1..], EVENT_TYPES);
    let versions: BTreeSet<(&str, &str)> =
        all.iter().map(|(event, _)| (event.name, &*event.version)).collect();
    assert_eq!(versions.len(), all.len(), "once each");
    for (event, _) in &all {
        let is_past = upcasters().iter().any(|up| up.can_upcast(event.name, &event.version));
        assert_eq!(is_past, event.version == "1.0" && event.name == "WalletOpened", "{event:?}");
    }
}

#[test]
fn every_frozen_event_is_valid_by_its_schema_and_by_no_other() {
    let all = contracts();
    for (event, _) in &all {
        let json: Value = serde_json::from_str(&event.example).unwrap();
        let fits = all.iter().filter(|(_, validator)| validator.is_valid(&json));
        let fits: Vec<_> = fits.map(|(other, _)| (other.name, &*other.version)).collect();
        let (name, version) = (event.name, &*event.version);
        // What was added since does not disturb who reads the older version.
        let expected = match (name, version) {
            ("WalletOpened", "1.1") => vec![(name, "1.0"), (name, version)],
            _ => vec![(name, version)],
        };
        assert_eq!(fits, expected, "{json}");
    }
}

/// Every way to spoil one place of a value: what is there is gone, or is something else.
fn spoilt(value: &Value) -> Vec<Value> {
    let mut all = vec![json!(null), json!([]), json!(true), json!(-1)];
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let mut without = members.clone();
                without.remove(name);
                all.push(without.into());
                for bad in spoilt(member) {
                    let mut with = members.clone();
                    with.insert(name.clone(), bad);
                    all.push(with.into());
                }
            }
        }
        Value::String(_) => all.extend(["", "\u{7}", "a b\n"].map(|text| json!(text))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
    }
    all
}

#[test]
fn a_spoilt_event_is_not_valid() {
    for (event, validator) in contracts() {
        let mut json: Value = serde_json::from_str(&event.example).unwrap();
        // May be absent, and may hold anything.
        let body = json[event.name].as_object_mut().unwrap();
        body.remove("metadata");
        let optional: Vec<(String, Value)> = ["owner", "reason"]
            .into_iter()
            .filter(|_| !event.name.starts_with("Transfer"))
            .filter_map(|name| body.remove_entry(name))
            .collect();
        assert!(validator.is_valid(&json), "without what is optional: {json}");
        for bad in spoilt(&json) {
            assert!(!validator.is_valid(&bad), "{} takes {bad}", event.name);
        }
        for (name, value) in optional {
            for bad in spoilt(&value) {
                let mut json = json.clone();
                json[event.name][&name] = bad;
                assert!(!validator.is_valid(&json), "{} takes {json}", event.name);
            }
        }
    }
}

#[test]
fn amounts_are_texts_in_the_scale_of_a_currency() {
    let all = contracts();
    let (_, validator) = all.iter().find(|(event, _)| event.name == "FundsDeposited").unwrap();
    let with = |name: &str, text: Value| {
        let mut json: Value = serde_json::from_str(FROZEN[1]).unwrap();
        json["event"]["FundsDeposited"][name] = text;
        validator.is_valid(&json["event"])
    };
    for good in ["0.01", "0.10", "0.001", "0.1234", "1", "12.50", "1000000000000000.00"] {
        assert!(with("amount", json!(good)) && with("balance", json!(good)), "{good}");
    }
    for zero in ["0", "0.00", "0.000"] {
        assert!(with("balance", json!(zero)) && !with("amount", json!(zero)), "{zero}");
    }
    for bad in ["", "-1.00", "1.5", "12.", ".50", "01.00", "1e3", "1,00", "12.50 ", "0.12345"] {
        assert!(!with("amount", json!(bad)) && !with("balance", json!(bad)), "{bad}");
    }
    assert!(!with("amount", json!(12.5)), "a number is no amount");
}

#[test]
fn what_an_event_may_grow_by_is_no_harm() {
    for (event, validator) in contracts() {
        let mut json: Value = serde_json::from_str(&event.example).unwrap();
        json[event.name]["new"] = json!(1);
        assert!(validator.is_valid(&json), "{json}");
    }
}

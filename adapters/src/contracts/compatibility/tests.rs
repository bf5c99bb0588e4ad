use serde_json::json;

use super::*;

/// A message as the contracts have them, of an event that never was.
fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "payload": {
                "type": "object",
                "properties": { "Paid": {
                    "type": "object",
                    "properties": {
                        "amount": { "$ref": "#/definitions/Amount" },
                        "note": { "type": "string", "maxLength": 10, "minLength": 1 },
                        "version": { "type": "integer", "minimum": 1 },
                        "state": { "type": "string", "enum": ["open", "closed"] },
                        "parts": { "type": "array", "items": { "type": "string" }, "maxItems": 3 },
                        "any": { "description": "Whatever." },
                        "reason": { "oneOf": [
                            { "type": "object", "required": ["code"], "properties":
                              { "code": { "const": "poor" }, "left": { "type": "string" } } },
                            { "type": "object", "required": ["code"], "properties":
                              { "code": { "const": "late" } } },
                        ] },
                        "wallet": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                    },
                    "required": ["amount", "version"],
                } },
                "required": ["Paid"],
                "additionalProperties": false,
            },
        },
        "required": ["payload"],
        "definitions": {
            "Amount": { "type": "string", "pattern": "^[0-9]+$", "description": "An amount." },
        },
    })
}

const PAID: &str = "/properties/payload/properties/Paid";

/// What a change of one place breaks, as sentences.
fn broken(pointer: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut new = schema();
    change(new.pointer_mut(pointer).unwrap());
    breaks(&schema(), &new).iter().map(ToString::to_string).collect()
}

fn member(name: &str) -> String {
    format!("{PAID}/properties/{name}")
}

fn remove(name: &str) -> impl FnOnce(&mut Value) {
    move |at| drop(at.as_object_mut().unwrap().remove(name).unwrap())
}

fn set(name: &str, value: Value) -> impl FnOnce(&mut Value) {
    move |at| at[name] = value
}

#[test]
fn what_did_not_change_breaks_nothing() {
    assert_eq!(broken("", |_| ()), Vec::<String>::new());
}

#[test]
fn additions_and_tighter_promises_break_nothing() {
    for (pointer, name, value) in [
        (format!("{PAID}/properties"), "new", json!({ "type": "string" })),
        (PAID.to_owned(), "required", json!(["amount", "note", "version"])),
        (PAID.to_owned(), "description", json!("Money came.")),
        (member("state"), "enum", json!(["open", "closed", "late"])),
        (member("note"), "maxLength", json!(5)),
        (member("note"), "minLength", json!(2)),
        (member("note"), "pattern", json!("^a")),
        (member("note"), "format", json!("email")),
        (member("version"), "minimum", json!(2)),
        (member("version"), "maximum", json!(9)),
        (member("any"), "type", json!("string")),
        (member("parts"), "maxItems", json!(2)),
        ("/definitions/Amount".to_owned(), "description", json!("Another word.")),
    ] {
        let found = broken(&pointer, set(name, value.clone()));
        assert_eq!(found, Vec::<String>::new(), "{pointer} {name} {value}");
    }
    let case = json!({ "type": "object", "properties": { "code": { "const": "new" } } });
    let found = broken(&member("reason/oneOf"), |cases| cases.as_array_mut().unwrap().push(case));
    assert_eq!(found, Vec::<String>::new(), "a reason that there was not");
}

#[test]
fn a_definition_may_be_written_out_or_moved() {
    let written_out = json!({ "type": "string", "pattern": "^[0-9]+$" });
    let found = broken(&member("amount"), |at| *at = written_out);
    assert_eq!(found, Vec::<String>::new());
    let beside =
        json!({ "description": "So much.", "allOf": [{ "$ref": "#/definitions/Amount" }] });
    let found = broken(&member("amount"), |at| *at = beside);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_member_that_is_gone_breaks() {
    let found = broken(&format!("{PAID}/properties"), remove("note"));
    assert_eq!(found, ["payload.Paid.note is gone"]);
}

#[test]
fn a_member_that_may_be_absent_breaks() {
    let found = broken(PAID, set("required", json!(["version"])));
    assert_eq!(found, ["payload.Paid.amount was always there and may be absent now"]);
    let found = broken(PAID, remove("required"));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn another_type_breaks_and_a_narrower_one_does_not() {
    let found = broken(&member("note"), set("type", json!("integer")));
    assert_eq!(found, ["payload.Paid.note was of the type string and is integer now"]);
    let found = broken(&member("note"), set("type", json!(["string", "null"])));
    assert_eq!(found, ["payload.Paid.note was of the type string and is null or string now"]);
    let found = broken(&member("version"), set("type", json!("number")));
    assert_eq!(found, ["payload.Paid.version was of the type integer and is number now"]);
    let found = broken(&member("note"), remove("type"));
    assert_eq!(found, ["payload.Paid.note was of the type string and may be anything now"]);
    let number = |kind: &str| json!({ "type": kind });
    assert_eq!(breaks(&number("number"), &number("integer")), []);
    // A change of what is referred to is one of who refers to it.
    let found = broken("/definitions/Amount", set("type", json!("number")));
    assert_eq!(found, ["payload.Paid.amount was of the type string and is number now"]);
}

#[test]
fn a_value_that_is_gone_breaks() {
    let found = broken(&member("state"), set("enum", json!(["open"])));
    assert_eq!(found, ["payload.Paid.state was \"closed\" at times, or always, and never is now"]);
    let found = broken(&member("state"), remove("enum"));
    assert_eq!(found, ["payload.Paid.state was one of a list of values and may be another now"]);
    let (one, other) = (json!({ "const": "1.0" }), json!({ "const": "2.0" }));
    assert_eq!(breaks(&one, &other).len(), 1);
    assert_eq!(breaks(&one, &json!({ "enum": ["1.0", "2.0"] })), []);
}

#[test]
fn another_pattern_or_format_breaks() {
    let found = broken("/definitions/Amount", set("pattern", json!("^[0-9.]+$")));
    let expected = "payload.Paid.amount had the pattern \"^[0-9]+$\" and has \"^[0-9.]+$\" now";
    assert_eq!(found, [expected]);
    let found = broken("/definitions/Amount", remove("pattern"));
    assert_eq!(found, ["payload.Paid.amount had the pattern \"^[0-9]+$\" and has none now"]);
    let (one, other) = (json!({ "format": "uuid" }), json!({ "format": "uri" }));
    assert_eq!(breaks(&one, &other).len(), 1);
}

#[test]
fn wider_bounds_break() {
    for (name, keyword, value) in [
        ("note", "maxLength", json!(11)),
        ("note", "minLength", json!(0)),
        ("version", "minimum", json!(0)),
        ("parts", "maxItems", json!(4)),
    ] {
        let found = broken(&member(name), set(keyword, value.clone()));
        assert_eq!(found.len(), 1, "{name} {keyword} {value}: {found:?}");
        assert!(found[0].contains(keyword), "{found:?}");
        let found = broken(&member(name), remove(keyword));
        assert!(found[0].ends_with("and has none now"), "{found:?}");
    }
}

#[test]
fn other_items_break() {
    let found = broken(&member("parts"), set("items", json!({ "type": "integer" })));
    assert_eq!(found, ["payload.Paid.parts.[] was of the type string and is integer now"]);
    let found = broken(&member("parts"), remove("items"));
    assert_eq!(found, ["payload.Paid.parts.[] was of the type string and may be anything now"]);
}

#[test]
fn a_case_that_is_gone_or_changes_breaks() {
    let found = broken(&member("reason/oneOf"), |cases| drop(cases.as_array_mut().unwrap().pop()));
    assert_eq!(found, ["payload.Paid.reason may no longer be the case code=\"late\""]);
    let found = broken(&member("reason/oneOf/0/properties"), remove("left"));
    assert_eq!(found, ["payload.Paid.reason(code=\"poor\").left is gone"]);
    let found = broken(&member("wallet/anyOf"), |cases| {
        cases.as_array_mut().unwrap().push(json!({ "type": "integer" }));
    });
    assert_eq!(found, ["payload.Paid.wallet may be the case integer now, which it never was"]);
}

#[test]
fn a_closed_object_stays_closed() {
    let found = broken("/properties/payload", remove("additionalProperties"));
    assert_eq!(found, ["payload had no other members and may have some now"]);
    let found = broken("/properties/payload/properties", set("Other", json!({})));
    assert_eq!(found, ["payload.Other is new where nothing else was to come"]);
}

#[test]
fn what_cannot_be_judged_breaks() {
    let (one, other) = (json!({ "not": { "const": 1 } }), json!({ "not": { "const": 2 } }));
    assert_eq!(breaks(&one, &one), []);
    assert_eq!(breaks(&one, &other).len(), 1);
    let without = breaks(&one, &json!({}));
    assert_eq!(
        without[0].to_string(),
        "the message changes its not in a way that cannot be judged"
    );
}

#[test]
fn schemas_that_refer_to_themselves_come_to_an_end() {
    let list = |kind: &str| {
        json!({
            "$ref": "#/definitions/List",
            "definitions": { "List": {
                "type": "object",
                "properties": { "next": { "$ref": "#/definitions/List" }, "it": { "type": kind } },
            } },
        })
    };
    assert_eq!(breaks(&list("string"), &list("string")), []);
    assert!(!breaks(&list("string"), &list("integer")).is_empty());
}

#[test]
fn what_comes_in_may_be_taken_more_widely_and_not_more_narrowly() {
    let order = |required: Value, kinds: Value| {
        json!({
            "type": "object",
            "properties": { "id": { "type": "string" }, "kind": { "enum": kinds } },
            "required": required,
        })
    };
    let old = order(json!(["id"]), json!(["a", "b"]));
    assert_eq!(refusals(&old, &order(json!([]), json!(["a", "b", "c"]))), []);
    let found = refusals(&old, &order(json!(["id", "kind"]), json!(["a", "b"])));
    assert_eq!(found[0].place, "kind", "it was not needed");
    let found = refusals(&old, &order(json!(["id"]), json!(["a"])));
    assert_eq!(found[0].place, "kind", "another value is refused now");
}

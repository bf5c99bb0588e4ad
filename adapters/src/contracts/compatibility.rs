//! What of a change would break who relies on an older schema of the same message.
//!
//! Florin publishes, others read: what was promised of a message has to hold for those of today. So a
//! schema may promise more than before, and say more, but nothing less.
//!
//! | | is no harm | breaks |
//! |---|---|---|
//! | members | a new one, one that is always there now | one that is gone, one that may be absent now |
//! | type, `pattern`, `format` | one where there was none | another one, or none any more |
//! | bounds | tighter | wider, or none any more |
//! | values, cases with a name | a new one | one that is gone |
//! | cases without a name | | a new one (`null`, say), one that is gone |
//! | closed objects | | a member more, or open |
//!
//! A new value of a list is no harm by agreement: who reads a message skips what it does not know.
//! What is not in the table and differs is taken for a break, for it cannot be judged.
//!
//! For messages that others publish and Florin reads it is the other way round: see [`refusals`].

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use super::channel::Way;

/// How far schemas are followed into each other: far deeper than any message is. What lies deeper
/// cannot be judged.
const MAX_DEPTH: usize = 32;

/// What says nothing about what is valid.
const ANNOTATIONS: [&str; 9] = [
    "$comment",
    "$id",
    "$schema",
    "components",
    "default",
    "definitions",
    "description",
    "examples",
    "title",
];

const LOWER_BOUNDS: [&str; 5] =
    ["exclusiveMinimum", "minItems", "minLength", "minProperties", "minimum"];

const UPPER_BOUNDS: [&str; 5] =
    ["exclusiveMaximum", "maxItems", "maxLength", "maxProperties", "maximum"];

/// Something that who reads messages could rely on, and cannot any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Where: the members on the way to it, with points between; empty for the whole.
    pub place: String,
    /// What is the matter with it.
    pub what: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.place.is_empty() { "the message" } else { &self.place };
        write!(f, "{place} {}", self.what)
    }
}

/// What of `new` would break who relies on `old`: two schemas that stand alone.
#[must_use]
pub fn breaks(old: &Value, new: &Value) -> Vec<Break> {
    differences(Way::Out, old, new)
}

/// What of a message that was valid by `old` would not be by `new`: the same for messages that come in.
#[must_use]
pub fn refusals(old: &Value, new: &Value) -> Vec<Break> {
    differences(Way::In, new, old)
}

fn differences(way: Way, old: &Value, new: &Value) -> Vec<Break> {
    let mut comparison = Comparison { way, old, new, found: Vec::new() };
    comparison.compare(&Place { path: "", depth: 0 }, old, new);
    comparison.found
}

/// Where the comparison is.
struct Place<'p> {
    path: &'p str,
    depth: usize,
}

type Members = Map<String, Value>;

/// What is held to promise no less than another: of messages that come in, the committed schema is held
/// to promise no less than today's wants.
struct Comparison<'a> {
    way: Way,
    old: &'a Value,
    new: &'a Value,
    found: Vec<Break>,
}

impl Comparison<'_> {
    fn add(&mut self, path: &str, what: impl Into<String>) {
        self.found.push(Break { place: path.to_owned(), what: what.into() });
    }

    fn compare(&mut self, place: &Place<'_>, old: &Value, new: &Value) {
        let (old, new) = (flat(self.old, old, 0), flat(self.new, new, 0));
        if place.depth >= MAX_DEPTH {
            if old != new {
                self.add(place.path, "changes where it is too deep to be judged");
            }
            return;
        }
        self.values(place.path, &old, &new);
        self.members(place, &old, &new);
        self.cases(place, &old, &new);
        self.items(place, &old, &new);
        for bounds in [(LOWER_BOUNDS, true), (UPPER_BOUNDS, false)] {
            self.bounds(place.path, bounds, &old, &new);
        }
        self.kind(place.path, &old, &new);
        for keyword in ["pattern", "format"] {
            if let Some(was) = old.get(keyword).filter(|was| new.get(keyword) != Some(was)) {
                let what = match new.get(keyword) {
                    Some(is) => format!("had the {keyword} {was} and has {is} now"),
                    None => format!("had the {keyword} {was} and has none now"),
                };
                self.add(place.path, what);
            }
        }
        self.others(place.path, &old, &new);
    }

    fn kind(&mut self, path: &str, old: &Members, new: &Members) {
        let Some(was) = old.get("type").map(texts) else { return };
        let is = new.get("type").map(texts).unwrap_or_default();
        let fits =
            |kind: &&str| was.contains(kind) || (*kind == "integer" && was.contains("number"));
        if is.is_empty() {
            self.add(path, format!("was of the type {} and may be anything now", list(&was)));
        } else if !is.iter().all(fits) {
            self.add(path, format!("was of the type {} and is {} now", list(&was), list(&is)));
        }
    }

    /// `const` and `enum`, which are lists of values.
    fn values(&mut self, path: &str, old: &Members, new: &Members) {
        let (Some(was), is) = (values(old), values(new)) else { return };
        let Some(is) = is else {
            self.add(path, "was one of a list of values and may be another now");
            return;
        };
        let (all, known) = match self.way {
            Way::Out => (&was, &is),
            Way::In => (&is, &was),
        };
        for gone in all.iter().filter(|value| !known.contains(value)) {
            self.add(path, format!("was {gone} at times, or always, and never is now"));
        }
    }

    fn bounds(
        &mut self,
        path: &str,
        (keywords, is_lower): ([&str; 5], bool),
        old: &Members,
        new: &Members,
    ) {
        for keyword in keywords {
            let Some(was) = old.get(keyword) else { continue };
            let is = new.get(keyword);
            let is_kept = match (was.as_i64(), is.and_then(Value::as_i64)) {
                (Some(was), Some(is)) => {
                    if is_lower {
                        is >= was
                    } else {
                        is <= was
                    }
                }
                _ => is == Some(was),
            };
            if !is_kept {
                let now = is.map_or_else(|| "none".to_owned(), ToString::to_string);
                self.add(path, format!("had the {keyword} {was} and has {now} now"));
            }
        }
    }

    fn members(&mut self, place: &Place<'_>, old: &Members, new: &Members) {
        let none = Members::new();
        let (were, are) = (object(old, "properties", &none), object(new, "properties", &none));
        let (needed, needs) = (required(old), required(new));
        for (name, was) in were {
            let path = join(place.path, name);
            match are.get(name) {
                None => self.add(&path, "is gone"),
                Some(is) => {
                    if needed.contains(&**name) && !needs.contains(&**name) {
                        self.add(&path, "was always there and may be absent now");
                    }
                    self.compare(&Place { path: &path, depth: place.depth + 1 }, was, is);
                }
            }
        }
        for name in needed.iter().filter(|name| !were.contains_key(**name)) {
            if !needs.contains(name) {
                self.add(&join(place.path, name), "was always there and may be absent now");
            }
        }
        let closed = |schema: &Members| schema.get("additionalProperties") == Some(&false.into());
        if closed(old) {
            for name in are.keys().filter(|name| !were.contains_key(*name)) {
                self.add(&join(place.path, name), "is new where nothing else was to come");
            }
            if !closed(new) {
                self.add(place.path, "had no other members and may have some now");
            }
        } else if let Some(was) = old.get("additionalProperties").filter(|was| !was.is_boolean()) {
            let path = join(place.path, "*");
            let is = new.get("additionalProperties").unwrap_or(&Value::Bool(true));
            self.compare(&Place { path: &path, depth: place.depth + 1 }, was, is);
        }
    }

    fn items(&mut self, place: &Place<'_>, old: &Members, new: &Members) {
        let Some(was) = old.get("items") else { return };
        let path = join(place.path, "[]");
        let is = new.get("items").unwrap_or(&Value::Bool(true));
        match (was, is) {
            (Value::Array(_), _) | (_, Value::Array(_)) if was != is => {
                self.add(&path, "changes in a way that cannot be judged");
            }
            _ => self.compare(&Place { path: &path, depth: place.depth + 1 }, was, is),
        }
    }

    /// `oneOf` and `anyOf`: each case is known again by the values that it alone has.
    fn cases(&mut self, place: &Place<'_>, old: &Members, new: &Members) {
        let (were, are) = (cases(self.old, old), cases(self.new, new));
        let case = |cases: &[(String, Value)], name: &str| {
            cases.iter().find(|(other, _)| other == name).map(|(_, case)| case.clone())
        };
        for (name, was) in &were {
            match (case(&are, name), self.way) {
                (Some(is), _) => {
                    let path = format!("{}({name})", place.path);
                    self.compare(&Place { path: &path, depth: place.depth + 1 }, was, &is);
                }
                (None, Way::Out) => {
                    self.add(place.path, format!("may no longer be the case {name}"));
                }
                // It need not be sent.
                (None, Way::In) => {}
            }
        }
        // What was anything is narrower now.
        let new = are.iter().filter(|(name, _)| !were.is_empty() && case(&were, name).is_none());
        for (name, _) in new {
            // What has a name of its own can be skipped by who reads it, and is not taken any more.
            if !name.contains('=') || matches!(self.way, Way::In) {
                self.add(place.path, format!("may be the case {name} now, which it never was"));
            }
        }
    }

    /// What is not judged otherwise has to be the same.
    fn others(&mut self, path: &str, old: &Members, new: &Members) {
        let judged = [
            "additionalProperties",
            "anyOf",
            "const",
            "enum",
            "format",
            "items",
            "oneOf",
            "pattern",
            "properties",
            "required",
            "type",
        ];
        let is_judged = |name: &str| {
            judged.contains(&name)
                || ANNOTATIONS.contains(&name)
                || LOWER_BOUNDS.contains(&name)
                || UPPER_BOUNDS.contains(&name)
                || name.starts_with("x-")
        };
        for (name, was) in old.iter().filter(|(name, _)| !is_judged(name)) {
            if new.get(name) != Some(was) {
                self.add(path, format!("changes its {name} in a way that cannot be judged"));
            }
        }
    }
}

/// The members of a schema: of that which it refers to, and of the only one of `allOf`.
fn flat(root: &Value, schema: &Value, depth: usize) -> Members {
    let mut members = match schema {
        Value::Object(members) => members.clone(),
        // Nothing is valid.
        Value::Bool(false) => Map::from_iter([("not".to_owned(), Value::Object(Map::new()))]),
        Value::Null | Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    };
    let reference = members.get("$ref").and_then(Value::as_str);
    let referred = reference.and_then(|text| root.pointer(text.strip_prefix('#')?)).cloned();
    let only = match members.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([only]) => Some(only.clone()),
        Some(_) | None => None,
    };
    for (keyword, part) in [("$ref", referred), ("allOf", only)] {
        if let Some(part) = part.filter(|_| depth < MAX_DEPTH) {
            members.remove(keyword);
            for (name, value) in flat(root, &part, depth + 1) {
                members.entry(name).or_insert(value);
            }
        }
    }
    members
}

/// The cases of a schema, each with a name.
fn cases(root: &Value, schema: &Members) -> Vec<(String, Value)> {
    let all = ["oneOf", "anyOf"].map(|keyword| schema.get(keyword).and_then(Value::as_array));
    let all = all.into_iter().flatten().flatten();
    all.map(|case| (name_of(root, case), case.clone())).collect()
}

/// By its value or those of its members, `code="wallet-closed"`; without any, by its type.
fn name_of(root: &Value, case: &Value) -> String {
    let members = flat(root, case, 0);
    if let Some(value) = members.get("const") {
        return format!("={value}");
    }
    let none = Members::new();
    let properties = object(&members, "properties", &none);
    let fixed = properties.iter().filter_map(|(name, schema)| {
        flat(root, schema, 0).get("const").map(|value| format!("{name}={value}"))
    });
    let fixed: Vec<String> = fixed.collect();
    match (fixed.is_empty(), members.get("type")) {
        (false, _) => fixed.join(","),
        (true, Some(kind)) => list(&texts(kind)),
        (true, None) => "without a type".to_owned(),
    }
}

fn values(schema: &Members) -> Option<Vec<Value>> {
    match schema.get("const") {
        Some(value) => Some(vec![value.clone()]),
        None => schema.get("enum").and_then(Value::as_array).cloned(),
    }
}

fn required(schema: &Members) -> BTreeSet<&str> {
    schema.get("required").map(texts).unwrap_or_default()
}

/// A text, or the texts of a list.
fn texts(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::String(text) => BTreeSet::from([&**text]),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => BTreeSet::new(),
    }
}

fn list(texts: &BTreeSet<&str>) -> String {
    texts.iter().copied().collect::<Vec<_>>().join(" or ")
}

fn object<'m>(schema: &'m Members, name: &str, none: &'m Members) -> &'m Members {
    schema.get(name).and_then(Value::as_object).unwrap_or(none)
}

fn join(path: &str, name: &str) -> String {
    match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod tests;

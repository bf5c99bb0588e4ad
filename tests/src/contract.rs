//! The OpenAPI document as a contract: every answer that a test receives is held against it.
//!
//! An answer must be of a status that its operation has, of a media type that this status has, and
//! valid by the schema; a problem must be one whose code is listed. Of paths and methods that are
//! not in the document nothing but 404 and 405 is expected.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use florin_adapters::http::openapi;
use jsonschema::Validator;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::service::Answer;

/// The document as Florin serves it.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&openapi::text().unwrap()).unwrap());

/// The schema of each operation, status and media type.
static SCHEMAS: LazyLock<BTreeMap<[String; 4], Validator>> = LazyLock::new(|| {
    let mut schemas = BTreeMap::new();
    for (path, method, status, kind, content) in contents() {
        let whole = json!({ "allOf": [content["schema"]], "components": DOCUMENT["components"] });
        let validator = jsonschema::validator_for(&whole).unwrap();
        schemas.insert([path, method, status, kind].map(str::to_owned), validator);
    }
    schemas
});

fn contents()
-> impl Iterator<Item = (&'static str, &'static str, &'static str, &'static str, &'static Value)> {
    members(&DOCUMENT["paths"]).flat_map(|(path, item)| {
        members(item).flat_map(move |(method, operation)| {
            members(&operation["responses"]).flat_map(move |(status, response)| {
                let content = members(&response["content"]);
                content.map(move |(kind, content)| (path, method, status, kind, content))
            })
        })
    })
}

fn members(object: &'static Value) -> impl Iterator<Item = (&'static str, &'static Value)> {
    object.as_object().into_iter().flatten().map(|(name, value)| (&**name, value))
}

/// The path of the document that this path is one of: without a version, and with the names of
/// today. One without a parameter comes first.
fn template(path: &str) -> Option<&'static str> {
    let path = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let path = match path {
        "/wallet" => "/wallets".to_owned(),
        "/wallet/transfer" | "/wallets/transfer" => "/transfers".to_owned(),
        path => match path.strip_prefix("/wallet/") {
            Some(rest) => format!("/wallets/{rest}"),
            None => path.to_owned(),
        },
    };
    let fits = |template: &str| {
        let mut given = path.split('/');
        let fit = template.split('/').all(|part| {
            given
                .next()
                .is_some_and(|text| part == text || (part.starts_with('{') && !text.is_empty()))
        });
        fit && given.next().is_none()
    };
    let mut found: Vec<_> =
        members(&DOCUMENT["paths"]).map(|(path, _)| path).filter(|path| fits(path)).collect();
    found.sort_by_key(|path| path.contains('{'));
    found.first().copied()
}

/// The path of an operation with names that nobody has. A stream that is opened does not end, so it is
/// asked for after what is no position.
pub fn nobodys(path: &str, operation: &Value) -> String {
    let parts = path.split('/');
    let named = parts.map(|part| if part.starts_with('{') { "nobody" } else { part });
    let path = named.collect::<Vec<_>>().join("/");
    match operation["responses"]["200"]["content"].get("text/event-stream") {
        Some(_) => path + "?lastEventId=none",
        None => path,
    }
}

/// Fails the test if the document does not have this answer.
///
/// # Panics
/// With the answer, and what is wrong with it.
#[track_caller]
pub fn check(method: &Method, path: &str, answer: &Answer) {
    let verb = method.as_str().to_lowercase();
    let Some(template) = template(path) else {
        assert_eq!(answer.status, 404, "{method} {path} is not documented: {answer}");
        return;
    };
    if DOCUMENT["paths"][template][&verb].is_null() {
        // A wallet may have the name of a route, and a HEAD is a GET.
        let is_known = matches!(verb.as_str(), "head" | "get") || answer.status == 405;
        assert!(is_known, "{method} {template} is not documented: {answer}");
        return;
    }
    let kind = answer.header(CONTENT_TYPE.as_str()).unwrap_or_default().to_owned();
    let key = [template.to_owned(), verb, answer.status.to_string(), kind];
    let schema = SCHEMAS.get(&key);
    let schema = schema.unwrap_or_else(|| panic!("{key:?} is not documented: {answer}"));
    // What is not JSON is a text.
    let is_json = key[3].ends_with("json");
    let body = if is_json { answer.body.clone() } else { Value::String(answer.text.clone()) };
    if let Err(error) = schema.validate(&body) {
        panic!("{key:?} is documented otherwise: {error} at {}: {answer}", error.instance_path());
    }
}

/// Fails the test if an event of a stream has other data than the document says.
///
/// # Panics
/// With the data, and what is wrong with them.
#[track_caller]
pub fn check_data(path: &str, data: &Value) {
    let template = template(path).unwrap_or_else(|| panic!("{path} is not documented"));
    let key = [template, "get", "200", "text/event-stream"].map(str::to_owned);
    let schema = SCHEMAS.get(&key).unwrap_or_else(|| panic!("{key:?} is not documented"));
    if let Err(error) = schema.validate(data) {
        panic!("{key:?} is documented otherwise: {error} at {}: {data}", error.instance_path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_every_version_and_age_are_found() {
        for (path, expected) in [
            ("/wallets", Some("/wallets")),
            ("/v1/wallet", Some("/wallets")),
            ("/wallet/a/deposit", Some("/wallets/{id}/deposit")),
            ("/v1/wallets/a", Some("/wallets/{id}")),
            ("/wallets/transfer", Some("/transfers")),
            ("/idempotency/a/k%2F1", Some("/idempotency/{walletId}/{key}")),
            ("/v1/idempotency/k", Some("/idempotency/{key}")),
            ("/fraud/alerts", Some("/fraud/alerts")),
            ("/wallets/", None),
            ("/wallets/a/b", None),
            ("/v2/wallets", None),
        ] {
            assert_eq!(template(path), expected, "{path}");
        }
    }

    #[test]
    fn an_answer_that_is_not_in_the_document_fails_the_test() {
        let answer = |status: u16, kind: &str, body: Value| Answer {
            status,
            headers: [(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect(),
            text: body.to_string(),
            body,
        };
        let fails = |path: &'static str, answer: Answer| {
            std::panic::catch_unwind(|| check(&Method::GET, path, &answer)).is_err()
        };
        let alive = json!({ "status": "alive" });
        assert!(!fails("/livez", answer(200, "application/json", alive.clone())));
        assert!(fails("/livez", answer(201, "application/json", alive.clone())), "the status");
        assert!(fails("/livez", answer(200, "text/html", alive.clone())), "the media type");
        assert!(fails("/livez", answer(200, "application/json", json!({}))), "the body");
        assert!(fails("/lives", answer(200, "application/json", alive)), "the path");
        let problem = |code: &str| {
            let texts = json!({ "type": "", "title": "", "detail": "", "traceId": "" });
            let mut problem = texts.as_object().unwrap().clone();
            problem.extend([("status".into(), 404.into()), ("code".into(), code.into())]);
            answer(404, "application/problem+json", problem.into())
        };
        assert!(!fails("/wallets/a", problem("wallet-not-found")));
        assert!(fails("/wallets/a", problem("transfer-not-found")), "the code");
    }
}

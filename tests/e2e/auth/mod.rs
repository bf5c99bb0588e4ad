//! Who gets in, and of which wallets they may ask: real tokens of every kind, over HTTP.

mod load;
mod rotation;
mod starting;
mod strangers;
mod tokens;
mod users_wallet;

use florin_adapters::http::openapi;
use reqwest::Method;
use serde_json::Value;

/// Every scope there is.
const SCOPES: [&str; 5] = ["wallet:read", "wallet:write", "ledger:read", "ledger:write", "ops"];

/// An operation of the document, and which scopes it says let in; none where no token is needed.
struct Operation {
    id: String,
    method: Method,
    /// About a wallet, an alert … that is not there.
    path: String,
    scopes: Option<Vec<String>>,
}

/// The path with names that nobody has. A stream that is opened does not end, so it is asked for what
/// is no position.
fn named(path: &str, operation: &Value) -> String {
    let names = ["{id}", "{walletId}", "{key}"];
    let mut path = names.iter().fold(path.to_owned(), |path, name| path.replace(name, "nobody"));
    if operation["responses"]["200"]["content"].get("text/event-stream").is_some() {
        path += "?lastEventId=none";
    }
    path
}

fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&openapi::text().unwrap()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array().unwrap();
            let scopes = security.iter().flat_map(|one| one["bearer"].as_array().unwrap());
            let scopes = scopes.map(|scope| scope.as_str().unwrap().to_owned()).collect();
            operations.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
                path: named(path, operation),
                scopes: (!security.is_empty()).then_some(scopes),
            });
        }
    }
    assert!(operations.len() > 25, "{} operations", operations.len());
    operations
}

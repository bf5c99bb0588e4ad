//! Who gets in, and of which wallets they may ask: real tokens of every kind, over HTTP.

mod load;
mod rotation;
mod starting;
mod strangers;
mod tokens;
mod users_wallet;

use florin_adapters::http::openapi;
use florin_tests::contract::nobodys;
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
                path: nobodys(path, operation),
                scopes: (!security.is_empty()).then_some(scopes),
            });
        }
    }
    assert!(operations.len() > 25, "{} operations", operations.len());
    operations
}

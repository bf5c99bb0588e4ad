//! `florin serve --as-of`: the ledger as it was, read-only.

use florin_tests::ask::{deposit, id, request, transfer};
use florin_tests::process::{Florin, free_port, run};
use florin_tests::service::send;
use florin_tests::store::{Store, balance_of};
use reqwest::{Client, Method};
use serde_json::json;

use super::{admin, urls, workshop};

#[tokio::test]
async fn the_past_is_served_and_takes_no_commands() {
    let store = Store::postgres(1).await;
    let ledger = store.process();
    for (wallet, amount) in [("alice", "10"), ("bob", "20")] {
        ledger.submit(request(deposit(&id(wallet), amount))).await.unwrap();
    }
    workshop(&store).await.as_of("back_then", &[(0, 4)], false, &mut |_| {}).await.unwrap();
    ledger.submit(request(transfer(&id("bob"), &id("alice"), "7"))).await.unwrap();
    ledger.submit(request(deposit(&id("carol"), "1"))).await.unwrap();

    let (dir, port) = (tempfile::TempDir::new().unwrap(), free_port());
    let mut service =
        Florin::serve(dir.path(), port, &urls(&store).service, &["--as-of", "back_then"]);
    service.ready(&format!("http://127.0.0.1:{port}")).await;
    let client = Client::new();
    let ask = async |method: Method, path: &str| {
        let request = client.request(method.clone(), format!("http://127.0.0.1:{port}{path}"));
        send(if method == Method::POST { request.json(&json!({"amount": "5"})) } else { request })
            .await
    };
    let bob = ask(Method::GET, "/wallets/bob").await;
    assert_eq!((bob.status, bob.text_of("balance")), (200, "20.00"), "{bob}");
    assert_eq!(bob.header("florin-position"), Some("0-4"));
    assert_eq!(ask(Method::GET, "/wallets/carol").await.status, 404);
    let history = ask(Method::GET, "/wallets/alice/history").await;
    assert_eq!(history.body["data"].as_array().unwrap().len(), 1, "{history}");
    let all = ask(Method::GET, "/wallets").await;
    assert_eq!(all.body["data"].as_array().unwrap().len(), 2, "{all}");

    for (method, path) in [
        (Method::POST, "/wallets/bob/deposit"),
        (Method::GET, "/wallets/bob?consistency=strong"),
        (Method::GET, "/ledger/trial-balance"),
        (Method::GET, "/audit"),
    ] {
        let refused = ask(method, path).await;
        assert_eq!((refused.status, refused.text_of("code")), (403, "read-only"), "{path}");
        assert!(refused.text_of("detail").contains("as it was at 0-4"), "{refused}");
    }
    assert_eq!(balance_of(&ledger, &id("bob")).await, "13.00");
    let recorded = "SELECT count(*) FROM api_audit";
    let calls: i64 =
        sqlx::query_scalar(recorded).fetch_one(&mut admin(&store).await).await.unwrap();
    assert_eq!(calls, 0, "it writes nothing at all");
}

#[tokio::test]
async fn a_schema_that_nobody_made_is_not_served() {
    let store = Store::postgres(1).await;
    let url = urls(&store).service.clone();
    let verb = ["serve", "--auth=off", "--port=0", "--as-of", "january", "--database-url", &url];
    let ran = run(verb).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("florin as-of TIME --into january"), "{}", ran.err);
}

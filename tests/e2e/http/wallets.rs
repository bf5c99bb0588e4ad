//! Opening, funding, freezing, closing and reading wallets.

use florin_tests::service::{Service, send};
use florin_tests::store::eventually;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::PREFIXES;

#[tokio::test]
async fn a_wallet_is_opened_and_read_under_every_prefix() {
    let service = Service::start(1).await;
    for (n, prefix) in PREFIXES.into_iter().enumerate() {
        let id = format!("w-{n}");
        let body = json!({
            "id": id, "currency": "EUR", "owner": "alice", "initialBalance": "5",
            "metadata": { "plan": "gold" },
        });
        let opened = service.post(prefix, body).await;
        opened.expect(201).expect_members(json!({
            "id": id, "walletId": id, "exists": true, "currency": "EUR", "balance": "5.00",
            "status": "active", "owner": "alice", "version": 2, "partition": 0,
            "position": 2 * (n + 1),
        }));
        assert_eq!(opened.header("etag"), Some("\"2\""));
        let location = opened.header("location").unwrap();
        assert_eq!(location, format!("{prefix}/{id}"));
        let now = service.get(&format!("{location}?consistency=strong")).await;
        assert_eq!((&now.expect(200).text, now.header("etag")), (&opened.text, Some("\"2\"")));
        let mut read = service.get(location).await;
        assert_eq!(read.expect(200).header("etag"), Some("\"2\""));
        let metadata = read.body.as_object_mut().unwrap().remove("metadata");
        assert_eq!((metadata, read.body), (Some(json!({ "plan": "gold" })), opened.body));
    }
    let events = service.store().events().await;
    assert!(events[0].payload.contains(r#""metadata":{"plan":"gold"}"#), "{}", events[0].payload);
    service.finish().await;
}

#[tokio::test]
async fn a_wallet_without_an_id_gets_a_uuid() {
    let service = Service::start(4).await;
    for body in ["{}", r#"{"id":null}"#] {
        let opened = service.post_text("/wallets", body).await;
        opened.expect(201).expect_members(json!({
            "currency": "USD", "balance": "0.00", "owner": null, "version": 1,
        }));
        let id = opened.text_of("id");
        assert!(Uuid::parse_str(id).is_ok(), "{id}");
        assert_eq!(opened.header("location").unwrap(), format!("/wallets/{id}"));
    }
    let without_body = send(service.request(Method::POST, "/v1/wallets")).await;
    assert_eq!(without_body.expect(201).text_of("balance"), "0.00");
    service.finish().await;
}

#[tokio::test]
async fn an_initial_balance_has_two_names_and_zero_is_none() {
    let service = Service::start(1).await;
    for (body, balance, version) in [
        (r#"{"initialBalance":"7.5"}"#, "7.50", 2),
        (r#"{"initialBalance":7.5}"#, "7.50", 2),
        (r#"{"balance":100}"#, "100.00", 2),
        (r#"{"balance":"0.01"}"#, "0.01", 2),
        (r#"{"initialBalance":0}"#, "0.00", 1),
        (r#"{"initialBalance":"0.00"}"#, "0.00", 1),
        (r#"{"balance":0}"#, "0.00", 1),
        (r#"{"balance":0.0}"#, "0.00", 1),
        (r#"{"initialBalance":5,"currency":"JPY"}"#, "5", 2),
    ] {
        let opened = service.post_text("/wallets", body).await;
        opened.expect(201).expect_members(json!({ "balance": balance, "version": version }));
    }
    service.finish().await;
}

#[tokio::test]
async fn money_comes_in_and_goes_out_under_every_prefix() {
    let service = Service::start(1).await;
    for (n, prefix) in PREFIXES.into_iter().enumerate() {
        let id = format!("w-{n}");
        let money = |amount: &str| json!({ "amount": amount, "metadata": { "invoice": 7 } });
        let deposited = service.post(&format!("{prefix}/{id}/deposit"), money("5.5")).await;
        deposited.expect(201).expect_members(json!({
            "walletId": id, "type": "deposit", "amount": "5.50", "currency": "USD",
            "balance": "5.50", "version": 2, "partition": 0, "position": 3 * n + 2,
        }));
        assert!(Uuid::parse_str(deposited.text_of("transactionId")).is_ok());
        assert!(deposited.text_of("recordedAt").ends_with('Z'));
        assert!(deposited.body.get("requestId").is_none(), "no key is made up for a client");
        assert_eq!(deposited.header("etag"), Some("\"2\""));

        let withdrawn = service.post(&format!("{prefix}/{id}/withdraw"), money("1.25")).await;
        withdrawn.expect(201).expect_members(json!({
            "walletId": id, "type": "withdrawal", "amount": "1.25", "balance": "4.25",
            "version": 3, "position": 3 * n + 3,
        }));
        assert_ne!(withdrawn.text_of("transactionId"), deposited.text_of("transactionId"));
        let read = service.get(&format!("{prefix}/{id}")).await;
        read.expect(200).expect_members(json!({ "balance": "4.25", "version": 3 }));
        assert_eq!(read.header("etag"), Some("\"3\""));
    }
    let totals = service.finish().await.totals;
    let usd = &totals[&"USD".parse().unwrap()];
    assert_eq!(
        (usd.deposited, usd.withdrawn, usd.in_wallets),
        (22.into(), 5.into(), 17.into()),
        "four times 5.50 in and 1.25 out"
    );
}

#[tokio::test]
async fn a_wallet_is_frozen_thawed_and_closed() {
    let service = Service::start(1).await;
    for (n, prefix) in PREFIXES.into_iter().enumerate() {
        let wallet = format!("{prefix}/w-{n}");
        let post = async |verb: &str, body| service.post(&format!("{wallet}/{verb}"), body).await;
        post("deposit", json!({ "amount": 5 })).await.expect(201);
        let frozen = post("freeze", json!({ "reason": "a court order" })).await;
        frozen.expect(200).expect_members(json!({ "status": "frozen", "version": 3 }));
        let again = post("freeze", json!({})).await;
        assert_eq!(again.expect(200).text, frozen.text, "asked again, nothing changes");
        post("deposit", json!({ "amount": 1 })).await.expect(201);
        let thawed = post("unfreeze", json!({})).await;
        thawed.expect(200).expect_members(json!({ "status": "active", "version": 5 }));
        assert_eq!(thawed.header("etag"), Some("\"5\""));
        post("withdraw", json!({ "amount": 6 })).await.expect(201);
        let closed = post("close", json!({ "reason": "asked for" })).await;
        closed.expect(200).expect_members(json!({ "status": "closed", "balance": "0.00" }));
        assert_eq!(post("close", json!({})).await.expect(200).text, closed.text);
        assert_eq!(service.get(&wallet).await.expect(200).text, closed.text);
    }
    let stream = service.store().stream("w-0").await;
    assert_eq!(
        stream,
        [
            "WalletOpened",
            "FundsDeposited",
            "WalletFrozen",
            "FundsDeposited",
            "WalletUnfrozen",
            "FundsWithdrawn",
            "WalletClosed"
        ]
    );
    service.finish().await;
}

#[tokio::test]
async fn a_write_may_name_the_version_that_it_is_based_on() {
    let service = Service::start(1).await;
    let deposit = async |version: &str| {
        let headers = [("if-match", version)];
        service.post_with("/wallets/w/deposit", &headers, json!({ "amount": 1 })).await
    };
    // A wallet that was never opened is at version 0.
    assert_eq!(deposit("\"0\"").await.expect(201).header("etag"), Some("\"2\""));
    assert_eq!(deposit("\"2\"").await.expect(201).header("etag"), Some("\"3\""));
    assert_eq!(deposit("3").await.expect(201).header("etag"), Some("\"4\""));
    assert_eq!(deposit("*").await.expect(201).header("etag"), Some("\"5\""));
    let stale = deposit("\"4\"").await;
    stale.expect_problem(412, "version-mismatch").expect_members(json!({ "actualVersion": 5 }));
    assert_eq!(service.get("/wallets/w").await.text_of("balance"), "4.00");
    let headers = [("if-match", "*")];
    let unknown =
        service.post_with("/wallets/nobody/deposit", &headers, json!({ "amount": 1 })).await;
    unknown.expect_problem(404, "wallet-not-found");
    service.finish().await;
}

#[tokio::test]
async fn the_service_is_alive_and_ready() {
    let service = Service::start(1).await;
    for path in ["/livez", "/v1/livez"] {
        assert_eq!(service.get(path).await.expect(200).text, r#"{"status":"alive"}"#);
    }
    for path in ["/readyz", "/v1/readyz"] {
        let ready = eventually("the service is ready", async || {
            let ready = service.get(path).await;
            if ready.status == 200 { Ok(ready) } else { Err(ready) }
        })
        .await;
        assert_eq!(ready.text, r#"{"status":"ready","missing":[]}"#);
    }
    service.finish().await;
}

#[tokio::test]
async fn what_is_no_route_is_a_problem_too() {
    let service = Service::start(1).await;
    service.get("/v2/wallets").await.expect_problem(404, "not-found");
    service.get("/wallets/w/deposit").await.expect_problem(405, "method-not-allowed");
    let removed = send(service.request(Method::DELETE, "/wallets/w")).await;
    removed.expect_problem(405, "method-not-allowed");
    service.finish().await;
}

//! The clients of the older systems, with their routes and field names, and the faults that those
//! systems had.

use std::collections::HashSet;

use florin_tests::service::Service;
use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

/// System A: `/wallet/{id}/…`, `requestId`, amounts as JSON numbers, wallets that deposits open.
#[tokio::test]
async fn a_client_of_the_event_driven_wallet_finds_its_contract() {
    let service = Service::start(1).await;
    let deposited = service
        .post_text("/wallet/wallet-7/deposit", r#"{"amount":100.25,"requestId":"d-1"}"#)
        .await;
    deposited.expect(201).expect_members(json!({
        "walletId": "wallet-7", "balance": "100.25", "requestId": "d-1",
    }));
    let withdrawn = service
        .post_text("/wallet/wallet-7/withdraw", r#"{"amount":0.25,"requestId":"w-1"}"#)
        .await;
    withdrawn.expect(201).expect_members(json!({
        "walletId": "wallet-7", "balance": "100.00", "requestId": "w-1",
    }));
    let body = r#"{"toWalletId":"wallet-8","amount":40.5,"requestId":"t-1"}"#;
    let sent = service.post_text("/wallet/wallet-7/transfer", body).await;
    sent.expect(201).expect_members(json!({
        "fromWalletId": "wallet-7", "toWalletId": "wallet-8", "amount": "40.50",
        "status": "completed", "requestId": "t-1", "fromBalance": "59.50", "toBalance": "40.50",
    }));
    assert!(Uuid::parse_str(sent.text_of("transferId")).is_ok());
    let read = service.get("/wallet/wallet-8").await;
    read.expect(200).expect_members(json!({
        "walletId": "wallet-8", "balance": "40.50", "exists": true,
    }));
    let history = service.get("/wallet/wallet-7/history?limit=2").await;
    let newest = &history.expect(200).body["data"][0];
    for (name, expected) in [
        ("walletId", "wallet-7".into()),
        ("transferId", sent.body["transferId"].clone()),
        ("type", "transfer_out".into()),
    ] {
        assert_eq!(newest[name], expected, "{name} in {newest}");
    }
    assert_eq!(newest["payload"]["amount"], "40.50");
    let occurred_at = newest["occurredAt"].as_str().unwrap();
    let before = service.get(&format!("/wallet/wallet-7/history?before={occurred_at}")).await;
    assert_eq!(before.expect(200).body["data"][0]["type"], "withdrawal");
    let stats = service.get("/wallet/wallet-7/stats").await;
    stats.expect(200).expect_members(json!({
        "walletId": "wallet-7", "totalDeposited": "100.25", "totalWithdrawn": "0.25",
        "totalTransferredOut": "40.50", "totalTransferredIn": "0.00", "suspicious": false,
        "suspiciousReason": null,
    }));
    assert!(stats.text_of("lastActivityAt").ends_with('Z'));
    let unknown = service.get("/wallet/wallet-9").await;
    unknown.expect(404).expect_members(json!({ "walletId": "wallet-9", "exists": false }));
    service.post("/wallet/wallet-9/withdraw", json!({ "amount": 1 })).await.expect(404);
    let body = json!({ "toWalletId": "wallet-8", "amount": 1 });
    service.post("/wallet/wallet-9/transfer", body).await.expect(404);
    for amount in [json!(0), json!(-5), json!("abc"), json!(null)] {
        service.post("/wallet/wallet-7/deposit", json!({ "amount": amount })).await.expect(400);
    }
    // It was a 400 there.
    service.post("/wallet/wallet-7/withdraw", json!({ "amount": 1000 })).await.expect(422);
    service.finish().await;
}

#[tokio::test]
async fn the_faults_of_the_event_driven_wallet_are_not_here() {
    let service = Service::start(1).await;
    service.post("/wallet/a/deposit", json!({ "amount": 100 })).await.expect(201);
    let body = json!({ "toWalletId": "b", "amount": 10, "requestId": "six-at-once" });
    let six = join_all((0..6).map(|_| service.post("/wallet/a/transfer", body.clone()))).await;
    let ids: HashSet<_> = six.iter().map(|answer| answer.text_of("transferId")).collect();
    assert_eq!(ids.len(), 1, "one transfer sent six times made money there");
    assert_eq!(service.get("/wallet/b").await.text_of("balance"), "10.00");

    let first = (0..20).map(|_| service.post("/wallet/new/deposit", json!({ "amount": 1 })));
    for answer in join_all(first).await {
        answer.expect(201);
    }
    let opened = service.get("/wallet/new").await;
    assert_eq!(opened.text_of("balance"), "20.00", "concurrent first deposits were lost there");

    let other = json!({ "toWalletId": "a", "amount": 5, "requestId": "six-at-once" });
    let sent = service.post("/wallet/b/transfer", other).await;
    assert!(!sent.expect(201).is_replayed(), "a key of somebody else's moved nothing there");
    assert_eq!(sent.text_of("fromBalance"), "5.00");

    let long = format!("/wallet/{}/deposit", "x".repeat(129));
    service.post(&long, json!({ "amount": 1 })).await.expect(400);
    service.get("/livez").await.expect(200);

    for _ in 0..2 {
        let unkeyed = service.post("/wallet/c/deposit", json!({ "amount": 1 })).await;
        assert!(unkeyed.expect(201).body.get("requestId").is_none(), "no key is made up");
    }
    assert_eq!(service.get("/wallet/c").await.text_of("balance"), "2.00");
    service.finish().await;
}

/// System B: `POST /wallets {balance}`, `clientTransactionId`, `senderWalletId`.
#[tokio::test]
async fn a_client_of_the_wallet_system_api_finds_its_contract() {
    let service = Service::start(1).await;
    let mut ids = vec![];
    for body in [json!({ "balance": 100 }), json!({})] {
        let created = service.post("/wallets", body).await;
        ids.push(created.expect(201).text_of("id").to_owned());
        assert!(Uuid::parse_str(&ids[ids.len() - 1]).is_ok());
    }
    let (alice, bob) = (&ids[0], &ids[1]);
    for (verb, kind, balance) in
        [("deposit", "deposit", "150.50"), ("withdraw", "withdrawal", "100.00")]
    {
        let body = json!({ "amount": 50.5, "clientTransactionId": verb });
        let path = format!("/wallets/{alice}/{verb}");
        let done = service.post(&path, body.clone()).await;
        done.expect(201).expect_members(json!({
            "walletId": alice, "type": kind, "amount": "50.50", "balance": balance,
        }));
        assert!(Uuid::parse_str(done.text_of("transactionId")).is_ok());
        let retried = service.post(&path, body).await;
        assert!(retried.is_replayed() && retried.text == done.text);
    }
    let body = json!({
        "senderWalletId": alice, "receiverWalletId": bob, "amount": 40,
        "clientTransactionId": "sent",
    });
    let sent = service.post("/wallets/transfer", body.clone()).await;
    sent.expect(201).expect_members(json!({
        "status": "completed", "fromBalance": "60.00", "toBalance": "40.00", "amount": "40.00",
    }));
    assert!(service.post("/wallets/transfer", body).await.is_replayed());
    let list = service.get(&format!("/wallets/{bob}/transactions?page=1&limit=10")).await;
    list.expect(200).expect_members(json!({ "total": 1 }));
    let one = &list.body["data"][0];
    for (name, expected) in [
        ("id", sent.body["transferId"].clone()),
        ("type", "transfer".into()),
        ("amount", "40.00".into()),
        ("status", "completed".into()),
        ("sender", json!(alice)),
        ("receiver", json!(bob)),
        ("errorMessage", json!(null)),
    ] {
        assert_eq!(one[name], expected, "{name} in {one}");
    }
    assert!(one["timestamp"].as_str().unwrap().ends_with('Z'));
    let skipped = service.get(&format!("/wallets/{alice}/transactions?take=2&skip=1")).await;
    let kinds = skipped.expect(200).body["data"].as_array().unwrap().iter();
    let kinds: Vec<&str> = kinds.map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["withdrawal", "deposit"]);
    assert_eq!(skipped.body["total"], 4, "with the deposit that opened it");
    service.finish().await;
}

#[tokio::test]
async fn the_faults_of_the_wallet_system_api_are_not_here() {
    let service = Service::start(1).await;
    for id in ["a", "b"] {
        service.post("/wallets", json!({ "id": id, "balance": 100 })).await.expect(201);
    }
    let send = async |from: &str, to: &str, key: String| {
        let body = json!({
            "senderWalletId": from, "receiverWalletId": to, "amount": 40,
            "clientTransactionId": key,
        });
        service.post("/wallets/transfer", body).await
    };
    send("a", "a", "self".to_owned()).await.expect_problem(422, "same-wallet");
    assert_eq!(service.get("/wallets/a").await.text_of("balance"), "100.00", "it was 140 there");

    let opposite = (0..50).map(|n| {
        let (from, to) = if n % 2 == 0 { ("a", "b") } else { ("b", "a") };
        send(from, to, format!("opposite-{n}"))
    });
    for answer in join_all(opposite).await {
        assert!(matches!(answer.status, 201 | 422), "a deadlock there: {answer}");
    }
    let poor = json!({ "amount": 1000, "clientTransactionId": "poor" });
    let refused = service.post("/wallets/a/withdraw", poor.clone()).await;
    refused.expect_problem(422, "insufficient-funds");
    service.post("/wallets/a/deposit", json!({ "amount": 5000 })).await.expect(201);
    let again = service.post("/wallets/a/withdraw", poor).await;
    again.expect_problem(422, "insufficient-funds");
    assert!(again.is_replayed(), "what was reported failed is not paid later");

    for body in [json!({ "balance": -1 }), json!({ "balance": "lots" })] {
        service.post("/wallets", body).await.expect(400);
    }
    service.post("/wallets", json!({ "id": "a", "balance": 7 })).await.expect(409);
    service.finish().await;
}

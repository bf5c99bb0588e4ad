//! Transfers by every route, and how refused ones stay on record.

use florin_tests::ask::id_in;
use florin_tests::service::Service;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::PREFIXES;

/// Two wallets, in different partitions where there are several.
fn pair(partitions: u32) -> (String, String) {
    let id = |partition, name| id_in(partition, partitions, name).to_string();
    (id(0, "alice"), id(partitions - 1, "bob"))
}

/// A service in which alice has money and bob was never opened.
async fn funded(partitions: u32, amount: u32) -> (Service, String, String) {
    let service = Service::start(partitions).await;
    let (alice, bob) = pair(partitions);
    let deposit = json!({ "amount": amount });
    service.post(&format!("/wallets/{alice}/deposit"), deposit).await.expect(201);
    (service, alice, bob)
}

/// Every route with every name that the two wallets can have in the body.
fn routes(alice: &str, bob: &str) -> Vec<(String, Value)> {
    let mut routes = vec![];
    for prefix in PREFIXES {
        for target in ["toWalletId", "receiverWalletId"] {
            routes.push((format!("{prefix}/{alice}/transfer"), json!({ target: bob })));
        }
        for (source, target) in
            [("fromWalletId", "toWalletId"), ("senderWalletId", "receiverWalletId")]
        {
            routes.push((format!("{prefix}/transfer"), json!({ source: alice, target: bob })));
        }
    }
    for path in ["/transfers", "/v1/transfers"] {
        for (source, target) in [
            ("fromWalletId", "toWalletId"),
            ("senderWalletId", "receiverWalletId"),
            ("fromWalletId", "receiverWalletId"),
        ] {
            routes.push((path.to_owned(), json!({ source: alice, target: bob })));
        }
    }
    routes
}

#[tokio::test]
async fn a_transfer_is_sent_by_any_route() {
    for partitions in [1, 4] {
        let (service, alice, bob) = funded(partitions, 100).await;
        for (n, (path, mut body)) in (1..).zip(routes(&alice, &bob)) {
            body["amount"] = json!("1.5");
            body["metadata"] = json!({ "note": n });
            let sent = service.post(&path, body).await;
            let moved = Decimal::new(150 * n, 2);
            sent.expect(201).expect_members(json!({
                "status": "completed", "fromWalletId": alice, "toWalletId": bob,
                "amount": "1.50", "currency": "USD",
                "fromBalance": Decimal::new(10_000, 2) - moved, "toBalance": moved,
                "version": n + 2, "toVersion": n + 1, "partition": 0,
            }));
            assert_eq!(sent.header("etag").unwrap(), format!("\"{}\"", n + 2));
            let id = sent.text_of("transferId");
            for path in [format!("/transfers/{id}"), format!("/v1/transfers/{id}")] {
                let read = service.get(&path).await;
                read.expect(200).expect_members(json!({
                    "transferId": id, "status": "completed", "fromWalletId": alice,
                    "toWalletId": bob, "amount": "1.50", "currency": "USD",
                    "fromBalance": sent.body["fromBalance"], "toBalance": sent.body["toBalance"],
                    "metadata": { "note": n }, "version": 3, "partition": 0,
                    "position": sent.body["position"],
                }));
                assert_eq!(read.header("etag"), Some("\"3\""));
            }
        }
        let summary = service.finish().await;
        assert_eq!((summary.wallets, summary.unfinished), (2, 0));
    }
}

#[tokio::test]
async fn a_transfer_that_its_source_refuses_is_on_record() {
    for partitions in [1, 4] {
        let (service, alice, bob) = funded(partitions, 5).await;
        let path = format!("/wallets/{alice}/transfer");
        let body = json!({ "toWalletId": bob, "amount": "7.25", "requestId": "k" });
        let refused = service.post(&path, body).await;
        refused.expect_problem(422, "insufficient-funds").expect_members(json!({
            "available": "5.00", "requested": "7.25", "currency": "USD",
        }));
        let id = refused.text_of("transferId");
        let read = service.get(&format!("/transfers/{id}")).await;
        read.expect(200).expect_members(json!({
            "transferId": id, "status": "failed", "fromWalletId": alice, "toWalletId": bob,
            "amount": "7.25", "requestId": "k", "version": 2,
        }));
        let reason = &read.body["reason"];
        assert_eq!(reason["code"], "insufficient-funds");
        assert_eq!((&reason["available"], &reason["requested"]), (&"5.00".into(), &"7.25".into()));
        assert!(read.body.get("fromBalance").is_none(), "nothing left the source: {read}");
        let nobody = service.get(&format!("/wallets/{bob}")).await;
        nobody.expect_problem(404, "wallet-not-found");
        service.finish().await;
    }
}

#[tokio::test]
async fn a_transfer_that_its_target_refuses_goes_back_and_is_on_record() {
    for partitions in [1, 4] {
        let (service, alice, bob) = funded(partitions, 5).await;
        service.post("/wallets", json!({ "id": bob })).await.expect(201);
        service.post(&format!("/wallets/{bob}/close"), json!({})).await.expect(200);
        let path = format!("/wallets/{alice}/transfer");
        let refused = service.post(&path, json!({ "toWalletId": bob, "amount": 5 })).await;
        refused.expect_problem(422, "wallet-closed");
        let id = refused.text_of("transferId");
        let read = service.get(&format!("/transfers/{id}")).await;
        read.expect(200).expect_members(json!({ "status": "failed", "version": 4 }));
        assert_eq!(read.body["reason"]["code"], "wallet-closed");
        let wallet = service.get(&format!("/wallets/{alice}")).await;
        wallet.expect_members(json!({ "balance": "5.00", "version": 4 }));
        let path =
            ["TransferInitiated", "TransferDebited", "TransferCompensated", "TransferFailed"];
        assert_eq!(service.store().stream(id).await, path);
        service.finish().await;
    }
}

#[tokio::test]
async fn a_frozen_wallet_takes_a_transfer_and_sends_none() {
    for partitions in [1, 4] {
        let (service, alice, bob) = funded(partitions, 5).await;
        service.post("/wallets", json!({ "id": bob })).await.expect(201);
        service.post(&format!("/wallets/{bob}/freeze"), json!({})).await.expect(200);
        let send = async |from: &str, to: &str| {
            let body = json!({ "fromWalletId": from, "toWalletId": to, "amount": 1 });
            service.post("/transfers", body).await
        };
        send(&alice, &bob).await.expect(201);
        let refused = send(&bob, &alice).await;
        refused.expect_problem(422, "wallet-frozen");
        let read = service.get(&format!("/transfers/{}", refused.text_of("transferId"))).await;
        assert_eq!(read.expect(200).body["reason"]["code"], "wallet-frozen");
        service.finish().await;
    }
}

#[tokio::test]
async fn a_transfer_that_is_not_on_record_is_not_found() {
    let service = Service::start(1).await;
    let id = "0190f2d4-0000-7000-8000-000000000000";
    let unknown = service.get(&format!("/transfers/{id}")).await;
    unknown.expect_problem(404, "transfer-not-found").expect_members(json!({ "transferId": id }));
    service.get("/transfers/7").await.expect_problem(400, "invalid-transfer-id");
    service.finish().await;
}

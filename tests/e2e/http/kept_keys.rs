//! What is on record for an idempotency key.

use florin_tests::ask::id_in;
use florin_tests::service::{Answer, Service};
use florin_tests::store::eventually;
use serde_json::{Value, json};

async fn kept(service: &Service, wallet: &str, key: &str) -> Answer {
    service.get(&format!("/idempotency/{wallet}/{key}")).await
}

/// The body of a problem, as it is told at another time.
fn timeless(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    body.as_object_mut().unwrap().remove("traceId");
    body
}

#[tokio::test]
async fn a_key_tells_its_request_s_outcome_as_the_first_answer_did() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let (a, b) = (id_in(0, partitions, "a"), id_in(partitions - 1, partitions, "b"));
        let at = |verb: &str| format!("/wallets/{a}/{verb}");
        let other = json!({ "id": b, "currency": "EUR" });
        service.post("/wallets", other).await.expect(201);
        let c = id_in(partitions - 1, partitions, "c");
        let calls: [(String, Value, u16, &str); 9] = [
            (
                "/wallets".into(),
                json!({ "id": a, "balance": 9, "requestId": "1" }),
                201,
                "accepted",
            ),
            (at("deposit"), json!({ "amount": 1, "requestId": "2" }), 201, "accepted"),
            (at("withdraw"), json!({ "amount": 2, "requestId": "3" }), 201, "accepted"),
            (at("withdraw"), json!({ "amount": 99, "requestId": "4" }), 422, "refused"),
            (at("freeze"), json!({ "requestId": "5" }), 200, "accepted"),
            (at("unfreeze"), json!({ "requestId": "6" }), 200, "accepted"),
            (
                at("transfer"),
                json!({ "toWalletId": c, "amount": 1, "requestId": "7" }),
                201,
                "accepted",
            ),
            (
                at("transfer"),
                json!({ "toWalletId": c, "amount": 99, "requestId": "8" }),
                422,
                "refused",
            ),
            (
                at("transfer"),
                json!({ "toWalletId": b, "amount": 1, "requestId": "9" }),
                422,
                "refused",
            ),
        ];
        let mut fingerprints = std::collections::BTreeSet::new();
        for (path, body, status, state) in calls {
            let first = service.post(&path, body.clone()).await;
            let key = body["requestId"].as_str().unwrap();
            let told = kept(&service, a.as_str(), key).await;
            told.expect(200).expect_members(json!({
                "walletId": a, "key": key, "state": state, "outcome": timeless(first.expect(status)),
            }));
            let moved = first.body.get("transferId").is_some();
            assert_eq!(told.body.get("transferId"), first.body.get("transferId"), "{told}");
            let has_place = state == "accepted" || moved;
            assert_eq!(told.body.get("position").is_some(), has_place, "{told}");
            assert_eq!(told.header("florin-position").is_some(), has_place, "{told}");
            fingerprints.insert(told.text_of("fingerprint").to_owned());
        }
        assert_eq!(fingerprints.len(), 9, "every request has another one: {fingerprints:?}");
        service.finish().await;
    }
}

#[tokio::test]
async fn a_key_of_a_transfer_under_way_is_in_progress() {
    let service = Service::start(4).await;
    let (alice, bob) = (id_in(0, 4, "alice"), id_in(3, 4, "bob"));
    service.post("/wallets", json!({ "id": alice, "balance": 5 })).await.expect(201);
    let mut lock = service.store().partition(3);
    lock.lock(0).await.unwrap();
    let path = format!("/wallets/{alice}/transfer");
    let body = json!({ "toWalletId": bob, "amount": 5, "requestId": "k" });
    let meanwhile = async {
        let under_way = eventually("the key is on record", async || {
            let told = kept(&service, alice.as_str(), "k").await;
            if told.status == 200 { Ok(told) } else { Err(told) }
        })
        .await;
        lock.release().await;
        under_way
    };
    let (sent, under_way) = tokio::join!(service.post(&path, body), meanwhile);
    under_way.expect_members(json!({ "state": "in-progress", "partition": 0 }));
    assert!(under_way.body.get("outcome").is_none(), "{under_way}");
    assert_eq!(under_way.text_of("transferId"), sent.expect(201).text_of("transferId"));
    let told = kept(&service, alice.as_str(), "k").await;
    told.expect(200).expect_members(json!({ "state": "accepted", "outcome": sent.body }));
    assert_eq!(told.body["recordedAt"], under_way.body["recordedAt"]);
    service.finish().await;
}

#[tokio::test]
async fn a_key_without_a_wallet_is_found_without_one() {
    let service = Service::start(4).await;
    let opened = service.post("/wallets", json!({ "balance": 5, "requestId": "k" })).await;
    let told = service.get("/idempotency/k").await;
    told.expect(200).expect_members(json!({
        "walletId": null, "key": "k", "state": "accepted", "outcome": opened.expect(201).body,
    }));
    // The wallet that was opened has no such key, and nor has nobody a wallet's.
    let id = opened.text_of("id");
    kept(&service, id, "k").await.expect_problem(404, "key-not-found");
    let deposit = format!("/wallets/{id}/deposit");
    service.post(&deposit, json!({ "amount": 1, "requestId": "d" })).await.expect(201);
    service.get("/idempotency/d").await.expect_problem(404, "key-not-found");
    kept(&service, id, "d").await.expect(200);
    service.finish().await;
}

#[tokio::test]
async fn a_key_in_a_path_is_percent_decoded() {
    let service = Service::start(1).await;
    let body = json!({ "amount": 1, "requestId": "a/b c%é?#" });
    service.post("/wallets/w/deposit", body).await.expect(201);
    for prefix in ["", "/v1"] {
        let told = service.get(&format!("{prefix}/idempotency/w/a%2Fb%20c%25%C3%A9%3F%23")).await;
        assert_eq!(told.expect(200).text_of("key"), "a/b c%é?#");
    }
    for (path, status, code) in [
        ("/idempotency/w/%FF", 400, "invalid-request-id"),
        ("/idempotency/w/%00", 400, "invalid-request-id"),
        ("/idempotency/a%20b/k", 400, "invalid-wallet-id"),
        ("/idempotency/w/fraud:largeOutflow:0-17", 400, "invalid-request-id"),
        ("/idempotency/nobody/k", 404, "key-not-found"),
        ("/idempotency/w/never", 404, "key-not-found"),
    ] {
        service.get(path).await.expect_problem(status, code);
    }
    service.finish().await;
}

#[tokio::test]
async fn a_request_without_an_outcome_leaves_its_key_free() {
    let service = Service::start(1).await;
    let body = || json!({ "amount": 1, "requestId": "k" });
    let stale = [("if-match", "\"7\"")];
    let conflict = service.post_with("/wallets/w/deposit", &stale, body()).await;
    conflict.expect_problem(412, "version-mismatch");
    let told = kept(&service, "w", "k").await;
    told.expect_problem(404, "key-not-found");
    assert!(told.text_of("detail").contains("safe to send"), "{told}");
    service.post("/wallets/w/deposit", body()).await.expect(201);
    kept(&service, "w", "k").await.expect(200);
    service.finish().await;
}

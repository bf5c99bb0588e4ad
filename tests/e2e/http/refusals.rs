//! What the ledger answers with no: 404, 409, 412, 422, each with its numbers.

use florin_application::Settings;
use florin_tests::ask::{deposit, id, id_in, request};
use florin_tests::service::{Answer, Service};
use futures::future::join_all;
use serde_json::{Value, json};

/// A service with a wallet `usd` that holds 5.00 and a wallet `eur` that holds 5.00.
async fn service(partitions: u32) -> Service {
    let service = Service::start(partitions).await;
    for (id, currency) in [("usd", "USD"), ("eur", "EUR")] {
        let body = json!({ "id": id, "currency": currency, "initialBalance": 5 });
        service.post("/wallets", body).await.expect(201);
    }
    service
}

/// Sends to a wallet.
async fn ask(service: &Service, wallet: &str, verb: &str, body: Value) -> Answer {
    service.post(&format!("/wallets/{wallet}/{verb}"), body).await
}

/// Fails the test unless the failed transfer that the problem names is on record with its reason.
async fn expect_on_record(service: &Service, refused: &Answer) {
    let read = service.get(&format!("/transfers/{}", refused.text_of("transferId"))).await;
    read.expect(200).expect_members(json!({ "status": "failed" }));
    let reason = read.body["reason"].as_object().unwrap();
    for (name, value) in reason.iter().filter(|(name, _)| *name != "walletId") {
        assert_eq!(&refused.body[name], value, "{name} in {read}");
    }
}

#[tokio::test]
async fn a_wallet_that_was_never_opened_is_not_found() {
    let service = service(1).await;
    let nobody = json!({ "exists": false, "walletId": "nobody" });
    let read = service.get("/wallets/nobody").await;
    read.expect_problem(404, "wallet-not-found").expect_members(nobody.clone());
    for verb in ["withdraw", "transfer", "freeze", "unfreeze", "close"] {
        let body = json!({ "amount": 1, "toWalletId": "usd" });
        let answer = ask(&service, "nobody", verb, body).await;
        answer.expect_problem(404, "wallet-not-found").expect_members(nobody.clone());
        assert!(answer.body.get("transferId").is_none(), "without a source nothing is on record");
    }
    assert_eq!(service.finish().await.wallets, 2);
}

#[tokio::test]
async fn without_auto_open_money_opens_no_wallet() {
    for partitions in [1, 4] {
        let service = Service::without_auto_open(partitions).await;
        let (alice, bob) = (id_in(0, partitions, "a"), id_in(partitions - 1, partitions, "b"));
        let (alice, bob) = (alice.as_str(), bob.as_str());
        let nobody = ask(&service, alice, "deposit", json!({ "amount": 5 })).await;
        nobody.expect_problem(404, "wallet-not-found");
        service.post("/wallets", json!({ "id": alice, "balance": 5 })).await.expect(201);
        let body = json!({ "toWalletId": bob, "amount": 2 });
        let refused = ask(&service, alice, "transfer", body).await;
        refused
            .expect_problem(404, "wallet-not-found")
            .expect_members(json!({ "exists": false, "walletId": bob }));
        expect_on_record(&service, &refused).await;
        service.get(&format!("/wallets/{bob}")).await.expect_problem(404, "wallet-not-found");
        let source = service.get(&format!("/wallets/{alice}")).await;
        assert_eq!(source.text_of("balance"), "5.00");
        service.finish().await;
    }
}

#[tokio::test]
async fn a_wallet_is_opened_once() {
    let service = service(1).await;
    let again = service.post("/wallets", json!({ "id": "usd", "currency": "USD" })).await;
    again.expect_problem(409, "wallet-exists");
    let keyed = json!({ "id": "usd", "currency": "USD", "requestId": "k" });
    for _ in 0..2 {
        service.post("/wallets", keyed.clone()).await.expect_problem(409, "wallet-exists");
    }
    service.finish().await;
}

#[tokio::test]
async fn insufficient_funds_come_with_the_numbers() {
    let service = service(1).await;
    for verb in ["withdraw", "transfer"] {
        let body = json!({ "amount": 7.25, "toWalletId": "bob" });
        let answer = ask(&service, "usd", verb, body).await;
        answer.expect_problem(422, "insufficient-funds").expect_members(json!({
            "available": "5.00", "requested": "7.25", "currency": "USD",
            "detail": "The wallet holds 5.00, which is less than 7.25: ask for less, or deposit first.",
        }));
    }
    service.finish().await;
}

#[tokio::test]
async fn a_frozen_wallet_gives_no_money() {
    let service = service(1).await;
    ask(&service, "usd", "freeze", json!({})).await.expect(200);
    for verb in ["withdraw", "transfer"] {
        let body = json!({ "amount": 1, "toWalletId": "bob" });
        ask(&service, "usd", verb, body).await.expect_problem(422, "wallet-frozen");
    }
    service.finish().await;
}

#[tokio::test]
async fn a_closed_wallet_takes_and_gives_nothing() {
    let service = service(1).await;
    let full = ask(&service, "usd", "close", json!({})).await;
    full.expect_problem(422, "wallet-not-empty").expect_members(json!({ "balance": "5.00" }));
    ask(&service, "usd", "withdraw", json!({ "amount": 5 })).await.expect(201);
    ask(&service, "usd", "close", json!({})).await.expect(200);
    for verb in ["deposit", "withdraw", "transfer", "freeze", "unfreeze"] {
        let body = json!({ "amount": 1, "toWalletId": "bob" });
        ask(&service, "usd", verb, body).await.expect_problem(422, "wallet-closed");
    }
    service.post("/wallets", json!({ "id": "usd" })).await.expect_problem(409, "wallet-exists");
    service.finish().await;
}

#[tokio::test]
async fn a_wallet_moves_its_own_currency_only() {
    for partitions in [1, 4] {
        let service = service(partitions).await;
        let mismatch = json!({ "expected": "USD", "given": "EUR" });
        for verb in ["deposit", "withdraw", "transfer"] {
            let body = json!({ "amount": 1, "currency": "EUR", "toWalletId": "eur" });
            let answer = ask(&service, "usd", verb, body).await;
            answer.expect_problem(422, "currency-mismatch").expect_members(mismatch.clone());
            if verb == "transfer" {
                expect_on_record(&service, &answer).await;
            }
        }
        for (from, to, expected, given) in
            [("usd", "eur", "EUR", "USD"), ("eur", "usd", "USD", "EUR")]
        {
            let body = json!({ "amount": 1, "toWalletId": to });
            let answer = ask(&service, from, "transfer", body).await;
            answer
                .expect_problem(422, "currency-mismatch")
                .expect_members(json!({ "expected": expected, "given": given }));
            expect_on_record(&service, &answer).await;
            let source = service.get(&format!("/wallets/{from}")).await;
            assert_eq!(source.text_of("balance"), "5.00", "the money came back");
        }
        service.finish().await;
    }
}

#[tokio::test]
async fn a_transfer_to_oneself_moves_nothing_and_is_on_record() {
    let service = service(1).await;
    let answer =
        ask(&service, "usd", "transfer", json!({ "amount": 1, "toWalletId": "usd" })).await;
    answer.expect_problem(422, "same-wallet");
    expect_on_record(&service, &answer).await;
    let wallet = service.get("/wallets/usd").await;
    wallet.expect_members(json!({ "balance": "5.00", "version": 2 }));
    service.finish().await;
}

#[tokio::test]
async fn a_wallet_holds_no_more_than_its_limit() {
    for partitions in [1, 4] {
        let settings = Settings::default();
        let service = Service::with(partitions, &settings).await;
        let (rich, other) = (id_in(0, partitions, "rich"), id_in(partitions - 1, partitions, "b"));
        let (rich, other) = (&rich, other.as_str());
        let most = "1000000000000000";
        let thousand = (0..1000).map(|_| service.ledger().submit(request(deposit(rich, most))));
        assert!(join_all(thousand).await.iter().all(Result::is_ok));
        let limit = json!({ "limit": "1000000000000000000" });
        let answer = ask(&service, rich.as_str(), "deposit", json!({ "amount": "0.01" })).await;
        answer.expect_problem(422, "balance-limit").expect_members(limit.clone());
        ask(&service, other, "deposit", json!({ "amount": 1 })).await.expect(201);
        let body = json!({ "amount": 1, "toWalletId": rich });
        let answer = ask(&service, other, "transfer", body).await;
        answer.expect_problem(422, "balance-limit").expect_members(limit);
        expect_on_record(&service, &answer).await;
        let wallet = service.get(&format!("/wallets/{rich}?consistency=strong")).await;
        assert_eq!(wallet.text_of("balance"), "1000000000000000000.00");
        service.finish().await;
    }
}

#[tokio::test]
async fn a_refusal_leaves_the_wallet_as_it_was() {
    let service = service(1).await;
    let before = service.get("/wallets/usd").await;
    for (verb, body) in [
        ("withdraw", json!({ "amount": 6 })),
        ("withdraw", json!({ "amount": 6, "requestId": "k" })),
        ("deposit", json!({ "amount": 1, "currency": "EUR" })),
        ("close", json!({})),
    ] {
        ask(&service, "usd", verb, body).await.expect_problem(
            422,
            match verb {
                "withdraw" => "insufficient-funds",
                "deposit" => "currency-mismatch",
                _ => "wallet-not-empty",
            },
        );
    }
    assert_eq!(service.get("/wallets/usd").await.text, before.text);
    assert_eq!(service.store().stream(id("usd").as_str()).await.len(), 2);
    service.finish().await;
}

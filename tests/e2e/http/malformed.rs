//! What is wrong before a ledger is asked: 400, 413, 415. Nothing of it is recorded.

use florin_tests::service::{Service, send};
use reqwest::Method;
use serde_json::json;

use super::PREFIXES;

/// Requests to `POST <prefix>/w/<verb>`.
const TO_A_WALLET: [(&str, &str, &str); 37] = [
    ("deposit", r#"{"amount":"#, "malformed-json"),
    ("deposit", r#"{"amount":1,}"#, "malformed-json"),
    ("deposit", r#"{"amount":01}"#, "malformed-json"),
    ("deposit", r#"{"amount":.5}"#, "malformed-json"),
    ("deposit", r#"{"amount":NaN}"#, "malformed-json"),
    ("deposit", r#"{"amount":1,"amount":2}"#, "malformed-json"),
    ("deposit", r#"["1"]"#, "malformed-json"),
    ("deposit", r#""1""#, "malformed-json"),
    ("deposit", "{}", "missing-field"),
    ("deposit", r#"{"amount":null}"#, "missing-field"),
    ("deposit", r#"{"amount":0}"#, "invalid-amount"),
    ("deposit", r#"{"amount":"0.00"}"#, "invalid-amount"),
    ("deposit", r#"{"amount":-0.0}"#, "invalid-amount"),
    ("deposit", r#"{"amount":-5}"#, "invalid-amount"),
    ("withdraw", r#"{"amount":"-0.01"}"#, "invalid-amount"),
    ("deposit", r#"{"amount":"twelve"}"#, "invalid-amount"),
    ("deposit", r#"{"amount":""}"#, "invalid-amount"),
    ("deposit", r#"{"amount":" 1"}"#, "invalid-amount"),
    ("deposit", r#"{"amount":"1,50"}"#, "invalid-amount"),
    ("deposit", r#"{"amount":"0x10"}"#, "invalid-amount"),
    ("deposit", r#"{"amount":true}"#, "invalid-amount"),
    ("deposit", r#"{"amount":[1]}"#, "invalid-amount"),
    ("withdraw", r#"{"amount":"1000000000000000.01"}"#, "invalid-amount"),
    ("deposit", r#"{"amount":1000000000000001}"#, "invalid-amount"),
    ("deposit", r#"{"amount":1e400}"#, "invalid-amount"),
    ("deposit", r#"{"amount":1e-400}"#, "invalid-amount"),
    ("deposit", r#"{"amount":1,"currency":"ABC"}"#, "invalid-currency"),
    ("withdraw", r#"{"amount":1,"currency":"usd"}"#, "invalid-currency"),
    ("withdraw", r#"{"amount":1,"currency":"XAU"}"#, "invalid-currency"),
    ("deposit", r#"{"amount":1,"requestId":""}"#, "invalid-request-id"),
    ("deposit", r#"{"amount":1,"requestId":7}"#, "invalid-request-id"),
    ("deposit", r#"{"amount":1,"clientTransactionId":"a\nb"}"#, "invalid-request-id"),
    ("deposit", r#"{"amount":1,"requestId":"a","clientTransactionId":"b"}"#, "conflicting-fields"),
    ("deposit", r#"{"amount":1,"metadata":"note"}"#, "invalid-metadata"),
    ("deposit", r#"{"amount":1,"metadata":{"a":"\u0000"}}"#, "invalid-metadata"),
    ("freeze", r#"{"reason":""}"#, "invalid-reason"),
    ("transfer", r#"{"amount":1}"#, "missing-field"),
];

#[tokio::test]
async fn a_malformed_request_is_refused_under_every_prefix_and_leaves_nothing() {
    let service = Service::start(1).await;
    for prefix in PREFIXES {
        for (verb, body, code) in TO_A_WALLET {
            let answer = service.post_text(&format!("{prefix}/w/{verb}"), body).await;
            assert_eq!(answer.body["code"], code, "{verb} {body}: {answer}");
            answer.expect_problem(400, code);
        }
        for (body, code) in [
            (r#"{"id":"a b"}"#, "invalid-wallet-id"),
            (r#"{"id":7}"#, "invalid-wallet-id"),
            (r#"{"currency":"ZZZ"}"#, "invalid-currency"),
            (r#"{"initialBalance":-1}"#, "invalid-amount"),
            (r#"{"balance":"lots"}"#, "invalid-amount"),
            (r#"{"balance":"0.001"}"#, "too-many-decimals"),
            (r#"{"initialBalance":1,"balance":1}"#, "conflicting-fields"),
            (r#"{"owner":""}"#, "invalid-owner"),
        ] {
            service.post_text(prefix, body).await.expect_problem(400, code);
        }
    }
    assert_eq!(service.finish().await.events, 0);
}

#[tokio::test]
async fn a_malformed_field_is_named() {
    let service = Service::start(1).await;
    let answer = service.post_text("/wallets/w/deposit", r#"{"amount":0}"#).await;
    assert_eq!(answer.expect_problem(400, "invalid-amount").text_of("field"), "amount");
    let answer = service.post_text("/wallets", r#"{"balance":-1}"#).await;
    assert_eq!(answer.expect_problem(400, "invalid-amount").text_of("field"), "balance");
    let answer = service.post_text("/transfers", r#"{"receiverWalletId":"a","amount":1}"#).await;
    assert_eq!(answer.expect_problem(400, "missing-field").text_of("field"), "fromWalletId");
    service.finish().await;
}

#[tokio::test]
async fn an_amount_has_no_more_decimals_than_its_currency() {
    let service = Service::start(1).await;
    for (id, currency) in [("usd", "USD"), ("jpy", "JPY"), ("bhd", "BHD")] {
        let body = json!({ "id": id, "currency": currency, "initialBalance": 10 });
        service.post("/wallets", body).await.expect(201);
    }
    for (id, amount, currency, allowed) in
        [("usd", "1.001", "USD", 2), ("jpy", "1.5", "JPY", 0), ("bhd", "0.0001", "BHD", 3)]
    {
        for verb in ["deposit", "withdraw", "transfer"] {
            let body = json!({ "amount": amount, "toWalletId": "other" });
            let answer = service.post(&format!("/wallets/{id}/{verb}"), body).await;
            answer
                .expect_problem(400, "too-many-decimals")
                .expect_members(json!({ "currency": currency, "allowedDecimals": allowed }));
            assert!(answer.body.get("transferId").is_none(), "a malformed one is not on record");
        }
    }
    for (id, amount, balance) in [("usd", "1.100", "11.10"), ("jpy", "1.0", "11")] {
        let body = json!({ "amount": amount });
        let answer = service.post(&format!("/wallets/{id}/deposit"), body).await;
        assert_eq!(answer.expect(201).text_of("balance"), balance, "zeros are no decimals");
    }
    service.finish().await;
}

#[tokio::test]
async fn a_wallet_id_is_short_and_plain_wherever_it_stands() {
    let service = Service::start(1).await;
    let long = ["x".repeat(65), "x".repeat(129), "x".repeat(4000)];
    for bad in
        ["a%20b", "a.b", "a%2Fb", "%00", "%FF", "\u{e9}"].into_iter().map(String::from).chain(long)
    {
        let money = json!({ "amount": 1, "toWalletId": "b" });
        for verb in ["deposit", "withdraw", "transfer", "freeze", "unfreeze", "close"] {
            let answer = service.post(&format!("/wallets/{bad}/{verb}"), money.clone()).await;
            answer.expect_problem(400, "invalid-wallet-id");
        }
        let answer = service.get(&format!("/wallets/{bad}")).await;
        answer.expect_problem(400, "invalid-wallet-id");
    }
    for bad in ["", "a b", "a.b", "a/b", &"x".repeat(129)] {
        service
            .post("/wallets", json!({ "id": bad }))
            .await
            .expect_problem(400, "invalid-wallet-id");
        let body = json!({ "fromWalletId": bad, "toWalletId": "b", "amount": 1 });
        service.post("/transfers", body).await.expect_problem(400, "invalid-wallet-id");
        let body = json!({ "toWalletId": bad, "amount": 1 });
        service.post("/wallets/a/transfer", body).await.expect_problem(400, "invalid-wallet-id");
    }
    let longest = "x".repeat(64);
    service.post("/wallets", json!({ "id": longest })).await.expect(201);
    assert_eq!(service.finish().await.events, 1);
}

#[tokio::test]
async fn a_key_is_short_and_printable_and_one_only() {
    let service = Service::start(1).await;
    let post = async |headers: &[(&str, &str)], body| {
        service.post_with("/wallets/w/deposit", headers, body).await
    };
    let ours = "transfer:0190f2d4-0000-7000-8000-000000000000:credit";
    for bad in ["", "\"\"", "\"open", "\"a\"b", &"x".repeat(256), ours] {
        let answer = post(&[("idempotency-key", bad)], json!({ "amount": 1 })).await;
        answer.expect_problem(400, "invalid-request-id");
    }
    let body = json!({ "amount": 1, "requestId": "x".repeat(256) });
    post(&[], body).await.expect_problem(400, "invalid-request-id");
    let both = [("idempotency-key", "a"), ("idempotency-key", "b")];
    post(&both, json!({ "amount": 1 })).await.expect_problem(400, "conflicting-fields");
    for name in ["requestId", "clientTransactionId"] {
        let body = json!({ "amount": 1, name: "b" });
        post(&both[..1], body).await.expect_problem(400, "conflicting-fields");
    }
    let longest = "x".repeat(255);
    post(&[("idempotency-key", &longest)], json!({ "amount": 1 })).await.expect(201);
    service.finish().await;
}

#[tokio::test]
async fn a_condition_is_one_strong_version() {
    let service = Service::start(1).await;
    for bad in ["W/\"1\"", "\"1\", \"2\"", "one", "-1", "\"1"] {
        let headers = [("if-match", bad)];
        let answer =
            service.post_with("/wallets/w/deposit", &headers, json!({ "amount": 1 })).await;
        answer.expect_problem(400, "invalid-if-match");
    }
    assert_eq!(service.finish().await.events, 0);
}

#[tokio::test]
async fn a_body_is_bounded_and_is_json() {
    let service = Service::start(1).await;
    let body = |size: usize| {
        let text = r#"{"amount":1}"#;
        format!("{text}{}", " ".repeat(size - text.len()))
    };
    let answer = service.post_text("/wallets/w/deposit", &body(64 * 1024 + 1)).await;
    answer.expect_problem(413, "body-too-large");
    service.post_text("/wallets/w/deposit", &body(64 * 1024)).await.expect(201);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let request = service.request(Method::POST, "/wallets/w/deposit");
        let answer = send(request.header("content-type", kind).body(body(20))).await;
        answer.expect_problem(415, "unsupported-media-type");
    }
    let untyped = service.request(Method::POST, "/wallets/w/deposit").body(body(20));
    send(untyped).await.expect_problem(415, "unsupported-media-type");
    let kind = "application/json; charset=utf-8";
    let request = service.request(Method::POST, "/wallets/w/deposit").header("content-type", kind);
    send(request.body(body(20))).await.expect(201);
    let metadata = json!({ "amount": 1, "metadata": { "a": "x".repeat(5000) } });
    let answer = service.post("/wallets/w/deposit", metadata).await;
    answer.expect_problem(400, "invalid-metadata");
    assert_eq!(service.finish().await.events, 3);
}

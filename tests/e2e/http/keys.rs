//! Idempotency as a client sees it.

use std::collections::HashSet;

use florin_tests::ask::id_in;
use florin_tests::service::{Answer, Service};
use florin_tests::store::eventually;
use futures::future::join_all;
use serde_json::{Value, json};

#[tokio::test]
async fn a_replay_is_the_same_answer_to_the_letter() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let (a, b) = (id_in(0, partitions, "a"), id_in(partitions - 1, partitions, "b"));
        let at = |verb: &str| format!("/wallets/{a}/{verb}");
        let calls: [(String, Value, u16); 9] = [
            ("/wallets".to_owned(), json!({ "id": a, "balance": 9, "requestId": "1" }), 201),
            (at("deposit"), json!({ "amount": 1, "requestId": "2" }), 201),
            (at("withdraw"), json!({ "amount": 2, "clientTransactionId": "3" }), 201),
            (at("transfer"), json!({ "toWalletId": b, "amount": 3, "requestId": "4" }), 201),
            (at("withdraw"), json!({ "amount": 99, "requestId": "5" }), 422),
            (at("transfer"), json!({ "toWalletId": b, "amount": 99, "requestId": "6" }), 422),
            (at("freeze"), json!({ "reason": "why not", "requestId": "7" }), 200),
            (at("unfreeze"), json!({ "requestId": "8" }), 200),
            (at("close"), json!({ "requestId": "9" }), 422),
        ];
        let mut first: Vec<Answer> = vec![];
        for (path, body, status) in &calls {
            let answer = service.post(path, body.clone()).await;
            assert!(!answer.expect(*status).is_replayed(), "{answer}");
            first.push(answer);
        }
        let events = service.store().events().await.len();
        for ((path, body, status), first) in calls.iter().zip(first).rev() {
            let again = service.post(path, body.clone()).await;
            assert!(again.expect(*status).is_replayed(), "{path}: {again}");
            // Each request has a trace of its own; all else is as it was.
            let (mut then, mut now) = (first.body, again.body);
            let traces = (then["traceId"].take(), now["traceId"].take());
            assert!(traces.0.is_null() || traces.0 != traces.1);
            assert_eq!(now.to_string(), then.to_string());
            assert_eq!(again.headers.get("etag"), first.headers.get("etag"));
            assert_eq!(again.headers.get("location"), first.headers.get("location"));
        }
        assert_eq!(service.store().events().await.len(), events, "a replay records nothing");
        service.finish().await;
    }
}

#[tokio::test]
async fn a_key_comes_in_the_header_quoted_or_bare_or_in_the_body() {
    let service = Service::start(1).await;
    let money = || json!({ "amount": 1 });
    let path = "/wallets/a/deposit";
    let with_header =
        async |key: &str, body| service.post_with(path, &[("idempotency-key", key)], body).await;
    let first = with_header("k-1", money()).await;
    assert_eq!(first.expect(201).text_of("requestId"), "k-1");
    for again in [
        with_header("\"k-1\"", money()).await,
        service.post(path, json!({ "amount": "1.00", "requestId": "k-1" })).await,
        service.post(path, json!({ "amount": 1.0, "clientTransactionId": "k-1" })).await,
        with_header("k-1", json!({ "amount": 1, "requestId": "k-1" })).await,
        service
            .post(path, json!({ "amount": 1, "requestId": "k-1", "clientTransactionId": "k-1" }))
            .await,
    ] {
        assert!(again.is_replayed(), "{again}");
        assert_eq!(again.expect(201).text, first.text);
    }
    assert_eq!(service.get("/wallets/a").await.text_of("balance"), "1.00");
    service.finish().await;
}

#[tokio::test]
async fn a_key_of_another_request_is_refused() {
    let service = Service::start(4).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5, "requestId": "k" })).await.expect(201);
    let base = json!({ "amount": 5, "requestId": "k", "toWalletId": "b" });
    let with = |name: &str, value: Value| {
        let mut body = base.clone();
        body[name] = value;
        body
    };
    for (verb, body) in [
        ("deposit", with("amount", json!(6))),
        ("deposit", with("currency", json!("USD"))),
        ("deposit", with("metadata", json!({ "a": 1 }))),
        ("withdraw", base.clone()),
        ("transfer", base.clone()),
        ("freeze", base.clone()),
    ] {
        let answer = service.post(&format!("/wallets/a/{verb}"), body).await;
        answer.expect_problem(422, "idempotency-mismatch");
    }
    assert_eq!(service.get("/wallets/a").await.text_of("balance"), "5.00");
    let bob = service.post("/wallets/b/deposit", json!({ "amount": 5, "requestId": "k" })).await;
    assert!(!bob.expect(201).is_replayed(), "a key belongs to its wallet");
    service.finish().await;
}

#[tokio::test]
async fn a_wallet_without_an_id_is_opened_once_per_key() {
    let service = Service::start(4).await;
    let body = || json!({ "balance": 5, "requestId": "k" });
    let first = service.post("/wallets", body()).await;
    first.expect(201);
    let together = join_all((0..6).map(|_| service.post("/wallets", body()))).await;
    for again in together {
        assert!(again.expect(201).is_replayed());
        assert_eq!(
            (again.header("location"), &again.text),
            (first.header("location"), &first.text)
        );
    }
    assert_eq!(service.finish().await.wallets, 1);
}

#[tokio::test]
async fn a_malformed_request_and_a_conflict_use_no_key_up() {
    let service = Service::start(1).await;
    let headers = [("if-match", "\"7\"")];
    let body = || json!({ "amount": 1, "requestId": "k" });
    let stale = service.post_with("/wallets/a/deposit", &headers, body()).await;
    stale.expect_problem(412, "version-mismatch");
    let fraction = json!({ "amount": "1.001", "requestId": "k" });
    let fraction = service.post("/wallets/a/deposit", fraction).await;
    fraction.expect_problem(400, "too-many-decimals");
    assert!(!service.post("/wallets/a/deposit", body()).await.expect(201).is_replayed());
    // The version was right when the key was first used; now the key answers.
    let again = service.post_with("/wallets/a/deposit", &headers, body()).await;
    assert!(again.expect(201).is_replayed());
    service.finish().await;
}

#[tokio::test]
async fn six_at_once_under_one_key_move_money_once() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let (a, b) = (id_in(0, partitions, "a"), id_in(partitions - 1, partitions, "b"));
        service.post("/wallets", json!({ "id": a, "balance": 100 })).await.expect(201);
        for round in 0..20 {
            let body = json!({ "toWalletId": b, "amount": 1, "requestId": format!("k{round}") });
            let path = format!("/wallets/{a}/transfer");
            let send = || service.post(&path, body.clone());
            let together = join_all((0..6).map(|_| send())).await;
            let mut transfers = HashSet::new();
            for answer in &together {
                match answer.status {
                    201 => drop(transfers.insert(answer.text_of("transferId").to_owned())),
                    _ => drop(answer.expect_problem(409, "request-in-progress")),
                }
            }
            assert!(partitions > 1 || together.iter().all(|answer| answer.status == 201));
            assert_eq!(together.iter().filter(|a| a.status == 201 && !a.is_replayed()).count(), 1);
            let last = eventually("the key is answered", async || {
                let answer = send().await;
                if answer.status == 201 { Ok(answer) } else { Err(answer.status) }
            })
            .await;
            assert!(last.is_replayed());
            transfers.insert(last.text_of("transferId").to_owned());
            assert_eq!(transfers.len(), 1, "one key, one transfer");
        }
        let target = service.get(&format!("/wallets/{b}")).await;
        assert_eq!(target.text_of("balance"), "20.00");
        service.finish().await;
    }
}

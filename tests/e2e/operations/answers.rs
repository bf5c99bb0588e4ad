//! What a client is told that does not wait: at once, and in the end.

use florin_tests::ask::id_in;
use florin_tests::service::{Answer, Service, send};
use florin_tests::store::eventually;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ASYNC, Queueing, expect_completed, expect_refused};

/// Without what is another one each time.
fn timeless(body: &Value) -> Value {
    let mut body = body.clone();
    for name in ["transactionId", "transferId", "recordedAt", "createdAt", "updatedAt", "traceId"] {
        if let Some(member) = body.get_mut(name) {
            member.take();
        }
    }
    if body.get("code").is_some() {
        // A problem inside another answer has that one's trace.
        body.as_object_mut().unwrap().remove("traceId");
    }
    body
}

/// The same commands to two ledgers: of one, the client waits for each outcome.
#[tokio::test]
async fn an_operation_ends_as_the_route_would_have_answered() {
    for partitions in [1, 4] {
        let (waiting, queue) =
            (Service::start(partitions).await, Queueing::start(partitions).await);
        let (a, b) = (id_in(0, partitions, "a"), id_in(partitions - 1, partitions, "b"));
        let at = |verb: &str| format!("/wallets/{a}/{verb}");
        let money = |amount: &str| json!({ "amount": amount, "metadata": { "n": 1 } });
        for (number, (path, mut body)) in [
            ("/wallets".to_owned(), json!({ "id": a, "balance": 9, "owner": "alice" })),
            ("/wallets".to_owned(), json!({ "id": a })),
            ("/wallets".to_owned(), json!({ "id": b, "currency": "USD" })),
            (at("deposit"), money("1.50")),
            (at("deposit"), money("1.505")),
            (at("withdraw"), money("2")),
            (at("withdraw"), json!({ "amount": 1, "currency": "EUR" })),
            (at("transfer"), json!({ "toWalletId": b, "amount": "3.25" })),
            (at("transfer"), json!({ "toWalletId": a, "amount": "3.25" })),
            ("/transfers".to_owned(), json!({ "fromWalletId": a, "toWalletId": b, "amount": 1 })),
            (at("withdraw"), money("1000")),
            (at("transfer"), json!({ "toWalletId": b, "amount": 1000 })),
            ("/wallets/nobody/withdraw".to_owned(), money("1")),
            (at("freeze"), json!({ "reason": "why not" })),
            (at("withdraw"), money("1")),
            (at("unfreeze"), json!({})),
            (at("close"), json!({})),
            (at("withdraw"), money("4.25")),
            (at("close"), json!({})),
        ]
        .into_iter()
        .enumerate()
        {
            // Every other one under a key.
            if number % 2 == 0 {
                body["requestId"] = format!("k-{number}").into();
            }
            let told = waiting.post(&path, body.clone()).await;
            let accepted = queue.post(&path, body.clone()).await;
            expect_accepted(&accepted, body.get("requestId"));
            let ended = queue.ended(&accepted).await;
            let result = &ended.body["result"];
            assert_eq!(result["status"], told.status, "{path} {body}: {told} and {ended}");
            assert_eq!(result["replayed"], false, "{ended}");
            let came = result.get("body").or(result.get("problem")).unwrap();
            assert_eq!(timeless(came), timeless(&told.body), "{path} {body}");
            let state = if told.status < 300 { "completed" } else { "refused" };
            assert_eq!(ended.text_of("state"), state, "{ended}");
            if told.status < 300 {
                assert_eq!(ended.header("florin-position"), told.header("florin-position"));
            }
        }
        waiting.finish().await;
        queue.finish().await;
    }
}

#[track_caller]
fn expect_accepted(accepted: &Answer, key: Option<&Value>) {
    accepted.expect(202);
    assert_eq!(accepted.header("preference-applied"), Some("respond-async"));
    assert_eq!(accepted.header("retry-after"), Some("1"));
    let location = format!("/operations/{}", accepted.text_of("id"));
    assert_eq!(accepted.header("location"), Some(location.as_str()));
    accepted.expect_members(json!({ "state": "queued", "attempts": 0 }));
    assert_eq!(accepted.body["request"].get("requestId"), key, "no key is made up: {accepted}");
    assert!(!accepted.is_replayed(), "{accepted}");
}

#[tokio::test]
async fn an_operation_tells_what_was_asked_and_is_found_under_the_version_that_was_called() {
    let queue = Queueing::start(1).await;
    let body = json!({ "toWalletId": "b", "amount": 1, "requestId": "k" });
    queue.service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    let accepted = queue.post("/v1/wallet/a/transfer", body).await;
    let location = format!("/v1/operations/{}", accepted.text_of("id"));
    assert_eq!(accepted.header("location"), Some(location.as_str()));
    let asked = json!({ "type": "transfer", "walletId": "a", "toWalletId": "b", "requestId": "k" });
    accepted.expect_members(json!({ "request": asked }));
    let ended = queue.ended(&accepted).await;
    ended.expect_members(json!({ "request": asked, "attempts": 1, "id": accepted.body["id"] }));
    // Whoever gives its position back reads what it did.
    let position = ended.header("florin-position").unwrap();
    let read = queue.service.request(Method::GET, "/wallets/b");
    let read = send(read.header("florin-position", position)).await;
    assert_eq!(read.expect(200).text_of("balance"), "1.00");
    queue.finish().await;
}

#[tokio::test]
async fn what_is_malformed_is_refused_at_once() {
    let queue = Queueing::start(1).await;
    for (path, body, code) in [
        ("/wallets/a/deposit", json!({}), "missing-field"),
        ("/wallets/a/deposit", json!({ "amount": "x" }), "invalid-amount"),
        ("/wallets/a/withdraw", json!({ "amount": 1, "currency": "XXY" }), "invalid-currency"),
        ("/wallets/a/transfer", json!({ "amount": 1 }), "missing-field"),
        ("/wallets/a%20b/deposit", json!({ "amount": 1 }), "invalid-wallet-id"),
        ("/wallets", json!({ "owner": "" }), "invalid-owner"),
        (
            "/wallets/a/deposit",
            json!({ "amount": 1, "requestId": format!("operation:{}", Uuid::nil()) }),
            "invalid-request-id",
        ),
    ] {
        queue.post(path, body).await.expect_problem(400, code);
    }
    for (path, status, code) in [
        ("/operations/7".to_owned(), 400, "invalid-operation-id"),
        (format!("/operations/{}", Uuid::now_v7()), 404, "operation-not-found"),
    ] {
        queue.service.get(&path).await.expect_problem(status, code);
    }
    queue.finish().await;
}

#[tokio::test]
async fn who_does_not_ask_for_it_is_answered_as_ever() {
    let queue = Queueing::start(1).await;
    for prefer in ["", "wait=10", "respond-async=no", "foo=\"respond-async, \"", "respond async"] {
        let headers = [("prefer", prefer)];
        let body = json!({ "amount": 1 });
        let answer = queue.service.post_with("/wallets/a/deposit", &headers, body).await;
        answer.expect(201);
        assert_eq!(answer.header("preference-applied"), None, "{prefer:?}");
    }
    let headers = [("prefer", "return=minimal"), ("prefer", "wait=1, Respond-Async; x=\"a,b\"")];
    let body = json!({ "amount": 1 });
    queue.service.post_with("/wallets/a/deposit", &headers, body).await.expect(202);
    // Bulks are always waited for.
    let command = json!({ "type": "deposit", "walletId": "a", "amount": 1 });
    let bulk = json!({ "commands": [command] });
    queue.post("/bulk", bulk).await.expect(200);
    queue.finish().await;
}

#[tokio::test]
async fn without_a_queue_the_preference_is_not_applied() {
    let service = Service::start(1).await;
    let body = json!({ "amount": 1 });
    let answer = service.post_with("/wallets/a/deposit", &[ASYNC], body).await;
    answer.expect(201);
    assert_eq!(answer.header("preference-applied"), None);
    service.finish().await;
}

#[tokio::test]
async fn a_condition_is_checked_when_the_operation_is_carried_out() {
    let queue = Queueing::start(1).await;
    let deposit = async |version: &str| {
        let headers = [ASYNC, ("if-match", version)];
        let body = json!({ "amount": 1 });
        let accepted = queue.service.post_with("/wallets/a/deposit", &headers, body).await;
        queue.ended(&accepted).await
    };
    let fresh = queue.carried_out("/wallets", json!({ "id": "a" })).await;
    assert_eq!(expect_completed(&fresh, 201)["version"], 1);
    let first = deposit("\"1\"").await;
    assert_eq!(expect_completed(&first, 201)["version"], 2);
    let stale = deposit("\"1\"").await;
    assert_eq!(expect_refused(&stale, 412, "version-mismatch")["actualVersion"], 2);
    assert_eq!(queue.balance("a").await, "1.00");
    queue.finish().await;
}

#[tokio::test]
async fn a_wallet_whose_id_is_made_up_is_opened_once() {
    let queue = Queueing::start(4).await;
    let accepted = queue.post("/wallets", json!({ "balance": 5 })).await;
    let ended = queue.ended(&accepted).await;
    let opened = expect_completed(&ended, 201)["id"].as_str().unwrap().to_owned();
    assert_eq!(accepted.body["request"]["walletId"], opened.as_str());
    assert_eq!(queue.balance(&opened).await, "5.00");
    queue.finish().await;
}

#[tokio::test]
async fn the_events_of_an_operation_name_the_call_that_it_came_by() {
    let queueing = Queueing::start(1).await;
    let body = json!({ "amount": 5 });
    let accepted = queueing.post("/wallets/alice/deposit", body.clone()).await;
    queueing.ended(&accepted).await;
    let events = queueing.service.store().events().await;
    let ids = events.iter().map(|event| {
        let metadata: Value = serde_json::from_str(&event.metadata).unwrap();
        metadata["auditId"].as_str().unwrap().to_owned()
    });
    let ids: Vec<String> = ids.collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");
    let call = queueing.service.get(&format!("/audit/{}", ids[0])).await;
    call.expect(200).expect_members(json!({ "status": 202, "body": body.to_string() }));
    // Another body under its key: nothing is taken in, and the call is on record with its answer.
    let keyed = |amount: u32| json!({ "amount": amount, "requestId": "k" });
    queueing.post("/wallets/alice/deposit", keyed(1)).await.expect(202);
    let refused = queueing.post("/wallets/alice/deposit", keyed(2)).await;
    refused.expect_problem(422, "idempotency-mismatch");
    eventually("the call is on record as it was answered", async || {
        let page = queueing.service.get("/audit?limit=1").await;
        let call = &page.body["data"][0];
        let is_it = call["traceId"] == *refused.text_of("traceId") && call["status"] == 422;
        if is_it { Ok(()) } else { Err(page) }
    })
    .await;
    queueing.finish().await;
}

//! Operations of somebody else, and on wallets of somebody else.

use florin_adapters::auth::{Auth, Settings, Verifier};
use florin_adapters::operations::Retries;
use florin_tests::issuer::{SECRET, token};
use florin_tests::service::{Answer, send};
use florin_tests::store::eventually;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ASYNC, Queueing, expect_completed, expect_refused};

const OWN: &str = "wallet:read wallet:write";
const ANY: &str = "ledger:read ledger:write";

async fn start() -> Queueing {
    let secret = Some(SECRET.parse().unwrap());
    let verifier = Verifier::open(Settings { secret, ..Settings::default() }).await.unwrap();
    Queueing::with(1, Auth::Jwt(verifier.into()), Retries::USUAL).await
}

impl Queueing {
    async fn post_as(&self, token: &str, path: &str, body: Value) -> Answer {
        let request = self.service.request(Method::POST, path).bearer_auth(token);
        send(request.header(ASYNC.0, ASYNC.1).json(&body)).await
    }

    async fn read_as(&self, token: &str, accepted: &Answer) -> Answer {
        let location = accepted.expect(202).header("location").unwrap();
        self.service.call_as(token, Method::GET, location, Value::Null).await
    }

    async fn ended_as(&self, token: &str, accepted: &Answer) -> Answer {
        eventually("the operation ends", async || {
            let read = self.read_as(token, accepted).await;
            match read.expect(200).body.get("result") {
                Some(_) => Ok(read),
                None => Err(read),
            }
        })
        .await
    }
}

#[tokio::test]
async fn an_operation_is_there_for_whoever_asked_and_for_nobody_else() {
    let queue = start().await;
    let (alice, mallory) = (token("alice", OWN), token("mallory", OWN));
    let (clerk, reader) = (token("clerk", ANY), token("reader", "ledger:read"));
    let open = json!({ "id": "a", "balance": 9 });
    let accepted = queue.post_as(&alice, "/wallets", open).await;
    expect_completed(&queue.ended_as(&alice, &accepted).await, 201);
    let stranger = queue.read_as(&mallory, &accepted).await;
    stranger.expect_problem(404, "operation-not-found");
    let nobodys = format!("/operations/{}", uuid::Uuid::now_v7());
    let nobodys = queue.service.call_as(&mallory, Method::GET, &nobodys, Value::Null).await;
    assert_eq!(stranger.body["detail"], nobodys.body["detail"]);
    expect_completed(&queue.ended_as(&reader, &accepted).await, 201);

    // What is done to a wallet in nobody's name, its owner may look at.
    let frozen = queue.post_as(&clerk, "/wallets/a/freeze", json!({})).await;
    expect_completed(&queue.ended_as(&clerk, &frozen).await, 200);
    queue.read_as(&alice, &frozen).await.expect(200);
    queue.read_as(&mallory, &frozen).await.expect_problem(404, "operation-not-found");
    queue.finish().await;
}

#[tokio::test]
async fn an_operation_on_a_strangers_wallet_is_refused_as_if_there_were_none() {
    let queue = start().await;
    let (alice, mallory) = (token("alice", OWN), token("mallory", OWN));
    let open = json!({ "id": "a", "balance": 9, "requestId": "k" });
    let accepted = queue.post_as(&alice, "/wallets", open).await;
    expect_completed(&queue.ended_as(&alice, &accepted).await, 201);
    // The key of somebody else's is free: it tells nothing of them.
    let body = json!({ "amount": 1, "requestId": "k" });
    for wallet in ["a", "nobody"] {
        let path = format!("/wallets/{wallet}/withdraw");
        let told = queue.service.call_as(&mallory, Method::POST, &path, body.clone()).await;
        told.expect_problem(404, "wallet-not-found");
        let accepted = queue.post_as(&mallory, &path, body.clone()).await;
        assert!(!accepted.expect(202).is_replayed());
        let ended = queue.ended_as(&mallory, &accepted).await;
        let problem = expect_refused(&ended, 404, "wallet-not-found");
        assert_eq!(problem["walletId"], wallet, "{ended}");
    }
    let taken = queue.post_as(&mallory, "/wallets", json!({ "id": "a" })).await;
    expect_refused(&queue.ended_as(&mallory, &taken).await, 409, "wallet-exists");
    // Who sends is not told what the other one holds.
    let sent = json!({ "toWalletId": "m", "amount": 1 });
    let open = queue.post_as(&mallory, "/wallets", json!({ "id": "m" })).await;
    expect_completed(&queue.ended_as(&mallory, &open).await, 201);
    let sent = queue.post_as(&alice, "/wallets/a/transfer", sent).await;
    let ended = queue.ended_as(&alice, &sent).await;
    assert_eq!(expect_completed(&ended, 201).get("toBalance"), None, "{ended}");
    queue.finish().await;
}

#[tokio::test]
async fn freezing_needs_the_same_scope_as_ever() {
    let queue = start().await;
    let alice = token("alice", OWN);
    let answer = queue.post_as(&alice, "/wallets/a/freeze", json!({})).await;
    answer.expect_problem(403, "insufficient-scope");
    queue.finish().await;
}

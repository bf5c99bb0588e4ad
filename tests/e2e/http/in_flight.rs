//! Money in flight between two partitions, held there by a lock on the target's; and a queue that
//! is full, behind a lock on the wallet's own.

use std::time::Duration;

use florin_application::SubmitError;
use florin_application::journal::PartitionJournal;
use florin_tests::ask::{deposit, id, id_in, request};
use florin_tests::service::Service;
use florin_tests::store::eventually;
use serde_json::json;
use tokio::task::JoinSet;

/// How long a request that must wait is watched.
const A_WHILE: Duration = Duration::from_millis(100);

/// Alice, whose money leaves from partition 0, and bob in partition 3, which somebody holds.
struct Held {
    service: Service,
    alice: String,
    bob: String,
    lock: Box<dyn PartitionJournal>,
}

async fn held() -> Held {
    let service = Service::start(4).await;
    let (alice, bob) = (id_in(0, 4, "alice").to_string(), id_in(3, 4, "bob").to_string());
    service.post("/wallets", json!({ "id": alice, "balance": 5 })).await.expect(201);
    let mut lock = service.store().partition(3);
    lock.lock(0).await.unwrap();
    Held { service, alice, bob, lock }
}

impl Held {
    /// Waits until the money has left alice.
    async fn departed(&self) {
        eventually("the money leaves", async || {
            let wallet = self.service.get(&format!("/wallets/{}", self.alice)).await;
            if wallet.text_of("balance") == "0.00" { Ok(()) } else { Err(wallet) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_transfer_under_way_is_visible_and_its_key_and_its_wallet_wait_for_it() {
    let mut held = held().await;
    let path = format!("/wallets/{}/transfer", held.alice);
    let body = json!({ "toWalletId": held.bob, "amount": 5, "requestId": "k" });
    let meanwhile = async {
        held.departed().await;
        let again = held.service.post(&path, body.clone()).await;
        again.expect_problem(409, "request-in-progress");
        let other = json!({ "toWalletId": held.bob, "amount": 4, "requestId": "k" });
        let other = held.service.post(&path, other).await;
        other.expect_problem(422, "idempotency-mismatch");
        let close = format!("/wallets/{}/close", held.alice);
        let closed = held.service.post(&close, json!({})).await;
        closed.expect_problem(422, "transfer-in-flight");
    };
    let (first, ()) = tokio::join!(held.service.post(&path, body.clone()), meanwhile);

    // The client has waited long enough, and is told where to look.
    first.expect(202).expect_members(json!({
        "status": "debited", "fromWalletId": held.alice, "toWalletId": held.bob,
        "amount": "5.00", "fromBalance": "0.00", "version": 3, "requestId": "k",
    }));
    assert!(first.body.get("toBalance").is_none(), "it has not arrived: {first}");
    let location = first.header("location").unwrap();
    assert_eq!(location, format!("/transfers/{}", first.text_of("transferId")));
    held.lock.catch_up(0).await.expect("the lock is held still");
    let read = held.service.get(location).await;
    read.expect(200).expect_members(json!({ "status": "debited", "version": 2 }));
    assert!(read.body.get("reason").is_none(), "{read}");

    held.lock.release().await;
    let read = eventually("the transfer completes", async || {
        let read = held.service.get(location).await;
        if read.text_of("status") == "completed" { Ok(read) } else { Err(read) }
    })
    .await;
    read.expect_members(json!({ "version": 3, "toBalance": "5.00" }));
    let again = held.service.post(&path, body).await;
    assert!(again.expect(201).is_replayed(), "{again}");
    again.expect_members(json!({
        "status": "completed", "transferId": first.body["transferId"], "toBalance": "5.00",
    }));
    let close = format!("/wallets/{}/close", held.alice);
    held.service.post(&close, json!({})).await.expect(200);
    assert_eq!(held.service.finish().await.unfinished, 0);
}

#[tokio::test]
async fn a_transfer_completes_while_its_client_waits_for_a_slow_target() {
    let mut held = held().await;
    let path = format!("/v1/wallets/{}/transfer", held.alice);
    let body = json!({ "toWalletId": held.bob, "amount": 5 });
    let sent = {
        let departed = held.departed();
        let sending = held.service.post(&path, body);
        let mut sending = std::pin::pin!(sending);
        tokio::select! {
            early = &mut sending => panic!("completed with its target held: {early}"),
            () = departed => {}
        }
        held.lock.release().await;
        sending.await
    };
    sent.expect(201).expect_members(json!({ "status": "completed", "toBalance": "5.00" }));
    assert_eq!(held.service.finish().await.unfinished, 0);
}

#[tokio::test]
async fn a_full_queue_is_said_to_be_busy_and_loses_nothing() {
    let service = Service::start(1).await;
    let alice = id("alice");
    service.post("/wallets/alice/deposit", json!({ "amount": 1 })).await.expect(201);
    let mut lock = service.store().partition(0);
    lock.lock(0).await.unwrap();
    let mut waiting = JoinSet::new();
    let full = eventually("the queue is full", async || {
        // Some of those that wait (8,192). The writer takes 1,024 of the first ones with it.
        for _ in 0..5000 {
            let (ledger, deposit) = (service.ledger().clone(), request(deposit(&alice, "1")));
            waiting.spawn(async move { ledger.submit(deposit).await });
        }
        // What finds room waits as the others do, and counts below.
        let answer = service.post("/wallets/alice/deposit", json!({ "amount": 1 }));
        tokio::time::timeout(A_WHILE, answer).await
    })
    .await;
    full.expect_problem(503, "busy");
    let strong = service.get("/wallets/alice?consistency=strong").await;
    strong.expect_problem(503, "busy");
    service.get("/livez").await.expect(200);
    lock.release().await;

    let mut accepted = 0_u64;
    while let Some(answer) = waiting.join_next().await {
        match answer.unwrap() {
            Ok(_) => accepted += 1,
            Err(error) => assert_eq!(error, SubmitError::Busy),
        }
    }
    assert!(accepted >= 8192, "{accepted} were accepted");
    let wallet = service.get("/wallets/alice?consistency=strong").await;
    let balance: u64 = wallet.text_of("balance").strip_suffix(".00").unwrap().parse().unwrap();
    assert!(balance > accepted, "{balance} after {accepted} and the first one");
    service.post("/wallets/alice/deposit", json!({ "amount": 1 })).await.expect(201);
    service.finish().await;
}

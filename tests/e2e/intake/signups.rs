//! The wallet of a user is opened when they sign up, and once.

use florin_adapters::intake::Settings;
use florin_tests::ask::{id, open, request};
use serde_json::json;

use super::{TakingIn, impatient};

#[tokio::test]
async fn a_signup_opens_the_users_wallet_once_however_often_it_comes() {
    let taking = TakingIn::start(2).await;
    for _ in 0..3 {
        taking.users(&["alice", "bob"]).await;
    }
    for user in ["alice", "bob"] {
        let read = taking.service.get(&format!("/wallets/{user}?consistency=strong")).await;
        let expected = json!({ "owner": user, "balance": "0.00", "currency": "USD", "version": 1 });
        read.expect(200).expect_members(expected);
    }
    assert_eq!(taking.letters().await, Vec::<serde_json::Value>::new());
    taking.finish().await;
}

#[tokio::test]
async fn a_wallet_opens_with_what_is_configured() {
    let initial = Some("12.5".parse().unwrap());
    let currency = "EUR".parse().unwrap();
    let taking = TakingIn::with(1, Settings { initial, currency, ..impatient() }).await;
    taking.users(&["alice"]).await;
    taking.users(&["alice"]).await;
    let read = taking.service.get("/wallets/alice?consistency=strong").await;
    read.expect(200).expect_members(json!({ "balance": "12.50", "currency": "EUR", "version": 2 }));
    taking.finish().await;
}

/// The key of a signup says what the wallet opened with: another configuration is no other signup.
#[tokio::test]
async fn a_signup_that_comes_again_under_other_settings_does_nothing() {
    let taking = TakingIn::start(1).await;
    taking.users(&["alice"]).await;
    let initial = Some("5".parse().unwrap());
    let settings = Settings { initial, ..impatient() };
    let TakingIn { service, nats, upstream } = taking;
    let store = service.stop().await;
    let service = florin_tests::service::Service::taking_in(store, &nats, settings).await;
    let taking = TakingIn { service, nats, upstream };
    taking.users(&["alice", "bob"]).await;
    assert_eq!(taking.balance("alice").await, "0.00");
    assert_eq!(taking.balance("bob").await, "5.00");
    assert_eq!(taking.letters().await, Vec::<serde_json::Value>::new());
    taking.finish().await;
}

#[tokio::test]
async fn a_wallet_that_is_there_counts_as_the_users_unless_it_is_somebody_elses() {
    let taking = TakingIn::start(1).await;
    let ledger = taking.service.ledger();
    ledger.submit(request(open(&id("nobodys"), "USD"))).await.unwrap();
    let body = json!({ "id": "taken", "owner": "mallory" });
    taking.service.post("/wallets", body).await.expect(201);
    taking.users(&["nobodys"]).await;
    assert_eq!(taking.letters().await, Vec::<serde_json::Value>::new());
    taking.users(&["taken"]).await;
    let letter = taking.letter("open").await;
    let expected = json!("the wallet of this id is somebody else's");
    assert_eq!((&letter["error"], &letter["walletId"]), (&expected, &json!("taken")));
    // Nor does money of that user go there.
    taking.users(&["alice"]).await;
    taking.upstream.top_up("t-1", "taken", 5).await;
    taking.upstream.is_dealt_with().await;
    let letters = taking.letters().await;
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert_eq!(letters[1]["error"], "the wallet taken is not that of the user taken");
    assert_eq!(taking.balance("taken").await, "0.00");
    taking.finish().await;
}

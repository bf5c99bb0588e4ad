//! Money moves once for a transaction, and back again if it fails; whichever comes first, and however
//! often.

use florin_adapters::intake::Settings;
use florin_domain::event_metadata::request_id;
use florin_tests::ask::{freeze, id, request};
use florin_tests::store::eventually;
use florin_tests::upstream::top_up;
use serde_json::{Value, json};

use super::{REASON, TakingIn, completed, failed};

impl TakingIn {
    /// The keys of the events of a wallet, oldest first.
    async fn keys(&self, wallet: &str) -> Vec<String> {
        let events = self.service.store().events().await;
        let of = events.iter().filter(|event| &*event.aggregate_id == wallet);
        of.map(|event| request_id(&event.metadata).unwrap_or_default()).collect()
    }
}

#[tokio::test]
async fn money_moves_once_however_often_a_message_comes() {
    for partitions in [1, 4] {
        let taking = TakingIn::start(partitions).await;
        taking.users(&["alice", "bob"]).await;
        for _ in 0..3 {
            taking.upstream.top_up("t-1", "alice", 10).await;
        }
        assert_eq!(taking.upstream.hears("t-1", 1).await, [completed()]);
        for _ in 0..3 {
            taking.upstream.transfer("t-2", "alice", "bob", 4).await;
        }
        assert_eq!(taking.upstream.hears("t-2", 1).await, [completed()]);
        taking.upstream.is_dealt_with().await;
        assert_eq!(taking.balance("alice").await, "6.00");
        assert_eq!(taking.balance("bob").await, "4.00");
        assert_eq!(taking.upstream.told().await.len(), 2);
        let expected = ["intake:alice:signup", "intake:t-1:completed", "intake:t-2:completed"];
        assert_eq!(taking.keys("alice").await, expected);
        taking.finish().await;
    }
}

#[tokio::test]
async fn a_failure_takes_back_what_was_done_by_compensating_events() {
    let taking = TakingIn::start(4).await;
    taking.users(&["alice", "bob"]).await;
    taking.upstream.top_up("t-1", "alice", 10).await;
    taking.upstream.hears("t-1", 1).await;
    taking.upstream.transfer("t-2", "alice", "bob", 4).await;
    taking.upstream.hears("t-2", 1).await;
    for _ in 0..2 {
        taking.upstream.fail("t-2", "Transfer").await;
    }
    assert_eq!(taking.upstream.hears("t-2", 2).await, [completed(), failed(REASON)]);
    assert_eq!(taking.balance("alice").await, "10.00");
    taking.upstream.fail("t-1", "TopUp").await;
    assert_eq!(taking.upstream.hears("t-1", 2).await, [completed(), failed(REASON)]);
    // Nothing that comes later changes that.
    taking.upstream.transfer("t-2", "alice", "bob", 4).await;
    taking.upstream.top_up("t-1", "alice", 10).await;
    taking.upstream.fail("t-1", "TopUp").await;
    taking.upstream.is_dealt_with().await;
    assert_eq!((taking.balance("alice").await, taking.balance("bob").await), zero());
    assert_eq!(taking.upstream.told().await.len(), 4);
    let expected = ["intake:bob:signup", "intake:t-2:completed", "intake:t-2:reversal-1"];
    assert_eq!(taking.keys("bob").await, expected);
    let history = taking.service.get("/wallets/alice/history?limit=1").await;
    let metadata = &history.expect(200).body["data"][0]["metadata"];
    assert_eq!(metadata["transactionId"], "t-1", "{history}");
    assert!(metadata["reverses"].is_string(), "{history}");
    taking.finish().await;
}

/// The key of a reversal is kept with what was asked under it, so each attempt has to ask for the same.
#[tokio::test]
async fn a_reversal_that_comes_to_nothing_at_first_is_the_same_when_it_is_tried_again() {
    let taking = TakingIn::with(1, Settings::default()).await;
    taking.users(&["alice"]).await;
    taking.upstream.top_up("t-1", "alice", 10).await;
    assert_eq!(taking.upstream.hears("t-1", 1).await, [completed()]);
    let mut lock = taking.service.store().partition(0);
    lock.lock(0).await.unwrap();
    taking.upstream.fail("t-1", "TopUp").await;
    eventually("the ledger has not answered", async || {
        lock.catch_up(0).await.expect("the lock is held still");
        let tries = "SELECT tries FROM intake_transactions WHERE transaction_id = 't-1'";
        let tries: i32 = sqlx::query_scalar(tries).fetch_one(taking.pool()).await.unwrap();
        if tries >= 1 { Ok(()) } else { Err(tries) }
    })
    .await;
    lock.release().await;
    assert_eq!(taking.upstream.hears("t-1", 2).await, [completed(), failed(REASON)]);
    assert_eq!(taking.balance("alice").await, "0.00");
    let movement: Option<String> = sqlx::query_scalar(
        "SELECT movement::text FROM intake_transactions WHERE transaction_id = 't-1'",
    )
    .fetch_one(taking.pool())
    .await
    .unwrap();
    let history = taking.service.get("/wallets/alice/history?limit=1").await;
    let reverses = &history.expect(200).body["data"][0]["metadata"]["reverses"];
    assert!(reverses.is_string() && reverses.as_str() == movement.as_deref(), "{history}");
    taking.finish().await;
}

fn zero() -> (String, String) {
    ("0.00".to_owned(), "0.00".to_owned())
}

#[tokio::test]
async fn a_failure_that_comes_first_is_the_end_of_its_transaction() {
    let taking = TakingIn::start(1).await;
    taking.users(&["alice"]).await;
    taking.upstream.fail("t-1", "TopUp").await;
    assert_eq!(taking.upstream.hears("t-1", 1).await, [failed(REASON)]);
    for _ in 0..2 {
        taking.upstream.top_up("t-1", "alice", 10).await;
        taking.upstream.fail("t-1", "TopUp").await;
    }
    taking.upstream.is_dealt_with().await;
    assert_eq!(taking.balance("alice").await, "0.00");
    assert_eq!(taking.upstream.told().await.len(), 1);
    assert_eq!(taking.state("t-1").await, "failed");
    taking.finish().await;
}

/// Also where its user is unknown: nothing waits for them any more.
#[tokio::test]
async fn a_failure_is_the_end_of_a_transaction_that_waits_for_its_user() {
    let taking = TakingIn::start(1).await;
    taking.upstream.top_up("t-1", "nobody", 10).await;
    taking.upstream.fail("t-1", "TopUp").await;
    assert_eq!(taking.upstream.hears("t-1", 1).await, [failed(REASON)]);
    taking.upstream.is_dealt_with().await;
    taking.users(&["nobody"]).await;
    assert_eq!(taking.balance("nobody").await, "0.00");
    assert_eq!(taking.letters().await, Vec::<Value>::new());
    taking.finish().await;
}

/// What the ledger refuses has failed for good, by a code that says nothing of what a wallet holds.
#[tokio::test]
async fn what_the_ledger_refuses_has_failed_and_its_failure_does_nothing_more() {
    let taking = TakingIn::start(4).await;
    taking.users(&["alice", "bob", "frozen", "closed"]).await;
    let body = json!({ "id": "euro", "currency": "EUR" });
    taking.service.post("/wallets", body).await.expect(201);
    taking.upstream.top_up("t-0", "frozen", 10).await;
    taking.upstream.top_up("t-00", "alice", 10).await;
    taking.upstream.hears("t-0", 1).await;
    taking.upstream.hears("t-00", 1).await;
    taking.service.ledger().submit(request(freeze(&id("frozen")))).await.unwrap();
    taking.service.post("/wallets/closed/close", json!({})).await.expect(200);
    let transfer = async |transaction: &str, from: &str, to: &str, amount: u64| {
        taking.upstream.transfer(transaction, from, to, amount).await;
        taking.upstream.hears(transaction, 1).await
    };
    assert_eq!(transfer("t-1", "bob", "alice", 5).await, [failed("insufficient-funds")]);
    assert_eq!(transfer("t-2", "frozen", "bob", 5).await, [failed("wallet-frozen")]);
    assert_eq!(transfer("t-3", "alice", "closed", 5).await, [failed("wallet-closed")]);
    assert_eq!(transfer("t-4", "alice", "euro", 5).await, [failed("currency-mismatch")]);
    assert_eq!(transfer("t-5", "alice", "alice", 5).await, [failed("same-wallet")]);
    let mut fine = top_up("t-6", "alice", 1);
    fine["amount"] = json!(0.001);
    taking.upstream.send("transaction.completed", &fine).await;
    assert_eq!(taking.upstream.hears("t-6", 1).await, [failed("too-many-decimals")]);
    // A frozen wallet takes money in.
    taking.upstream.top_up("t-7", "frozen", 5).await;
    assert_eq!(taking.upstream.hears("t-7", 1).await, [completed()]);
    let before = taking.upstream.told().await.len();
    for (transaction, kind) in [("t-1", "Transfer"), ("t-3", "Transfer"), ("t-6", "TopUp")] {
        taking.upstream.fail(transaction, kind).await;
    }
    taking.upstream.is_dealt_with().await;
    assert_eq!(taking.upstream.told().await.len(), before);
    assert_eq!(taking.balance("alice").await, "10.00");
    assert_eq!(taking.balance("frozen").await, "15.00");
    assert_eq!(taking.letters().await, Vec::<Value>::new());
    taking.finish().await;
}

#[tokio::test]
async fn the_same_id_with_other_contents_is_set_aside_and_the_first_counts() {
    let taking = TakingIn::start(1).await;
    taking.users(&["alice", "bob"]).await;
    taking.upstream.top_up("t-1", "alice", 10).await;
    taking.upstream.hears("t-1", 1).await;
    for _ in 0..2 {
        taking.upstream.top_up("t-1", "alice", 11).await;
        taking.upstream.is_dealt_with().await;
    }
    let letter = taking.letter("open").await;
    let expected = "another message of this transaction differs: amount was 10 and is 11";
    assert_eq!((&letter["error"], &letter["attempts"]), (&json!(expected), &json!(2)));
    assert_eq!(letter["payload"]["amount"], 11);
    taking.upstream.transfer("t-1", "bob", "alice", 10).await;
    // A failure of another type is not of this transaction.
    taking.upstream.fail("t-1", "Transfer").await;
    taking.upstream.is_dealt_with().await;
    assert_eq!(taking.letters().await.len(), 3);
    assert_eq!(taking.balance("alice").await, "10.00");
    assert_eq!(taking.upstream.told_of("t-1").await, [completed()]);
    taking.finish().await;
}

/// Amounts are read digit by digit, as numbers and as texts.
#[tokio::test]
async fn an_amount_is_a_number_or_a_text_and_never_passes_through_a_float() {
    let taking = TakingIn::start(1).await;
    taking.users(&["alice"]).await;
    for (number, amount) in ["0.1", "\"0.20\"", "1e1", "70000000000000.03"].iter().enumerate() {
        let body = format!(
            r#"{{"transactionId":"t-{number}","type":"TopUp","userId":"alice","amount":{amount}}}"#
        );
        taking.upstream.send_text("transaction.completed", &body).await;
        assert_eq!(taking.upstream.hears(&format!("t-{number}"), 1).await, [completed()]);
    }
    assert_eq!(taking.balance("alice").await, "70000000000010.33");
    taking.finish().await;
}

//! What other services are told, whatever becomes of the stream that they are told by: all of it, and no
//! more than once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use florin_adapters::intake::{Patience, Settings};
use florin_adapters::nats::stream::OUTCOMES;
use florin_adapters::operations::Retries;
use florin_tests::store::eventually;
use serde_json::json;

use super::{FEW, TakingIn, completed, impatient};

/// So many that two seconds for each five hundred of them are too long for a test.
const MANY: i32 = 20_000;

/// Attempts that go on for as long as a test does.
const MANY_AND_FAST: Retries = Retries {
    max_attempts: u32::MAX,
    backoff: (Duration::from_millis(50), Duration::from_millis(200)),
};

impl TakingIn {
    /// When each transaction was told of, and where in the stream.
    async fn told_at(&self) -> Vec<(String, Option<DateTime<Utc>>, Option<i64>)> {
        let told = "SELECT transaction_id, told_at, told_sequence FROM intake_outcomes ORDER BY 1";
        sqlx::query_as(told).fetch_all(self.pool()).await.unwrap()
    }

    /// Moves money, one top-up after the other, and waits until that is told.
    async fn top_ups(&self, transactions: &[&str]) {
        for transaction in transactions {
            self.upstream.top_up(transaction, "alice", 10).await;
            eventually("it is on record that it was told", async || {
                let told = self.told_at().await;
                let is_told =
                    |(of, at, _): &(String, Option<_>, _)| of == transaction && at.is_some();
                if told.iter().any(is_told) { Ok(()) } else { Err(told) }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_server_that_has_lost_nothing_is_told_nothing_again() {
    let taking = TakingIn::start(1).await;
    taking.users(&["alice"]).await;
    taking.top_ups(&["t-1", "t-2"]).await;
    let before = taking.told_at().await;
    taking.nats.kill_hard().await;
    taking.nats.restart().await;
    taking.top_ups(&["t-3"]).await;
    assert_eq!(taking.told_at().await[..2], before);
    let told = taking.upstream.told().await;
    let told: Vec<_> = told.iter().map(|(transaction, ..)| &**transaction).collect();
    assert_eq!(told, ["t-1", "t-2", "t-3"]);
    taking.finish().await;
}

#[tokio::test]
async fn what_a_power_cut_takes_from_the_stream_is_told_again_and_nothing_else() {
    let taking = TakingIn::start(1).await;
    taking.users(&["alice"]).await;
    taking.top_ups(&["t-1", "t-2"]).await;
    let before = taking.told_at().await;
    taking.nats.loses(OUTCOMES.name, async || taking.top_ups(&["t-3", "t-4", "t-5"]).await).await;
    for transaction in ["t-1", "t-2", "t-3", "t-4", "t-5"] {
        assert_eq!(taking.upstream.hears(transaction, 1).await, [completed()]);
    }
    assert_eq!(taking.upstream.told().await.len(), 5);
    assert_eq!(taking.told_at().await[..2], before);
    taking.finish().await;
}

#[tokio::test]
async fn a_stream_that_was_deleted_is_told_all_that_is_kept() {
    let taking = TakingIn::start(1).await;
    taking.users(&["alice"]).await;
    taking.top_ups(&["t-1", "t-2"]).await;
    taking.nats.jetstream().await.delete_stream(OUTCOMES.name).await.unwrap();
    taking.top_ups(&["t-3"]).await;
    for transaction in ["t-1", "t-2", "t-3"] {
        assert_eq!(taking.upstream.hears(transaction, 1).await, [completed()]);
    }
    taking.finish().await;
}

/// The stream of the intake is full, so that what operators replay cannot be sent.
#[tokio::test]
async fn a_message_that_cannot_be_sent_again_keeps_no_outcome_waiting() {
    let for_ever = Retries { max_attempts: 10_000, ..FEW };
    let patience = Patience { users: for_ever, ledger: FEW };
    let taking = TakingIn::with(1, Settings { max_messages: 1, patience, ..impatient() }).await;
    taking.upstream.send_text("transaction.completed", "{").await;
    let letter = taking.letter("open").await;
    taking.upstream.top_up("t-1", "nobody", 1).await;
    taking.replay(&letter).await;
    sqlx::query(
        "INSERT INTO intake_outcomes (transaction_id, status)
         SELECT 't-' || n, 'Completed' FROM generate_series(1, $1) AS n",
    )
    .bind(MANY)
    .execute(taking.pool())
    .await
    .unwrap();
    eventually("all are told", async || {
        let left = "SELECT count(*) FROM intake_outcomes WHERE told_at IS NULL";
        let left: i64 = sqlx::query_scalar(left).fetch_one(taking.pool()).await.unwrap();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    assert_eq!(taking.upstream.told().await.len(), MANY.unsigned_abs() as usize);
    let waits = "SELECT publish_at IS NOT NULL FROM intake_letters";
    assert!(sqlx::query_scalar::<_, bool>(waits).fetch_one(taking.pool()).await.unwrap());
    // When the user comes, what waited for them makes room.
    let body = json!({ "id": "nobody", "owner": "nobody" });
    taking.service.post("/wallets", body).await.expect(201);
    eventually("the letter has come to nothing again", async || {
        let letters = taking.letters().await;
        if letters[0]["attempts"] == 2 { Ok(()) } else { Err(letters) }
    })
    .await;
    taking.upstream.is_dealt_with().await;
    taking.finish().await;
}

/// Nor would one that the stream has caught up with, and nothing tells it from one that is well but
/// what lies behind it.
#[tokio::test]
async fn messages_that_take_the_places_of_lost_ones_are_dealt_with() {
    let taking = TakingIn::start(1).await;
    taking.users(&["alice"]).await;
    taking.nats.loses("INTAKE", async || taking.top_ups(&["t-1", "t-2"]).await).await;
    // More than were lost, and sooner than anybody can look.
    for transaction in ["t-3", "t-4", "t-5", "t-6"] {
        taking.upstream.top_up(transaction, "alice", 10).await;
    }
    for transaction in ["t-3", "t-4", "t-5", "t-6"] {
        assert_eq!(taking.upstream.hears(transaction, 1).await, [completed()]);
    }
    assert_eq!(taking.balance("alice").await, "60.00");
    taking.upstream.is_dealt_with().await;
    taking.finish().await;
}

#[tokio::test]
async fn a_message_that_was_dealt_with_and_is_there_again_is_removed_and_moves_nothing() {
    let patience = Patience { users: MANY_AND_FAST, ledger: FEW };
    let taking = TakingIn::with(1, Settings { patience, ..Settings::default() }).await;
    // It waits for its user, so that the server has it at first.
    taking.upstream.top_up("t-1", "alice", 10).await;
    eventually("it waits", async || match taking.upstream.waiting().await {
        Some(1) => Ok(()),
        other => Err(other),
    })
    .await;
    let dealt_with = async || {
        taking.users(&["alice"]).await;
        assert_eq!(taking.upstream.hears("t-1", 1).await, [completed()]);
    };
    taking.nats.loses("INTAKE", dealt_with).await;
    assert_eq!(taking.upstream.waiting().await, Some(1), "it is there again");
    taking.upstream.is_dealt_with().await;
    assert_eq!(taking.upstream.told_of("t-1").await, [completed()]);
    assert_eq!(taking.balance("alice").await, "10.00");
    taking.finish().await;
}

/// A consumer that knows of more messages than the stream has would not deliver those that come in
/// their places.
#[tokio::test]
async fn messages_that_come_after_a_power_cut_are_dealt_with() {
    let taking = TakingIn::start(1).await;
    taking.users(&["alice"]).await;
    taking.nats.loses("INTAKE", async || taking.top_ups(&["t-1", "t-2", "t-3"]).await).await;
    taking.upstream.top_up("t-4", "alice", 10).await;
    assert_eq!(taking.upstream.hears("t-4", 1).await, [completed()]);
    assert_eq!(taking.balance("alice").await, "40.00");
    taking.finish().await;
}

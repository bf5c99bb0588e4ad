//! Messages that cannot be followed, or not now: they wait, become dead letters, and are replayed or
//! discarded.

use chrono::{DateTime, Utc};
use florin_adapters::intake::{Patience, Settings};
use florin_adapters::operations::Retries;
use florin_tests::ask::{freeze, id, request, unfreeze};
use florin_tests::process::run;
use florin_tests::store::{Store, eventually};
use futures::StreamExt;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{FEW, REASON, TakingIn, completed, failed, impatient};

/// Waits for a user as long as a test does.
const LONG: Retries = Retries { max_attempts: 10_000, ..FEW };

#[tokio::test]
async fn what_is_not_understood_is_a_dead_letter_that_says_why() {
    let taking = TakingIn::start(1).await;
    let body = json!({ "transactionId": "t-1", "type": "TopUp", "userId": "alice", "amount": "1,5",
                       "comment": "not kept" });
    for _ in 0..2 {
        taking.upstream.send("transaction.completed", &body).await;
        taking.upstream.is_dealt_with().await;
    }
    let letter = taking.letter("open").await;
    assert_eq!(letter["error"], "amount: an amount is a plain decimal such as \"12.50\"");
    let expected = json!({ "transactionId": "t-1", "type": "TopUp", "userId": "alice",
                           "amount": "1,5" });
    assert_eq!((&letter["payload"], &letter["attempts"]), (&expected, &json!(2)));
    assert_eq!((&letter["walletId"], &letter["aggregateId"]), (&json!("alice"), &json!("t-1")));
    assert_eq!(letter["eventType"], "transaction.completed");
    // It is no better understood the next time.
    taking.replay(&letter).await;
    let again = eventually("it is open again", async || {
        let letter = taking.letter("open").await;
        if letter["attempts"] == 3 { Ok(letter) } else { Err(letter) }
    })
    .await;
    assert_eq!(again["id"], letter["id"]);
    taking.finish().await;
}

/// Each by itself where too little is known of them to tell them apart, and once however often it is
/// delivered.
#[tokio::test]
async fn messages_of_which_nothing_is_understood_are_letters_of_their_own() {
    let taking = TakingIn::start(1).await;
    for subject in ["user.signup", "transaction.completed", "transaction.failed"] {
        for body in ["", "{", "null", "[]", "\u{0}"] {
            taking.upstream.send_text(subject, body).await;
        }
    }
    taking.upstream.is_dealt_with().await;
    let letters = taking.letters().await;
    assert_eq!(letters.len(), 15, "{letters:?}");
    assert!(letters.iter().all(|letter| letter["payload"] == json!({})), "{letters:?}");
    let first = letters[0].clone();
    taking.replay(&first).await;
    eventually("it comes to nothing again, in the same letter", async || {
        let letters = taking.letters().await;
        assert_eq!(letters.len(), 15, "{letters:?}");
        let letter = &letters[0];
        if (&letter["state"], &letter["attempts"]) == (&json!("open"), &json!(2)) {
            Ok(())
        } else {
            Err(letter.clone())
        }
    })
    .await;
    taking.finish().await;
}

#[tokio::test]
async fn money_waits_for_its_user_to_sign_up() {
    let patience = Patience { users: LONG, ledger: FEW };
    let taking = TakingIn::with(2, Settings { patience, ..impatient() }).await;
    taking.users(&["alice"]).await;
    taking.upstream.top_up("t-1", "alice", 10).await;
    taking.upstream.hears("t-1", 1).await;
    taking.upstream.top_up("t-2", "late", 5).await;
    taking.upstream.transfer("t-3", "alice", "late", 4).await;
    eventually("both have been tried more than once", async || {
        let tries = "SELECT transaction_id, tries FROM intake_transactions WHERE tries > 2";
        let tries: Vec<(String, i32)> =
            sqlx::query_as(tries).fetch_all(taking.pool()).await.unwrap();
        if tries.len() == 2 { Ok(()) } else { Err(tries) }
    })
    .await;
    assert_eq!(taking.balance("alice").await, "10.00");
    taking.users(&["late"]).await;
    assert_eq!(taking.upstream.hears("t-2", 1).await, [completed()]);
    assert_eq!(taking.upstream.hears("t-3", 1).await, [completed()]);
    assert_eq!(taking.balance("late").await, "9.00");
    assert_eq!(taking.letters().await, Vec::<Value>::new());
    taking.finish().await;
}

#[tokio::test]
async fn an_unknown_user_is_a_dead_letter_in_the_end_and_its_replay_moves_the_money() {
    let taking = TakingIn::start(1).await;
    taking.upstream.top_up("t-1", "late", 5).await;
    let letter = taking.letter("open").await;
    assert_eq!(letter["error"], "the user late is unknown");
    let expected =
        json!({ "transactionId": "t-1", "type": "TopUp", "userId": "late", "amount": 5 });
    assert_eq!(letter["payload"], expected);
    taking.upstream.is_dealt_with().await;
    assert_eq!(taking.upstream.told().await, []);
    // Too early.
    taking.replay(&letter).await;
    eventually("it is open again", async || {
        let letter = taking.letter("open").await;
        if letter["attempts"] == 2 { Ok(()) } else { Err(letter) }
    })
    .await;
    taking.users(&["late"]).await;
    taking.replay(&letter).await;
    assert_eq!(taking.upstream.hears("t-1", 1).await, [completed()]);
    taking.letter("replayed").await;
    assert_eq!(taking.balance("late").await, "5.00");
    let path = format!("/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    let again = taking.service.post(&path, json!({})).await;
    again.expect_problem(409, "dead-letter-settled");
    taking.finish().await;
}

#[tokio::test]
async fn what_is_discarded_has_failed_and_stays_so() {
    let taking = TakingIn::start(1).await;
    taking.upstream.top_up("t-1", "late", 5).await;
    let letter = taking.letter("open").await;
    let path = format!("/dead-letters/{}/discard", letter["id"].as_str().unwrap());
    let decision = json!({ "by": "olga", "reason": "a test" });
    taking.service.post(&path, decision.clone()).await.expect(200);
    assert_eq!(taking.upstream.hears("t-1", 1).await, [failed("discarded by an operator")]);
    taking.service.post(&path, decision).await.expect_problem(409, "dead-letter-settled");
    taking.users(&["late"]).await;
    taking.upstream.top_up("t-1", "late", 5).await;
    taking.upstream.is_dealt_with().await;
    assert_eq!(taking.balance("late").await, "0.00");
    assert_eq!(taking.upstream.told().await.len(), 1);
    let letter = taking.letter("discarded").await;
    assert_eq!((&letter["decidedBy"], &letter["reason"]), (&json!("olga"), &json!("a test")));
    taking.finish().await;
}

/// Also by a message that comes again after its letter was written.
#[tokio::test]
async fn the_letter_of_a_transaction_that_comes_to_its_end_is_settled() {
    let taking = TakingIn::start(1).await;
    for (transaction, user) in [("t-1", "late"), ("t-2", "never")] {
        taking.upstream.top_up(transaction, user, 5).await;
    }
    eventually("there are two letters", async || {
        let letters = taking.letters().await;
        if letters.len() == 2 { Ok(()) } else { Err(letters) }
    })
    .await;
    taking.upstream.is_dealt_with().await;
    taking.users(&["late"]).await;
    taking.upstream.top_up("t-1", "late", 5).await;
    assert_eq!(taking.upstream.hears("t-1", 1).await, [completed()]);
    taking.upstream.fail("t-2", "TopUp").await;
    assert_eq!(taking.upstream.hears("t-2", 1).await, [failed(REASON)]);
    let decision = json!({ "by": "olga", "reason": "a test" });
    for letter in taking.letters().await {
        assert_eq!(letter["state"], "replayed", "{letter}");
        let path = format!("/dead-letters/{}/discard", letter["id"].as_str().unwrap());
        let late = taking.service.post(&path, decision.clone()).await;
        late.expect_problem(409, "dead-letter-settled");
    }
    assert_eq!(taking.balance("late").await, "5.00");
    taking.finish().await;
}

/// Its money may have moved already, or move when its message comes again: that it never does anything is
/// not for operators to say.
#[tokio::test]
async fn what_may_have_been_begun_is_not_discarded() {
    let taking = TakingIn::start(1).await;
    taking.upstream.top_up("t-1", "late", 5).await;
    let letter = taking.letter("open").await;
    taking.upstream.is_dealt_with().await;
    let decision = json!({ "by": "olga", "reason": "a test" });
    let path = format!("/dead-letters/{}/discard", letter["id"].as_str().unwrap());
    for state in ["open", "completed"] {
        let state = format!("UPDATE intake_transactions SET state = '{state}'");
        sqlx::raw_sql(&state).execute(taking.pool()).await.unwrap();
        let begun = taking.service.post(&path, decision.clone()).await;
        begun.expect_problem(409, "dead-letter-begun");
        assert_eq!(taking.letter("open").await["id"], letter["id"]);
    }
    sqlx::raw_sql("UPDATE intake_transactions SET state = 'open'")
        .execute(taking.pool())
        .await
        .unwrap();
    taking.users(&["late"]).await;
    taking.replay(&letter).await;
    assert_eq!(taking.upstream.hears("t-1", 1).await, [completed()]);
    assert_eq!(taking.balance("late").await, "5.00");
    taking.finish().await;
}

/// Else each of its copies would count as one more attempt.
#[tokio::test]
async fn a_replayed_message_that_waits_in_the_stream_is_not_sent_a_second_time() {
    let taking = TakingIn::start(1).await;
    taking.upstream.top_up("t-1", "late", 5).await;
    let letter = taking.letter("open").await;
    taking.upstream.is_dealt_with().await;
    let sent = async || {
        let sent = "SELECT publications, publish_at FROM intake_letters";
        let sent: (i32, Option<DateTime<Utc>>) =
            sqlx::query_as(sent).fetch_one(taking.pool()).await.unwrap();
        sent
    };
    taking.replay(&letter).await;
    let (_, first) = eventually("it is sent", async || match sent().await {
        (1, Some(at)) => Ok((1, at)),
        sent => Err(sent),
    })
    .await;
    eventually("it is put off while it waits", async || match sent().await {
        (1, Some(at)) if at > first => Ok(()),
        sent => Err(sent),
    })
    .await;
    taking.finish().await;
}

/// How long a user was waited for is no reason to be less patient with the ledger.
#[tokio::test]
async fn the_ledger_is_tried_as_often_however_long_the_user_was_waited_for() {
    let patience = Patience { users: LONG, ledger: FEW };
    let taking = TakingIn::with(1, Settings { patience, ..impatient() }).await;
    taking.upstream.top_up("t-1", "late", 5).await;
    eventually("its user is waited for", async || {
        let tries = "SELECT tries FROM intake_transactions";
        let tries: Option<i32> =
            sqlx::query_scalar(tries).fetch_optional(taking.pool()).await.unwrap();
        if tries > Some(8) { Ok(()) } else { Err(tries) }
    })
    .await;
    let least = "
        CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF NEW.state <> 'waiting' AND NEW.tries > 1 THEN RAISE 'it had % tries', NEW.tries; END IF;
          RETURN NEW;
        END $$;
        CREATE TRIGGER never BEFORE UPDATE ON intake_transactions FOR EACH ROW EXECUTE FUNCTION never()";
    let Store::Postgres(_, urls) = taking.service.store() else { panic!("it is in Postgres") };
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    sqlx::raw_sql(least).execute(&mut admin).await.unwrap();
    taking.users(&["late"]).await;
    assert_eq!(taking.upstream.hears("t-1", 1).await, [completed()]);
    drop(admin);
    taking.finish().await;
}

/// The money is spent, or the wallet gives none out: nobody is told that the transaction has failed
/// before it has.
#[tokio::test]
async fn a_reversal_that_cannot_be_now_is_a_dead_letter_and_its_replay_tries_again() {
    let taking = TakingIn::start(4).await;
    taking.users(&["alice", "bob"]).await;
    taking.upstream.top_up("t-1", "alice", 10).await;
    taking.upstream.hears("t-1", 1).await;
    let body = json!({ "amount": "4.00" });
    taking.service.post("/wallets/alice/withdraw", body).await.expect(201);
    for _ in 0..2 {
        taking.upstream.fail("t-1", "TopUp").await;
    }
    let letter = taking.letter("open").await;
    let error = "it cannot be reversed now: the wallet holds 6.00, which is less than 10.00";
    assert_eq!(letter["error"], error);
    let payload = json!({ "transactionId": "t-1", "type": "TopUp", "reason": REASON });
    assert_eq!(letter["payload"], payload);
    taking.upstream.is_dealt_with().await;
    assert_eq!(taking.upstream.told_of("t-1").await, [completed()]);
    assert_eq!(taking.balance("alice").await, "6.00");

    taking.service.ledger().submit(request(freeze(&id("alice")))).await.unwrap();
    taking.replay(&letter).await;
    eventually("it is refused for another reason", async || {
        let letter = taking.letter("open").await;
        let expected = "it cannot be reversed now: the wallet is frozen: it takes money in, but \
                        gives none out";
        if letter["error"] == expected { Ok(()) } else { Err(letter) }
    })
    .await;

    taking.service.ledger().submit(request(unfreeze(&id("alice")))).await.unwrap();
    let body = json!({ "amount": "4.00" });
    taking.service.post("/wallets/alice/deposit", body).await.expect(201);
    taking.replay(&letter).await;
    assert_eq!(taking.upstream.hears("t-1", 2).await, [completed(), failed(REASON)]);
    assert_eq!(taking.balance("alice").await, "0.00");
    taking.letter("replayed").await;
    taking.finish().await;
}

#[tokio::test]
async fn operators_are_told_of_a_dead_letter_each_time_that_it_is_set_aside() {
    let taking = TakingIn::start(1).await;
    let client = taking.nats.client().await;
    let mut told = client.subscribe("dead-letters.intake.>").await.unwrap();
    client.flush().await.unwrap();
    taking.upstream.top_up("t.1", "late", 5).await;
    let letter = taking.letter("open").await;
    let first = told.next().await.unwrap();
    assert_eq!(first.subject.as_str(), "dead-letters.intake.t_1");
    let body: Value = serde_json::from_slice(&first.payload).unwrap();
    assert_eq!((&body["id"], &body["error"]), (&letter["id"], &letter["error"]));
    let headers = first.headers.unwrap();
    assert_eq!(headers.get("ce-subject").unwrap().as_str(), "message/t_1");
    taking.replay(&letter).await;
    let second = told.next().await.unwrap().headers.unwrap();
    assert_ne!(headers.get("ce-id"), second.get("ce-id"));
    taking.finish().await;
}

#[tokio::test]
async fn the_command_line_lists_shows_and_replays_them() {
    let taking = TakingIn::start(1).await;
    taking.upstream.top_up("t-1", "late", 5).await;
    let letter = taking.letter("open").await;
    let Store::Postgres(_, urls) = taking.service.store() else { panic!("it is in Postgres") };
    let dlq = async |words: &[&str]| {
        let ran = run(["dlq"].iter().chain(words).chain(&["--database-url", &urls.service])).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    };
    let list = dlq(&["list", "--projection", "intake", "--state", "open", "--json"]).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["data"][0]["id"], letter["id"], "{list}");
    let id = letter["id"].as_str().unwrap();
    assert!(dlq(&["show", id]).await.contains("the user late is unknown"));
    taking.users(&["late"]).await;
    assert_eq!(dlq(&["replay", id]).await, format!("{id} is queued again.\n"));
    assert_eq!(taking.upstream.hears("t-1", 1).await, [completed()]);
    taking.finish().await;
}

//! What cannot be carried out now is tried again; what cannot be carried out at all becomes a dead
//! letter, which operators queue again or discard.

use florin_adapters::auth::Auth;
use florin_adapters::operations::Retries;
use florin_tests::ask::id_in;
use florin_tests::process::run;
use florin_tests::service::Answer;
use florin_tests::store::{Store, eventually};
use futures::StreamExt;
use serde_json::{Value, json};

use super::{FEW, Queueing, expect_completed};

const PATH: &str = "/wallets/cursed/deposit";

impl Queueing {
    /// The journal refuses everything about one wallet.
    async fn curse(&self) {
        self.admin(
            "ALTER TABLE events ADD CONSTRAINT cursed CHECK (aggregate_id <> 'cursed') NOT VALID",
        )
        .await;
    }

    async fn lift(&self) {
        self.admin("ALTER TABLE events DROP CONSTRAINT cursed").await;
    }

    /// Posts what cannot be carried out, and waits until it is set aside.
    async fn failed(&self, body: Value) -> Answer {
        let failed = self.carried_out(PATH, body).await;
        failed.expect_members(json!({ "state": "failed", "attempts": FEW.max_attempts }));
        let result = &failed.body["result"];
        assert_eq!(
            (&result["status"], &result["problem"]["code"]),
            (&500.into(), &"operation-failed".into())
        );
        failed
    }

    /// How many messages operators got about dead letters.
    async fn told(&self) -> Option<u64> {
        let stream = self.nats.jetstream().await.get_stream("DEAD_LETTERS").await.ok()?;
        Some(stream.cached_info().state.messages)
    }

    async fn letters(&self) -> Vec<Value> {
        let letters = self.service.get("/dead-letters?projection=operations").await;
        letters.expect(200).body["data"].as_array().unwrap().clone()
    }
}

async fn start() -> Queueing {
    let queue = Queueing::with(1, Auth::Off, FEW).await;
    queue.curse().await;
    queue
}

#[tokio::test]
async fn an_operation_that_comes_to_no_outcome_is_a_dead_letter_until_it_is_replayed() {
    let queue = start().await;
    let body = || json!({ "amount": 1, "requestId": "k" });
    let failed = queue.failed(body()).await;
    let again = queue.post(PATH, body()).await;
    assert!(again.expect(200).is_replayed(), "{again}");
    assert_eq!((again.header("preference-applied"), &again.body), (None, &failed.body));
    // It held nobody up.
    expect_completed(&queue.carried_out("/wallets/a/deposit", json!({ "amount": 1 })).await, 201);
    let [letter] = &queue.letters().await[..] else { panic!("one letter") };
    for (name, expected) in [
        ("projection", json!("operations")),
        ("walletId", json!("cursed")),
        ("aggregateType", json!("Operation")),
        ("aggregateId", failed.body["id"].clone()),
        ("eventType", json!("deposit")),
        ("state", json!("open")),
        ("attempts", json!(3)),
        ("error", json!("the journal rejects the command")),
        ("metadata", json!({ "requestId": "k", "traceparent": null })),
    ] {
        assert_eq!(letter[name], expected, "{name} of {letter}");
    }
    let path = format!("/dead-letters/{}", letter["id"].as_str().unwrap());
    assert_eq!(&queue.service.get(&path).await.expect(200).body, letter);
    assert_eq!(queue.service.get("/dead-letters?wallet=cursed").await.body["data"][0], *letter);

    // Too early: it is set aside again, as the same letter.
    let replay = format!("{path}/replay");
    let replayed = queue.service.post(&replay, json!({})).await;
    replayed.expect(200).expect_members(json!({ "outcome": "queued", "walletId": "cursed" }));
    eventually("it is set aside again", async || match &queue.letters().await[..] {
        [again] if again["state"] == "open" && again["attempts"] == 6 => Ok(()),
        other => Err(other.to_vec()),
    })
    .await;
    // Of which operators are told as well.
    eventually("it is told twice", async || match queue.told().await {
        Some(2) => Ok(()),
        other => Err(other),
    })
    .await;
    queue.lift().await;
    queue.service.post(&replay, json!({})).await.expect(200);
    let location = format!("/operations/{}", failed.text_of("id"));
    let done = eventually("it is carried out", async || {
        let read = queue.service.get(&location).await;
        if read.text_of("state") == "completed" { Ok(read) } else { Err(read) }
    })
    .await;
    expect_completed(&done, 201);
    assert_eq!(queue.letters().await[0]["state"], "replayed");
    queue.service.post(&replay, json!({})).await.expect_problem(409, "dead-letter-settled");
    assert_eq!(queue.told().await, Some(2), "of what is done nobody is told");
    assert_eq!(queue.balance("cursed").await, "1.00");
    queue.finish().await;
}

#[tokio::test]
async fn a_dead_letter_is_told_to_operators_and_discarded_by_them() {
    let queue = start().await;
    let failed = queue.failed(json!({ "amount": 1 })).await;
    eventually("it is published", async || match queue.told().await {
        Some(1) => Ok(()),
        other => Err(other),
    })
    .await;
    let stream = queue.nats.jetstream().await.get_stream("DEAD_LETTERS").await.unwrap();
    let message = stream.get_raw_message(1).await.unwrap().payload;
    let told: Value = serde_json::from_slice(&message).unwrap();
    assert_eq!(told["aggregateId"], failed.body["id"], "{told}");

    let [letter] = &queue.letters().await[..] else { panic!("one letter") };
    let id = letter["id"].as_str().unwrap();
    let discard = format!("/dead-letters/{id}/discard");
    let decision = json!({ "by": "olga", "reason": "a test" });
    let discarded = queue.service.post(&discard, decision.clone()).await;
    discarded.expect(200).expect_members(json!({ "id": id }));
    let shown = queue.service.get(&format!("/dead-letters/{id}")).await;
    let expected = json!({ "state": "discarded", "decidedBy": "olga", "reason": "a test" });
    shown.expect(200).expect_members(expected);
    queue.service.post(&discard, decision).await.expect_problem(409, "dead-letter-settled");
    let read = queue.service.get(&format!("/operations/{}", failed.text_of("id"))).await;
    read.expect_members(json!({ "state": "failed" }));
    queue.lift().await;
    queue.finish().await;
}

/// In one order, whatever they are of: page by page and each once.
#[tokio::test]
async fn letters_of_events_and_of_operations_are_pages_of_one_list() {
    let queue = start().await;
    for _ in 0..2 {
        queue.failed(json!({ "amount": 1 })).await;
    }
    expect_completed(&queue.carried_out("/wallets/a/deposit", json!({ "amount": 1 })).await, 201);
    // A projection before operations, and one behind them.
    queue
        .admin(
            "INSERT INTO dead_letters (projection, partition, position, wallet_id, error, attempts)
             SELECT projection, partition, position, 'a', 'a test', 1
               FROM events, unnest(ARRAY['balance', 'stats']) AS projection",
        )
        .await;
    let all = queue.service.get("/dead-letters").await;
    let expected = all.expect(200).body["data"].as_array().unwrap();
    let name = |letter: &Value| letter["projection"].as_str().unwrap().to_owned();
    let names: Vec<_> = expected.iter().map(name).collect();
    let [before, behind] = ["balance", "stats"].map(|name| [name, name]);
    assert_eq!(names, [before, ["operations"; 2], behind].concat());
    for limit in 1..=6 {
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = queue.service.get(&format!("/dead-letters?limit={limit}{cursor}")).await;
            pages.extend(page.expect(200).body["data"].as_array().unwrap().clone());
            let Some(next) = page.body["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(&pages, expected, "with {limit} a page");
    }
    queue.admin("DELETE FROM dead_letters").await;
    queue.lift().await;
    queue.finish().await;
}

#[tokio::test]
async fn the_command_line_replays_a_dead_letter() {
    let queue = start().await;
    let failed = queue.failed(json!({ "amount": 1 })).await;
    queue.lift().await;
    let Store::Postgres(_, urls) = queue.service.store() else { panic!("it is in Postgres") };
    let dlq = async |words: &[&str]| {
        let ran = run(["dlq"].iter().chain(words).chain(&["--database-url", &urls.service])).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    };
    let list = dlq(&["list", "--projection", "operations", "--state", "open", "--json"]).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["data"][0]["aggregateId"], failed.body["id"], "{list}");
    let id = list["data"][0]["id"].as_str().unwrap();
    assert!(dlq(&["show", id]).await.contains("the journal rejects the command"));
    let said = dlq(&["replay", id]).await;
    assert_eq!(said, format!("{id} is queued again.\n"));
    let location = format!("/operations/{}", failed.text_of("id"));
    eventually("it is carried out", async || {
        let read = queue.service.get(&location).await;
        if read.text_of("state") == "completed" { Ok(()) } else { Err(read) }
    })
    .await;
    queue.finish().await;
}

/// Somebody holds the partition for longer than an attempt waits.
#[tokio::test]
async fn what_meets_contention_is_carried_out_afterwards_and_once() {
    let queue = Queueing::with(1, Auth::Off, Retries::USUAL).await;
    expect_completed(&queue.carried_out("/wallets/a/deposit", json!({ "amount": 1 })).await, 201);
    let mut lock = queue.service.store().partition(0);
    lock.lock(0).await.unwrap();
    let accepted = queue.post("/wallets/a/deposit", json!({ "amount": 1 })).await;
    let location = accepted.expect(202).header("location").unwrap();
    eventually("it was tried, and put off", async || {
        lock.catch_up(0).await.expect("the lock is held still");
        let read = queue.service.get(location).await;
        let attempts = read.body["attempts"].as_u64().unwrap();
        if attempts >= 2 { Ok(()) } else { Err(read) }
    })
    .await;
    lock.release().await;
    expect_completed(&queue.ended(&accepted).await, 201);
    assert_eq!(queue.balance("a").await, "2.00");
    queue.finish().await;
}

/// A target that cannot be had: the transfer has begun, and the operation ends when it has.
#[tokio::test]
async fn a_transfer_under_way_is_an_operation_that_runs() {
    let queue = Queueing::with(4, Auth::Off, Retries::USUAL).await;
    let (alice, bob) = (id_in(0, 4, "alice"), id_in(3, 4, "bob"));
    queue.service.post("/wallets", json!({ "id": alice, "balance": 5 })).await.expect(201);
    let mut lock = queue.service.store().partition(3);
    lock.lock(0).await.unwrap();
    let path = format!("/wallets/{alice}/transfer");
    let accepted = queue.post(&path, json!({ "toWalletId": bob, "amount": 5 })).await;
    let location = accepted.expect(202).header("location").unwrap();
    eventually("the money has left, and the operation waits", async || {
        lock.catch_up(0).await.expect("the lock is held still");
        let read = queue.service.get(location).await;
        let is_open = ["queued", "running"].contains(&read.text_of("state"));
        assert!(is_open, "{read}");
        let attempts = read.body["attempts"].as_u64().unwrap();
        let balance = queue.balance(alice.as_str()).await;
        if balance == "0.00" && attempts >= 2 { Ok(()) } else { Err((read, balance)) }
    })
    .await;
    lock.release().await;
    let ended = queue.ended(&accepted).await;
    assert_eq!(expect_completed(&ended, 201)["toBalance"], "5.00");
    assert_eq!(ended.body["result"]["replayed"], false, "it is its own transfer");
    queue.finish().await;
}

#[tokio::test]
async fn a_message_of_the_dead_letters_has_a_subject_of_its_own() {
    let queue = start().await;
    let client = queue.nats.client().await;
    let mut told = client.subscribe("dead-letters.operations.>").await.unwrap();
    client.flush().await.unwrap();
    let failed = queue.failed(json!({ "amount": 1 })).await;
    let message = told.next().await.unwrap();
    let subject = format!("dead-letters.operations.{}", failed.text_of("id"));
    assert_eq!(message.subject.as_str(), subject);
    let headers = message.headers.unwrap();
    let about = format!("operation/{}", failed.text_of("id"));
    assert_eq!(headers.get("ce-subject").unwrap().as_str(), about);
    queue.lift().await;
    queue.finish().await;
}

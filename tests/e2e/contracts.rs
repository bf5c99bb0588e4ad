//! What a live Florin publishes, held against what it promises to: the AsyncAPI document.

use std::collections::BTreeSet;
use std::time::Duration;

use florin_adapters::auth::Auth;
use florin_adapters::intake::Settings;
use florin_adapters::operations::Retries;
use florin_domain::journal::EVENT_TYPES;
use florin_tests::lag::heads;
use florin_tests::messages::{check, everything};
use florin_tests::nats::{OwnNats, pool};
use florin_tests::process::run;
use florin_tests::service::Service;
use florin_tests::store::{Store, eventually};
use florin_tests::upstream::{Upstream, failure, signup, top_up, transfer};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

/// The document as it was committed.
const COMMITTED: &str = include_str!("../../adapters/asyncapi.json");

/// Attempts that follow each other fast, and are few.
const FEW: Retries =
    Retries { max_attempts: 2, backoff: (Duration::from_millis(50), Duration::from_millis(100)) };

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Everything that can happen, with all that may come with it.
async fn business(service: &Service) {
    let metadata = json!({ "order": 7.10, "note": "é" });
    let steps: [(&str, Value, u16); 15] = [
        (
            "/wallets",
            json!({ "id": "alice", "currency": "USD", "owner": "user-é", "metadata": metadata }),
            201,
        ),
        ("/wallets/alice/deposit", json!({ "amount": "90000", "metadata": metadata }), 201),
        // So much at once that an alert comes of it.
        ("/wallets/alice/withdraw", json!({ "amount": "10000", "metadata": metadata }), 201),
        (
            "/wallets/alice/transfer",
            json!({ "toWalletId": "bob", "amount": "12.5", "metadata": metadata }),
            201,
        ),
        ("/wallets/alice/transfer", json!({ "toWalletId": "dora", "amount": "1" }), 201),
        ("/wallets/alice/transfer", json!({ "toWalletId": "bob", "amount": "99999" }), 422),
        ("/wallets", json!({ "id": "carol" }), 201),
        ("/wallets/carol/close", json!({ "reason": "not needed – any more" }), 200),
        ("/wallets/alice/transfer", json!({ "toWalletId": "carol", "amount": "1" }), 422),
        ("/wallets/bob/freeze", json!({ "reason": "asked by support" }), 200),
        ("/wallets/bob/transfer", json!({ "toWalletId": "alice", "amount": "1" }), 422),
        ("/wallets/bob/unfreeze", json!({}), 200),
        ("/wallets/yuki/deposit", json!({ "amount": "1200", "currency": "JPY" }), 201),
        ("/wallets/yuki/transfer", json!({ "toWalletId": "alice", "amount": "1" }), 422),
        ("/wallets/badr/deposit", json!({ "amount": "0.125", "currency": "BHD" }), 201),
    ];
    for (number, (path, body, status)) in steps.into_iter().enumerate() {
        let key = format!("é {number} %");
        let headers = [("idempotency-key", &*key), ("traceparent", TRACE)];
        service.post_with(path, &headers, body).await.expect(status);
    }
    // Without a key there is less to tell.
    service.post("/wallets/dora/deposit", json!({ "amount": "1" })).await.expect(201);
}

/// An operation that comes to no outcome, and an event that a read model could not apply.
async fn letters(service: &Service, admin: &mut PgConnection) {
    let curse =
        "ALTER TABLE events ADD CONSTRAINT cursed CHECK (aggregate_id <> 'cursed') NOT VALID";
    sqlx::raw_sql(curse).execute(&mut *admin).await.unwrap();
    let body = json!({ "amount": "1", "requestId": "k" });
    let accepted =
        service.post_with("/wallets/cursed/deposit", &[("prefer", "respond-async")], body).await;
    let location = accepted.expect(202).header("location").unwrap();
    eventually("the operation fails", async || {
        let read = service.get(location).await;
        if read.text_of("state") == "failed" { Ok(()) } else { Err(read) }
    })
    .await;
    let aside = "
        INSERT INTO dead_letters (projection, partition, position, wallet_id, error, attempts)
        SELECT 'stats', partition, position, wallet, 'by a test', 3
          FROM (SELECT partition, position,
                       CASE aggregate_type WHEN 'Wallet' THEN aggregate_id END AS wallet
                  FROM events WHERE event_type IN ('FundsDeposited', 'TransferFailed')) e";
    sqlx::raw_sql(aside).execute(admin).await.unwrap();
}

#[tokio::test]
async fn everything_that_a_ledger_publishes_is_as_the_document_says() {
    let (store, nats) = tokio::join!(Store::postgres(2), OwnNats::start());
    let Store::Postgres(_, urls) = &store else { unreachable!() };
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    let service = Service::queueing(store, Auth::Off, &nats, FEW).await;
    business(&service).await;
    letters(&service, &mut admin).await;
    let jetstream = nats.jetstream().await;
    let count = async |stream: &str| match jetstream.get_stream(stream).await {
        Ok(found) => found.cached_info().state.messages,
        Err(_) => 0,
    };
    let events: u64 = heads(pool(service.store())).await.into_iter().map(|(_, head)| head).sum();
    let set_aside: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letters")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    eventually("everything is published", async || {
        let found = [count("LEDGER").await, count("ALERTS").await, count("DEAD_LETTERS").await];
        let wanted = [events, 1, set_aside.unsigned_abs() + 1];
        if found == wanted { Ok(()) } else { Err((found, wanted)) }
    })
    .await;
    let mut names = BTreeSet::new();
    for stream in ["LEDGER", "ALERTS", "DEAD_LETTERS"] {
        names.extend(everything(&jetstream, stream).await.iter().map(check));
    }
    let today = |name: &&str| if *name == "WalletOpened" { "1.1" } else { "1.0" };
    let expected = EVENT_TYPES.iter().map(|name| format!("{name}-{}", today(name)));
    let expected = expected.chain(["FraudAlert", "DeadLetter"].map(ToOwned::to_owned));
    assert_eq!(names, expected.collect());
    drop(admin);
    service.finish().await;
    nats.stop().await;
}

/// What upstream services send, as the tests of the intake send it; that Florin takes each in, shows that
/// the document does not promise more than it reads.
fn asked_for() -> Vec<(&'static str, Value)> {
    let mut textual = top_up("t-1", "alice", 1);
    textual["amount"] = json!("12.50");
    vec![
        ("user.signup", signup("alice")),
        ("user.signup", json!({ "id": "bob" })),
        ("transaction.completed", textual),
        ("transaction.completed", transfer("t-2", "alice", "bob", 5)),
        ("transaction.completed", transfer("t-3", "alice", "bob", 500)),
        ("transaction.failed", failure("t-2", "Transfer")),
        ("transaction.failed", json!({ "transactionId": "t-4", "type": "TopUp" })),
    ]
}

#[tokio::test]
async fn what_other_services_ask_for_and_are_told_is_as_the_document_says() {
    let (store, nats) = tokio::join!(Store::postgres(2), OwnNats::start());
    let service = Service::taking_in(store, &nats, Settings::default()).await;
    let upstream = Upstream::on(&nats).await;
    let mut names = BTreeSet::new();
    for (subject, payload) in asked_for() {
        let message = json!({
            "stream": "INTAKE", "subject": subject, "headers": {}, "payload": payload,
        });
        names.insert(check(&message));
        upstream.send(subject, &payload).await;
        upstream.is_dealt_with().await;
    }
    for (transaction, times) in [("t-1", 1), ("t-2", 2), ("t-3", 1), ("t-4", 1)] {
        upstream.hears(transaction, times).await;
    }
    let told = everything(&nats.jetstream().await, "OUTCOMES").await;
    names.extend(told.iter().map(check));
    let expected =
        ["TransactionCompleted", "TransactionFailed", "TransactionFinalized", "UserSignup"];
    assert_eq!(names, expected.map(ToOwned::to_owned).into());
    let balance = service.get("/wallets/alice?consistency=strong").await;
    assert_eq!(balance.expect(200).text_of("balance"), "12.50");
    service.finish().await;
    nats.stop().await;
}

#[tokio::test]
async fn the_verb_prints_the_committed_document() {
    let ran = run(["asyncapi"]).await;
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
    assert!(
        ran.out == COMMITTED,
        "adapters/asyncapi.json is of another version: florin asyncapi > adapters/asyncapi.json"
    );
}

#[tokio::test]
async fn the_served_document_is_the_committed_one() {
    let service = Service::start(1).await;
    let served = service.get("/asyncapi.json").await;
    assert_eq!(served.expect(200).body["asyncapi"], "3.0.0");
    assert!(served.text == COMMITTED, "the service serves another document");
    service.finish().await;
}

//! What is counted where it happens.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use florin_adapters::nats::stream::LEDGER;
use florin_tests::nats::{OwnNats, all_published};
use florin_tests::scrape::Scrape;
use florin_tests::store::{Store, eventually};
use futures::StreamExt as _;
use serde_json::json;

use super::Deployment;

const REQUESTS: &str = "http_server_request_duration_seconds_count";

/// How many commands came to this.
fn commands(scrape: &Scrape, command: &str, outcome: &str, reason: Option<&str>) -> u64 {
    let labels = [("command", command), ("outcome", outcome)];
    let reason = reason.map(|reason| ("reason", reason));
    let labels: Vec<_> = labels.into_iter().chain(reason).collect();
    scrape.count("florin_commands_total", &labels)
}

#[tokio::test]
async fn requests_and_commands_are_counted_by_what_became_of_them() {
    let deployment = Deployment::of_service(Store::postgres(1).await).await;
    for number in 0..7 {
        let body = json!({ "amount": "10", "requestId": format!("d-{number}") });
        assert_eq!(deployment.post("/wallets/alice/deposit", &body).await, 201);
    }
    for number in 0..3 {
        let body = json!({ "amount": "1000", "requestId": format!("w-{number}") });
        assert_eq!(deployment.post("/v1/wallets/alice/withdraw", &body).await, 422);
    }
    // The same key again, and with another amount.
    for (amount, status) in [("10", 201), ("11", 422)] {
        let body = json!({ "amount": amount, "requestId": "d-0" });
        assert_eq!(deployment.post("/wallets/alice/deposit", &body).await, status);
    }
    let bulk = json!({ "commands": [
        { "type": "deposit", "walletId": "bob", "amount": "1" },
        { "type": "withdraw", "walletId": "bob", "amount": "5" },
        { "type": "transfer", "walletId": "alice", "toWalletId": "bob", "amount": "2" },
    ] });
    let many = deployment.post("/bulk", &bulk).await;
    assert!([200, 201, 207].contains(&many), "{many}");
    assert_eq!(deployment.get("/wallets/of/nobody/at/all").await, 404);

    let scrape = deployment.scrape().await;
    assert_eq!(commands(&scrape, "deposit", "accepted", None), 8);
    assert_eq!(commands(&scrape, "deposit", "replayed", None), 1);
    assert_eq!(commands(&scrape, "deposit", "conflict", Some("idempotency-mismatch")), 1);
    assert_eq!(commands(&scrape, "withdraw", "refused", Some("insufficient-funds")), 4);
    assert_eq!(commands(&scrape, "transfer", "accepted", None), 1);
    let of = |route: &str, status: &str| {
        let labels = [
            ("http_request_method", "POST"),
            ("http_route", route),
            ("http_response_status_code", status),
            ("url_scheme", "http"),
        ];
        scrape.count(REQUESTS, &labels)
    };
    assert_eq!(of("/wallets/{id}/deposit", "201"), 8);
    assert_eq!(of("/wallets/{id}/deposit", "422"), 1);
    assert_eq!(of("/v1/wallets/{id}/withdraw", "422"), 3);
    let nowhere = [("http_request_method", "GET"), ("http_response_status_code", "404")];
    assert_eq!(scrape.count(REQUESTS, &nowhere), 1);
    deployment.stop().await;
}

#[tokio::test]
async fn appends_are_counted_with_what_was_in_them() {
    let deployment = Deployment::of_service(Store::postgres(1).await).await;
    for number in 0..5 {
        let body = json!({ "amount": "10", "requestId": format!("d-{number}") });
        assert_eq!(deployment.post("/wallets/alice/deposit", &body).await, 201);
    }
    let scrape = deployment.scrape().await;
    let appended = [("outcome", "appended")];
    assert_eq!(scrape.count("florin_append_duration_seconds_count", &appended), 5);
    assert_eq!(scrape.count("florin_append_commands_sum", &[]), 5);
    // One opened the wallet.
    assert_eq!(scrape.count("florin_append_events_sum", &[]), 6);
    assert_eq!(scrape.values("florin_queue_depth", &[("partition", "0")]), ["0"]);
    let metered = scrape.count("florin_journal_events", &[("partition", "0")]);
    assert_eq!(metered, 6);
    deployment.stop().await;
}

#[tokio::test]
async fn an_append_behind_another_process_is_a_conflict() {
    let deployment = Deployment::of_service(Store::postgres(1).await).await;
    let other = deployment.store.process();
    let body = json!({ "amount": "10" });
    assert_eq!(deployment.post("/wallets/alice/deposit", &body).await, 201);
    let alice = florin_tests::ask::id("alice");
    let elsewhere = florin_tests::ask::request(florin_tests::ask::deposit(&alice, "1"));
    other.submit(elsewhere).await.unwrap();
    assert_eq!(deployment.post("/wallets/alice/deposit", &body).await, 201);
    let scrape = deployment.scrape().await;
    let outcome =
        |outcome| scrape.count("florin_append_duration_seconds_count", &[("outcome", outcome)]);
    assert_eq!((outcome("moved"), outcome("appended")), (1, 2));
    deployment.stop().await;
}

#[tokio::test]
async fn nothing_of_anybody_is_in_the_labels() {
    let deployment = Deployment::whole(1).await;
    let secret = "3f0c7c1e-secret";
    let body = json!({ "amount": "10", "requestId": format!("key-{secret}") });
    let path = format!("/wallets/wallet-{secret}/deposit?about={secret}");
    assert_eq!(deployment.post(&path, &body).await, 201);
    assert_eq!(deployment.get(&format!("/wallets/wallet-{secret}?minPosition=0-2")).await, 200);
    assert_eq!(deployment.get(&format!("/nowhere/{secret}")).await, 404);
    let client = reqwest::Client::new();
    let method = reqwest::Method::from_bytes(b"SECRETLY").unwrap();
    client.request(method, format!("{}/wallets", deployment.url)).send().await.unwrap();
    for operators in [&deployment.operators, &deployment.workers_operators] {
        let text =
            reqwest::get(format!("{operators}/metrics")).await.unwrap().text().await.unwrap();
        assert!(!text.contains(secret) && !text.contains("SECRETLY"), "{text}");
    }
    let other = [("http_request_method", "_OTHER")];
    assert_eq!(deployment.scrape().await.count(REQUESTS, &other), 1);
    deployment.stop().await;
}

#[tokio::test]
async fn balances_from_memory_are_told_from_those_that_were_read() {
    let deployment = Deployment::whole(1).await;
    assert_eq!(deployment.post("/wallets/alice/deposit", &json!({ "amount": "10" })).await, 201);
    for _ in 0..4 {
        assert_eq!(deployment.get("/wallets/alice?minPosition=0-2").await, 200);
    }
    let scrape = deployment.scrape().await;
    let hits = scrape.count("florin_balance_cache_hits_total", &[]);
    let misses = scrape.count("florin_balance_cache_misses_total", &[]);
    assert_eq!(hits + misses, 4);
    assert!(hits >= 1 && misses >= 1, "{hits} from memory, {misses} read");
    deployment.stop().await;
}

#[tokio::test]
async fn messages_that_come_again_are_counted_by_consumer() {
    let deployment = Deployment::of_service(Store::postgres(1).await).await;
    let nats = OwnNats::start().await;
    assert_eq!(deployment.post("/wallets/alice/deposit", &json!({ "amount": "10" })).await, 201);
    let relay = nats.worker(&deployment.store).await;
    all_published(&deployment.store, &relay).await;
    relay.stop().await;
    // Somebody takes both events in the name of a read model, and acknowledges neither.
    let config = pull::Config {
        durable_name: Some("balance-0".to_owned()),
        ack_policy: AckPolicy::All,
        ack_wait: Duration::from_millis(500),
        ..pull::Config::default()
    };
    let jetstream = nats.jetstream().await;
    let consumer: Consumer<pull::Config> =
        jetstream.create_consumer_on_stream(config, LEDGER.name).await.unwrap();
    let taken = consumer.fetch().max_messages(2).messages().await.unwrap();
    assert_eq!(taken.count().await, 2);

    let deployment = deployment.joined_by_worker(nats).await;
    eventually("both have come again", async || {
        let scrape = Scrape::of(&deployment.workers_operators).await?;
        let again = |consumer| {
            scrape.count("florin_jetstream_redeliveries_total", &[("consumer", consumer)])
        };
        match (again("balance-0"), again("stats-0")) {
            (2, 0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    deployment.stop().await;
}

//! Florin's own work, with no more rights than the configuration gives it: everything that it has to do
//! with NATS is done once, by processes of its own.

use async_nats::jetstream::Context;
use florin_adapters::nats::stream::{ALERTS, LEDGER, OPERATIONS};
use florin_tests::lag::heads;
use florin_tests::nats::pool;
use florin_tests::process::{Florin, free_port, run};
use florin_tests::store::{Store, eventually};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Guarded;

async fn post(url: &str, body: Value, is_async: bool) -> Response {
    let request = Client::new().post(url).json(&body);
    let prefer = if is_async { "respond-async" } else { "handling=strict" };
    request.header("prefer", prefer).send().await.unwrap()
}

/// Waits until a stream has so many messages.
async fn has(jetstream: &Context, stream: &str, count: u64) {
    eventually(&format!("{stream} has {count} messages"), async || {
        let found = jetstream.get_stream(stream).await.map_err(|error| error.to_string())?;
        match found.cached_info().state.messages {
            messages if messages == count => Ok(()),
            messages => Err(messages.to_string()),
        }
    })
    .await;
}

/// A message that is not understood is set aside, sent again, and set aside again.
async fn replays(nats: &Guarded, url: &str) {
    let payments = nats.service("payments").await;
    let sent = payments.jetstream().publish("transaction.completed", "{".into()).await.unwrap();
    sent.await.unwrap();
    let attempts = async |attempts: u32| {
        eventually(&format!("it is set aside, time {attempts}"), async || {
            let list = format!("{url}/dead-letters?projection=intake&state=open");
            let list: Value = Client::new().get(list).send().await.unwrap().json().await.unwrap();
            let letter = list["data"][0].clone();
            if letter["attempts"] == attempts { Ok(letter) } else { Err(list) }
        })
        .await
    };
    let letter = attempts(1).await;
    let replay = format!("{url}/dead-letters/{}/replay", letter["id"].as_str().unwrap());
    assert_eq!(post(&replay, json!({}), false).await.status(), 200);
    attempts(2).await;
}

#[tokio::test]
async fn the_whole_pipeline_runs_with_the_rights_of_the_configuration() {
    let (store, nats) = tokio::join!(Store::postgres(2), Guarded::start());
    let Store::Postgres(_, urls) = &store else { unreachable!() };
    let (dir, port) = (TempDir::new().unwrap(), free_port());
    let (nats_url, ca) = (nats.url("florin"), nats.ca());
    let access = ["--nats-url", &nats_url, "--nats-ca", ca.to_str().unwrap()];
    let mut api = Florin::serve(dir.path(), port, &urls.service, &access);
    let intake = ["--intake", "on"];
    let mut worker =
        Florin::worker_told(dir.path(), &urls.service, &[&access[..], &intake].concat());
    let url = format!("http://127.0.0.1:{port}");
    api.ready(&url).await;
    let deposited =
        post(&format!("{url}/wallets/alice/deposit"), json!({ "amount": "90000" }), false).await;
    assert_eq!(deposited.status(), 201);
    // By way of the work queue; and so much at once that an alert comes of it.
    let body = json!({ "amount": "10000.00", "requestId": "w-1" });
    let accepted = post(&format!("{url}/wallets/alice/withdraw"), body, true).await;
    assert_eq!(accepted.status(), 202);
    let location = accepted.headers()["location"].to_str().unwrap().to_owned();
    eventually("the operation ends", async || {
        let read = Client::new().get(format!("{url}{location}")).send().await.unwrap();
        let read: Value = read.json().await.unwrap();
        if read["state"] == "completed" { Ok(()) } else { Err(read) }
    })
    .await;
    let jetstream = async_nats::jetstream::new(nats.florin().await);
    let published = heads(pool(&store)).await.into_iter().map(|(_, head)| head).sum();
    has(&jetstream, LEDGER.name, published).await;
    has(&jetstream, ALERTS.name, 1).await;
    has(&jetstream, OPERATIONS.name, 0).await;
    eventually("the read models have it from the stream", async || {
        let read = Client::new().get(format!("{url}/wallets/alice")).send().await.unwrap();
        let read: Value = read.json().await.unwrap();
        if read["balance"] == "80000.00" { Ok(()) } else { Err(read) }
    })
    .await;
    // What people run, who look after it.
    let database = ["--database-url", &urls.service];
    for verb in ["verify", "doctor"] {
        let ran = run([&[verb], &database[..], &access[..]].concat()).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let (partition, _) = heads(pool(&store)).await.into_iter().find(|(_, head)| *head > 0).unwrap();
    let range = ["--partition", &partition.to_string(), "--from", "1", "--to", "1"];
    let again =
        run([&["relay", "republish"], &range[..], &database[..], &access[..]].concat()).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    replays(&nats, &url).await;
    for florin in [&mut api, &mut worker] {
        assert!(florin.terminate().await.success());
        assert!(!florin.log().contains("ermissions"), "{}", florin.log());
    }
}

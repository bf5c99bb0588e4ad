//! The subscribers of the kit and of the examples, with no more rights than the configuration gives a
//! service: each is named as its user, and trusts the certificate that it is told to.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, pull};
use florin_client::{
    Florin as Api, Positions, Subscriber, Subscription, connect_nats, connect_nats_trusting,
};
use florin_tests::guest::Guest;
use florin_tests::process::{Florin, free_port};
use florin_tests::store::{DEADLINE, Store, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use super::Guarded;
use crate::subscribers::languages::{examples, python, typescript};

/// How long nothing is to be heard of a connection that must not come to be: it is tried again every
/// second at least.
const SILENCE: Duration = Duration::from_secs(3);

/// Florin in processes of its own, and the server that guards its messages.
struct Deployed {
    nats: Guarded,
    api: Florin,
    worker: Florin,
    url: String,
    dir: TempDir,
    /// Its database lives as long.
    _store: Store,
}

impl Deployed {
    async fn start() -> Self {
        let (store, nats) = tokio::join!(Store::postgres(1), Guarded::start());
        let Store::Postgres(_, urls) = &store else { unreachable!() };
        let (dir, port) = (TempDir::new().unwrap(), free_port());
        let (nats_url, ca) = (nats.url("florin"), nats.ca());
        let access = ["--nats-url", &nats_url, "--nats-ca", ca.to_str().unwrap()];
        let mut api = Florin::serve(dir.path(), port, &urls.service, &access);
        let worker = Florin::worker_told(dir.path(), &urls.service, &access);
        let url = format!("http://127.0.0.1:{port}");
        api.ready(&url).await;
        Self { nats, api, worker, url, dir, _store: store }
    }

    async fn post(&self, path: &str, body: Value) {
        let url = format!("{}{path}", self.url);
        let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Waits until a consumer has been sent something, and has acknowledged all of the stream.
    async fn has_read_all(&self, stream: &str, consumer: &str) {
        let jetstream = async_nats::jetstream::new(self.nats.florin().await);
        eventually(&format!("{consumer} has read {stream}"), async || {
            let found = jetstream.get_stream(stream).await.map_err(|error| error.to_string())?;
            let found: Consumer<pull::Config> =
                found.get_consumer(consumer).await.map_err(|error| error.to_string())?;
            let info = found.cached_info();
            let left = info.num_pending + u64::try_from(info.num_ack_pending).unwrap();
            let sent = info.delivered.stream_sequence;
            if left == 0 && sent > 0 { Ok(()) } else { Err(format!("{sent} sent, {left} left")) }
        })
        .await;
    }

    /// Starts a program of the examples as a user, with its state in a file.
    fn guest(&self, user: &str, program: &OsStr, script: &Path) -> Guest {
        let (url, ca) = (self.nats.url(user), self.nats.ca());
        let state = self.dir.path().join(format!("state-of-{user}"));
        let environment = [
            ("FLORIN_URL", &*self.url),
            ("NATS_URL", &url),
            ("NATS_CA", ca.to_str().unwrap()),
            ("NAME", user),
            ("STATE", state.to_str().unwrap()),
        ];
        let log = self.dir.path().join(format!("log-of-{user}"));
        Guest::start(&log, program, &[script.as_os_str()], &environment)
    }

    async fn finish(mut self) {
        for florin in [&mut self.api, &mut self.worker] {
            assert!(florin.terminate().await.success());
        }
    }
}

#[track_caller]
fn expect_no_violation(guest: &Guest) {
    let log = guest.log();
    assert!(!log.to_lowercase().contains("permission"), "{log}");
}

#[tokio::test]
async fn the_kit_follows_with_the_rights_of_a_service_downstream() {
    let florin = Deployed::start().await;
    let (url, ca) = (florin.nats.url("billing"), florin.nats.ca());
    let nats = connect_nats_trusting(&url, &ca).await.unwrap();
    let subscription = Subscription::to_all("billing").unwrap();
    let api = Api::new(&florin.url).unwrap();
    let mut subscriber =
        Subscriber::open(api, nats, subscription, Positions::default()).await.unwrap();
    florin.post("/wallets/alice/deposit", json!({ "amount": "5" })).await;
    // The wallet is opened, and then has the money.
    let mut positions = Vec::new();
    while positions.len() < 2 {
        let batch = timeout(DEADLINE, subscriber.next()).await.expect("events come").unwrap();
        positions.extend(batch.events.iter().map(|event| event.position));
        subscriber.acknowledge().await;
    }
    assert_eq!(positions, [1, 2]);
    florin.has_read_all("LEDGER", "billing").await;
    florin.finish().await;
}

#[tokio::test]
async fn the_kit_says_nothing_to_a_server_that_it_is_not_told_to_trust() {
    let nats = Guarded::start().await;
    let stranger = connect_nats(&nats.url("billing")).await.unwrap();
    let asked = timeout(SILENCE, stranger.flush()).await;
    let connects = stranger.statistics().connects.load(Ordering::Relaxed);
    assert!(asked.is_err() && connects == 0, "{asked:?}, connected {connects} times");
    let empty = nats.ca().with_file_name("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let refused = connect_nats_trusting(&nats.url("billing"), &empty).await.unwrap_err();
    assert!(refused.to_string().contains("empty.pem has no certificates in PEM"), "{refused}");
}

#[tokio::test]
async fn the_subscriber_in_typescript_follows_with_the_rights_of_a_service_downstream() {
    let (program, florin) = (typescript().await, Deployed::start().await);
    let mut guest = florin.guest("billing", OsStr::new("node"), &program);
    florin.post("/wallets/alice/deposit", json!({ "amount": "5" })).await;
    florin.has_read_all("LEDGER", "billing").await;
    expect_no_violation(&guest);
    guest.kill_hard().await;
    florin.finish().await;
}

#[tokio::test]
async fn the_programs_in_python_read_with_the_rights_that_their_users_have() {
    let (python, florin) = (python().await, Deployed::start().await);
    let script = |name: &str| examples().join("python").join(name);
    let mut billing = florin.guest("billing", python.as_os_str(), &script("subscriber.py"));
    let mut people = florin.guest("people", python.as_os_str(), &script("alerts.py"));
    florin.post("/wallets/alice/deposit", json!({ "amount": "20000" })).await;
    florin.post("/wallets/alice/withdraw", json!({ "amount": "15000" })).await;
    florin.has_read_all("LEDGER", "billing").await;
    florin.has_read_all("ALERTS", "people").await;
    assert!(people.log().contains("ALERT largeOutflow:0-3 wallet alice: "), "{}", people.log());
    for guest in [&mut billing, &mut people] {
        expect_no_violation(guest);
        guest.kill_hard().await;
    }
    florin.finish().await;
}

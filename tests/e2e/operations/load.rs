//! Clients that do not wait, and the proof of what became of everything that they were promised.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use florin_domain::event_metadata::request_id;
use florin_domain::journal::RecordedEvent;
use florin_tests::feed::random;
use florin_tests::pipeline::Pipeline;
use florin_tests::service::{send, try_send};
use florin_tests::store::{eventually, recorded};
use futures::future::join_all;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

/// How many clients there are, and how long one rests between two commands: some hundred a second,
/// so that every process has something in hand when it dies.
const CLIENTS: u64 = 8;
const REST: Duration = Duration::from_millis(20);

/// Few, so that commands meet.
const WALLETS: u64 = 10;

/// How many operations are read through HTTP in the end, of those that are proved.
const SAMPLE: usize = 100;

/// One 202, or what became of it when that was lost on the way.
#[derive(Debug, Clone)]
struct Promise {
    id: Uuid,
    kind: &'static str,
    /// The key under which its events are on record.
    key: String,
}

/// Clients at work, until they are told to stop.
pub(super) struct Load {
    url: String,
    client: Client,
    is_over: AtomicBool,
    promises: Mutex<Vec<Promise>>,
}

impl Load {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: Client::builder().timeout(Duration::from_secs(20)).build().unwrap(),
            is_over: AtomicBool::new(false),
            promises: Mutex::default(),
        }
    }

    /// Sends commands while something happens; returns how many were promised.
    pub(super) async fn during(&self, mut seed: u64, what: impl Future<Output = ()>) -> usize {
        let seeds: Vec<u64> = (0..CLIENTS).map(|_| random(&mut seed)).collect();
        let clients = join_all(seeds.into_iter().map(|seed| self.client(seed)));
        let what = async {
            what.await;
            self.is_over.store(true, Ordering::Relaxed);
        };
        tokio::join!(what, clients);
        self.promises.lock().unwrap().len()
    }

    async fn client(&self, mut seed: u64) {
        while !self.is_over.load(Ordering::Relaxed) {
            self.one(&mut seed).await;
            sleep(REST).await;
        }
    }

    /// One command: with a key, until it is promised; without, once.
    async fn one(&self, seed: &mut u64) {
        let (kind, path, mut body) = command(seed);
        let key = (!random(seed).is_multiple_of(3)).then(|| Uuid::new_v4().to_string());
        if let Some(key) = &key {
            body["requestId"] = key.as_str().into();
        }
        let is_sent_twice = key.is_some() && random(seed).is_multiple_of(4);
        loop {
            if let Some(id) = self.promised(&path, &body).await {
                let key = key.clone().unwrap_or_else(|| format!("operation:{id}"));
                self.promises.lock().unwrap().push(Promise { id, kind, key });
                break;
            }
            if key.is_none() || self.is_over.load(Ordering::Relaxed) {
                return;
            }
            sleep(REST).await;
        }
        if is_sent_twice {
            // And once more, waiting for it: whatever is answered, it takes effect once.
            let request = self.client.post(format!("{}{path}", self.url)).json(&body);
            let _ = try_send(request).await;
        }
    }

    async fn promised(&self, path: &str, body: &Value) -> Option<Uuid> {
        let request = self.client.post(format!("{}{path}", self.url));
        let answer = try_send(request.header("prefer", "respond-async").json(body)).await.ok()?;
        match answer.status {
            200 | 202 => Some(answer.text_of("id").parse().unwrap()),
            _ => {
                assert_eq!(answer.status, 503, "{path} {body}: {answer}");
                None
            }
        }
    }

    /// Waits until every operation has ended, by itself; each in one outcome, which is in the journal
    /// once if it took effect, and not at all if it did not.
    pub(super) async fn every_promise_is_kept(&self, pipeline: &Pipeline) {
        let promises = self.promises.lock().unwrap().clone();
        eventually("every operation ends", async || {
            let open = "SELECT count(*) FROM operations WHERE finished_at IS NULL";
            let open: i64 = sqlx::query_scalar(open).fetch_one(pipeline.pool()).await.unwrap();
            if open == 0 { Ok(()) } else { Err(open) }
        })
        .await;
        let ended = ended(pipeline).await;
        let mut events: HashMap<String, Vec<RecordedEvent>> = HashMap::new();
        for event in recorded(pipeline.pool()).await {
            let key = request_id(&event.metadata).unwrap_or_default();
            events.entry(key).or_default().push(event);
        }
        let (mut completed, mut refused) = (0, 0);
        for promise in &promises {
            let Some((state, verdict)) = ended.get(&promise.id) else {
                panic!("{promise:?} is not on record");
            };
            let events = events.get(&promise.key).map_or(&[][..], Vec::as_slice);
            match state.as_str() {
                "completed" => completed += 1,
                "refused" => refused += 1,
                other => panic!("{promise:?} is {other}"),
            }
            expect_effect(promise, state == "completed", events, verdict);
        }
        assert!(completed > 0 && refused > 0, "{completed} completed, {refused} refused");
        eprintln!("{completed} completed, {refused} refused");
        self.told(&promises, &ended).await;
    }

    /// What clients read is what is on record.
    async fn told(&self, promises: &[Promise], ended: &HashMap<Uuid, (String, Value)>) {
        let step = promises.len().div_ceil(SAMPLE);
        for promise in promises.iter().step_by(step) {
            let url = format!("{}/operations/{}", self.url, promise.id);
            let read = send(self.client.request(Method::GET, url)).await;
            assert_eq!(read.expect(200).text_of("state"), ended[&promise.id].0, "{read}");
            assert_eq!(read.body["request"]["type"], promise.kind, "{read}");
            assert!(read.body["result"]["status"].is_number(), "{read}");
        }
    }
}

/// Something that moves money, or cannot.
fn command(seed: &mut u64) -> (&'static str, String, Value) {
    let (from, to) = (random(seed) % WALLETS, random(seed) % WALLETS);
    let amount = random(seed) % 20 + 1;
    let at = |verb: &str| format!("/wallets/w-{from}/{verb}");
    match random(seed) % 8 {
        0..=2 => ("deposit", at("deposit"), json!({ "amount": amount })),
        3..=4 => ("withdraw", at("withdraw"), json!({ "amount": amount })),
        // Sometimes to itself, which is refused.
        _ => {
            let body = json!({ "toWalletId": format!("w-{to}"), "amount": amount });
            ("transfer", at("transfer"), body)
        }
    }
}

async fn ended(pipeline: &Pipeline) -> HashMap<Uuid, (String, Value)> {
    let rows: Vec<(Uuid, String, String)> =
        sqlx::query_as("SELECT id, state, coalesce(verdict, 'null')::text FROM operations")
            .fetch_all(pipeline.pool())
            .await
            .unwrap();
    let read = |text: String| serde_json::from_str(&text).unwrap();
    rows.into_iter().map(|(id, state, verdict)| (id, (state, read(verdict)))).collect()
}

/// The events of a key are those of one effect, or of none.
#[track_caller]
fn expect_effect(promise: &Promise, is_done: bool, events: &[RecordedEvent], verdict: &Value) {
    let count = |name: &str| events.iter().filter(|event| event.event_type == name).count();
    let of = [
        count("FundsDeposited"),
        count("FundsWithdrawn"),
        count("FundsCredited"),
        count("FundsDebited") - count("FundsRefunded"),
    ];
    let expected = match (is_done, promise.kind) {
        (false, _) => [0, 0, 0, 0],
        (true, "deposit") => [1, 0, 0, 0],
        (true, "withdraw") => [0, 1, 0, 0],
        (true, _) => [0, 0, 1, 1],
    };
    assert_eq!(of, expected, "{promise:?}: {events:?} for {verdict}");
}

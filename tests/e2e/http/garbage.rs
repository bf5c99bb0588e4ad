//! Whatever is sent: the service goes on, and the fault is never its own.

use florin_tests::service::Service;
use florin_tests::store::DEADLINE;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How many requests each lane sends.
const REQUESTS: usize = 300;

/// How many lanes there are, each with its own seed.
const LANES: u64 = 8;

const METHODS: [&str; 8] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "BREW", "get"];

const PATHS: [&str; 23] = [
    "/wallets",
    "/wallets/~",
    "/wallets/~/deposit",
    "/wallets/~/withdraw",
    "/wallets/~/transfer",
    "/wallets/~/freeze",
    "/wallets/~/close",
    "/wallets/~/history",
    "/wallets/~/transactions",
    "/wallets/~/stats",
    "/wallets/~/stream",
    "/wallet/~",
    "/v1/wallets/~",
    "/events",
    "/events/stream",
    "/transfers",
    "/transfers/~",
    "/fraud/alerts",
    "/fraud/alerts/~/dismiss",
    "/dead-letters/~",
    "/dead-letters/~/replay",
    "/docs/~",
    "/~",
];

const IDS: [&str; 10] =
    ["a", "%00", "%FF%FE", "..", "%2e%2e%2f", "a/b/c", "transfer", "-1", "0-1", "largeOutflow:0-1"];

const PARAMETERS: [&str; 22] = [
    "limit",
    "cursor",
    "page",
    "skip",
    "take",
    "from",
    "to",
    "days",
    "type",
    "minAmount",
    "maxAmount",
    "counterparty",
    "owner",
    "currency",
    "status",
    "minPosition",
    "consistency",
    "wallet",
    "partition",
    "lastEventId",
    "rule",
    "state",
];

const FIELDS: [&str; 12] = [
    "amount",
    "balance",
    "initialBalance",
    "currency",
    "id",
    "owner",
    "metadata",
    "requestId",
    "toWalletId",
    "fromWalletId",
    "reason",
    "by",
];

const VALUES: [&str; 24] = [
    "1",
    "-1",
    "0",
    "1.5",
    "1e400",
    "-0.0",
    "18446744073709551616",
    "99999999999999999999999999999999999999",
    "null",
    "true",
    "\"\"",
    "\"x\"",
    "\"12.50\"",
    "\"USD\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[]",
    "[[[[[[]]]]]]",
    "{}",
    "{\"a\":{\"a\":{}}}",
    "2026-01-31T12:00:00Z",
    // There from the beginning: nobody waits for what never comes, as one would with another one.
    "0-1",
    "%F0%9F%92%B8",
    "+",
];

const HEADERS: [&str; 10] = [
    "idempotency-key",
    "if-match",
    "florin-position",
    "last-event-id",
    "traceparent",
    "accept",
    "origin",
    "expect",
    "x-forwarded-for",
    "cookie",
];

fn bytes(random: &mut StdRng, max: usize) -> Vec<u8> {
    let length = random.random_range(0..max);
    (0..length).map(|_| random.random()).collect()
}

fn one<'a>(random: &mut StdRng, of: &[&'a str]) -> &'a str {
    of.choose(random).unwrap()
}

/// A request that looks like one, with something wrong in most of its places.
fn request(random: &mut StdRng) -> Vec<u8> {
    let method = one(random, &METHODS);
    let mut target = one(random, &PATHS).replace('~', one(random, &IDS));
    for place in 0..random.random_range(0..3) {
        let (name, value) = (one(random, &PARAMETERS), one(random, &VALUES));
        target += &format!("{}{name}={value}", if place == 0 { '?' } else { '&' });
    }
    let fields = random.random_range(0..4);
    let fields: Vec<String> = (0..fields)
        .map(|_| format!("\"{}\":{}", one(random, &FIELDS), one(random, &VALUES)))
        .collect();
    let body = match random.random_range(0..4) {
        0 => bytes(random, 200),
        1 => Vec::new(),
        _ => format!("{{{}}}", fields.join(",")).into_bytes(),
    };
    let mut text = format!("{method} {} HTTP/1.1\r\nhost: a\r\n", target.replace(' ', "+"));
    text += "content-type: application/json\r\nconnection: close\r\n";
    let mut text = text.into_bytes();
    if random.random_bool(0.5) {
        let value: Vec<u8> = match random.random_bool(0.5) {
            true => one(random, &VALUES).bytes().collect(),
            false => bytes(random, 80).into_iter().filter(|byte| *byte >= b' ').collect(),
        };
        text.extend(format!("{}: ", one(random, &HEADERS)).bytes());
        text.extend(value);
        text.extend(b"\r\n");
    }
    text.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
    text.extend(body);
    text
}

/// Sends bytes, and nothing more if they are no whole request; the status of the answer, if any.
async fn status_of(address: &str, sent: &[u8], is_whole: bool) -> Option<u16> {
    let mut client = TcpStream::connect(address).await.unwrap();
    // It may be cut off before it has said everything.
    let _ = client.write_all(sent).await;
    if !is_whole {
        let _ = client.shutdown().await;
    }
    let mut line = [0; 12];
    let read = timeout(DEADLINE, client.read_exact(&mut line)).await.expect("no answer");
    read.ok()?;
    std::str::from_utf8(&line).unwrap().strip_prefix("HTTP/1.1 ")?.parse().ok()
}

#[tokio::test]
async fn whatever_is_sent_the_service_goes_on_and_is_not_at_fault() {
    let service = Service::start(1).await;
    service.post("/wallets", json!({ "id": "a", "balance": 5 })).await.expect(201);
    let address = service.url().strip_prefix("http://").unwrap();
    let lanes = (0..LANES).map(|seed| async move {
        let mut random = StdRng::seed_from_u64(seed);
        let mut answered = 0;
        for number in 0..REQUESTS {
            let sent = match number % 8 {
                0 => bytes(&mut random, 2_000),
                1 => {
                    let mut cut = request(&mut random);
                    cut.truncate(random.random_range(0..cut.len()));
                    cut
                }
                _ => request(&mut random),
            };
            let status = status_of(address, &sent, number % 8 > 1).await;
            answered += usize::from(status.is_some());
            let text = String::from_utf8_lossy(&sent);
            assert!(status.is_none_or(|status| status < 500), "{status:?}: seed {seed}: {text}");
        }
        answered
    });
    let answered = futures::future::join_all(lanes).await;
    assert!(answered.iter().all(|count| *count > REQUESTS / 2), "{answered:?}");
    service.post("/wallets/a/deposit", json!({ "amount": 1 })).await.expect(201);
    service.finish().await;
}

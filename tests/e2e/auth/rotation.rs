//! The keys of an issuer change while the service runs: a real server publishes them.

use std::sync::Arc;
use std::time::Duration;

use florin_adapters::auth::{Auth, MAX_JWKS_BYTES, Pace, Settings, Verifier};
use florin_tests::issuer::{Kind, Pair, Publisher, claims, expected, jwks};
use florin_tests::service::{Answer, Service};
use florin_tests::store::eventually;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

/// Keys that are only read again for a key that is not known.
const WHEN_UNKNOWN: Pace =
    Pace { max_age: Duration::from_secs(3600), min_interval: Duration::from_millis(200) };

/// Keys that are read again by themselves.
const IN_TIME: Pace =
    Pace { max_age: Duration::from_millis(100), min_interval: Duration::from_secs(3600) };

fn pair(kid: &str) -> Pair {
    Pair::new(kid, Kind::Ec)
}

fn published(pairs: &[&Pair]) -> Value {
    jwks(pairs.iter().copied())
}

fn token(pair: &Pair) -> String {
    pair.token(&claims("alice", "wallet:read", json!({})))
}

async fn ask(service: &Service, token: &str) -> Answer {
    service.call_as(token, Method::GET, "/wallets", Value::Null).await
}

async fn until(service: &Service, token: &str, status: u16) {
    eventually("the keys are others", async || match ask(service, token).await.status {
        found if found == status => Ok(()),
        found => Err(found),
    })
    .await;
}

#[tokio::test]
async fn a_new_key_is_taken_with_its_first_token() {
    let (old, new) = (pair("old"), pair("new"));
    let publisher = Publisher::start(&published(&[&old]));
    let service = Service::guarded(1, publisher.auth(WHEN_UNKNOWN).await).await;
    ask(&service, &token(&old)).await.expect(200);
    publisher.answer(200, &published(&[&old, &new]).to_string());
    tokio::time::sleep(WHEN_UNKNOWN.min_interval).await;
    // Many at once, and one of them asks for all.
    let before = publisher.asked();
    let tokens: Vec<String> = (0..20).map(|_| token(&new)).collect();
    for answer in join_all(tokens.iter().map(|token| ask(&service, token))).await {
        answer.expect(200);
    }
    assert_eq!(publisher.asked(), before + 1);
    ask(&service, &token(&old)).await.expect(200);
    service.finish().await;
}

#[tokio::test]
async fn a_key_that_is_withdrawn_is_not_trusted_any_more() {
    let (old, new) = (pair("old"), pair("new"));
    let publisher = Publisher::start(&published(&[&old]));
    let service = Service::guarded(1, publisher.auth(IN_TIME).await).await;
    let known = token(&old);
    ask(&service, &known).await.expect(200);
    publisher.answer(200, &published(&[&new]).to_string());
    // Nor is a token that was verified by it before.
    until(&service, &known, 401).await;
    ask(&service, &token(&new)).await.expect(200);
    service.finish().await;
}

#[tokio::test]
async fn what_cannot_be_read_leaves_the_keys_as_they_are() {
    let (key, other) = (pair("key"), pair("other"));
    let publisher = Publisher::start(&published(&[&key]));
    let service = Service::guarded(1, publisher.auth(IN_TIME).await).await;
    let large = format!("{{\"keys\":[],\"more\":\"{}\"}}", "x".repeat(MAX_JWKS_BYTES));
    let nothing = json!({ "keys": [] }).to_string();
    for (status, body) in [
        (500, published(&[&other]).to_string()),
        (404, String::new()),
        (302, published(&[&other]).to_string()),
        (200, "<html>".to_owned()),
        (200, nothing),
        (200, large),
    ] {
        publisher.answer(status, &body);
        let before = publisher.asked();
        eventually("it was asked twice", async || match publisher.asked() {
            asked if asked >= before + 2 => Ok(()),
            asked => Err(asked),
        })
        .await;
        // One that is not remembered.
        ask(&service, &token(&key)).await.expect(200);
        ask(&service, &token(&other)).await.expect_problem(401, "invalid-token");
    }
    publisher.answer(200, &published(&[&other]).to_string());
    until(&service, &token(&other), 200).await;
    service.finish().await;
}

#[tokio::test]
async fn invented_names_of_keys_do_not_make_the_service_ask_and_ask() {
    let key = pair("key");
    let publisher = Publisher::start(&published(&[&key]));
    let pace = Pace { min_interval: Duration::from_secs(3600), ..WHEN_UNKNOWN };
    let service = Service::guarded(1, publisher.auth(pace).await).await;
    let before = publisher.asked();
    let invented: Vec<String> = (0..50).map(|n| token(&pair(&format!("k{n}")))).collect();
    for answer in join_all(invented.iter().map(|token| ask(&service, token))).await {
        answer.expect_problem(401, "invalid-token");
    }
    assert_eq!(publisher.asked(), before);
    ask(&service, &token(&key)).await.expect(200);
    service.finish().await;
}

#[tokio::test]
async fn keys_in_a_file_are_read_again_too() {
    let (old, new) = (pair("old"), pair("new"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jwks.json");
    let write = |pairs: &[&Pair]| {
        // As a whole, as those do who change what others read.
        let written = dir.path().join("written");
        std::fs::write(&written, published(pairs).to_string()).unwrap();
        std::fs::rename(&written, &file).unwrap();
    };
    write(&[&old]);
    let jwks = Some(file.to_str().unwrap().parse().unwrap());
    let settings = Settings { jwks, pace: IN_TIME, expected: expected(), ..Settings::default() };
    let auth = Auth::Jwt(Arc::new(Verifier::open(settings).await.unwrap()));
    let service = Service::guarded(1, auth).await;
    ask(&service, &token(&old)).await.expect(200);
    write(&[&new]);
    until(&service, &token(&new), 200).await;
    ask(&service, &token(&old)).await.expect_problem(401, "invalid-token");
    std::fs::remove_file(&file).unwrap();
    tokio::time::sleep(3 * IN_TIME.max_age).await;
    ask(&service, &token(&new)).await.expect(200);
    service.finish().await;
}

//! Of a signup only the user's id is kept: names and addresses are in no table, no stream and no log.

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use florin_tests::nats::OwnNats;
use florin_tests::pipeline::Pipeline;
use florin_tests::store::eventually;
use florin_tests::upstream::{Upstream, signup};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

/// What is in a signup and nowhere else.
const PERSONAL: [&str; 4] = ["Ada ", "King", "Lovelace", "example.com"];

/// Fails the test if a text has something personal in it.
#[track_caller]
fn expect_nothing_personal(place: &str, text: &str) {
    for word in PERSONAL {
        assert!(!text.contains(word), "{word} is in {place}: {text}");
    }
}

/// Every row of every table, as text.
async fn tables(admin: &str) -> Vec<(String, String)> {
    let mut admin = PgConnection::connect(admin).await.unwrap();
    let names = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                  WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    let names: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut admin).await.unwrap();
    let mut all = Vec::new();
    for name in names {
        let rows = format!("SELECT t::text FROM {name} t");
        let rows: Vec<String> = sqlx::query_scalar(&rows).fetch_all(&mut admin).await.unwrap();
        all.extend(rows.into_iter().map(|row| (name.clone(), row)));
    }
    all
}

/// Every message of every stream, with its headers, as text.
async fn streams(nats: &OwnNats) -> Vec<(String, String)> {
    let jetstream = nats.jetstream().await;
    let names: Vec<String> = jetstream.stream_names().try_collect().await.unwrap();
    let mut all = Vec::new();
    for name in names {
        let stream = jetstream.get_stream(&name).await.unwrap();
        let count = usize::try_from(stream.cached_info().state.messages).unwrap();
        // A work queue has no second consumer, and is to be empty.
        if count == 0 {
            continue;
        }
        let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
        let consumer: Consumer<pull::Config> = stream.create_consumer(config).await.unwrap();
        let messages = consumer.fetch().max_messages(count).messages().await.unwrap();
        let messages: Vec<_> = messages.map(|message| message.unwrap()).collect().await;
        assert_eq!(messages.len(), count);
        all.extend(messages.into_iter().map(|message| {
            let body = String::from_utf8_lossy(&message.payload).into_owned();
            (name.clone(), format!("{} {:?} {body}", message.subject, message.headers))
        }));
    }
    all
}

/// A signup as it should be, and in every way in which it should not.
fn signups() -> Vec<String> {
    let good = signup("u-1");
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body.to_string()
    };
    let whole = good.to_string();
    vec![
        whole.clone(),
        with("id", json!("Ada Lovelace <ada@example.com>")),
        with("id", json!("ada@example.com")),
        with("id", json!(["Ada"])),
        with("id", json!({ "email": "ada@example.com" })),
        with("id", Value::Null),
        // Cut off, no JSON at all, in an array, as a text, and very long.
        whole[..whole.len() - 1].to_owned(),
        whole.replace(':', " Ada "),
        format!("[{whole}]"),
        json!(whole).to_string(),
        with("lastName", json!("Lovelace".repeat(5_000))),
        "Ada Lovelace".to_owned(),
        // Somebody else has that id.
        with("id", json!("mallorys")),
    ]
}

#[tokio::test]
async fn names_and_addresses_are_kept_nowhere() {
    let intake = ["--intake", "on", "--log", "debug"];
    let mut pipeline = Pipeline::with(2, 1, &intake).await;
    let body = json!({ "id": "mallorys", "owner": "mallory" });
    let client = reqwest::Client::new();
    let open = client.post(format!("{}/wallets", pipeline.url())).json(&body);
    assert!(open.send().await.unwrap().status().is_success());
    let upstream = Upstream::on(&pipeline.nats).await;
    let signups = signups();
    for body in &signups {
        upstream.send_text("user.signup", body).await;
    }
    // And to the wrong places.
    for subject in ["transaction.completed", "transaction.failed"] {
        for body in &signups {
            upstream.send_text(subject, body).await;
        }
    }
    upstream.top_up("t-1", "u-1", 5).await;
    upstream.hears("t-1", 1).await;
    upstream.is_dealt_with().await;
    // Two of them are as they should be, where they should be.
    let letters = 3 * signups.len() as i64 - 2;
    eventually("operators are told of all that was not understood", async || {
        let told = "SELECT count(*) FROM intake_letters WHERE told_at IS NOT NULL";
        let told: i64 = sqlx::query_scalar(told).fetch_one(pipeline.pool()).await.unwrap();
        if told == letters { Ok(()) } else { Err(told) }
    })
    .await;
    pipeline.caught_up().await;
    let streams = streams(&pipeline.nats).await;
    let count = |of: &str| streams.iter().filter(|(name, _)| name == of).count() as i64;
    assert_eq!((count("DEAD_LETTERS"), count("OUTCOMES")), (letters, 1));
    assert_eq!((count("INTAKE"), count("LEDGER")), (0, 3));
    let tables = tables(&pipeline.database().admin).await;
    assert!(tables.iter().any(|(name, row)| name == "public.events" && row.contains("u-1")));
    for (place, text) in streams.iter().chain(&tables) {
        expect_nothing_personal(place, text);
    }
    pipeline.worker(0).terminate().await;
    let log = pipeline.worker(0).log();
    assert!(log.contains("DEBUG"), "the log says more than it usually does");
    log.lines().for_each(|line| expect_nothing_personal("the log", line));
    pipeline.start_worker(0);
    pipeline.finish_with_letters().await;
}

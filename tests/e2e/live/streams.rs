//! What is in a stream, where it begins, and how it ends.

use std::time::Duration;

use florin_adapters::live::Bounds;
use florin_tests::ask::id_in;
use florin_tests::event_stream::Block;
use florin_tests::service::{Service, send};
use florin_tests::store::{Store, eventually};
use reqwest::Method;
use serde_json::json;

use super::IMPATIENT;

#[tokio::test]
async fn a_wallet_s_stream_begins_now_and_has_its_events_and_no_others() {
    let service = Service::start(1).await;
    service.post("/wallets", json!({ "id": "alice", "balance": "1.00" })).await.expect(201);
    let mut stream = service.stream("/wallets/alice/stream", None).await;
    assert_eq!(stream.last_id, "0-2", "what was before is not told");
    service.post("/wallets/bob/deposit", json!({ "amount": 9 })).await.expect(201);
    let body = json!({ "amount": "2.50", "requestId": "d-1", "metadata": { "a": "b\nc" } });
    let answer = service.post("/wallets/alice/deposit", body).await;
    let (id, data) = stream.event().await;
    assert_eq!(id, "0-5");
    assert_eq!(data["recordedAt"], answer.body["recordedAt"]);
    assert_eq!(data["payload"]["transactionId"], answer.body["transactionId"]);
    for (name, expected) in [
        ("id", json!("0-5")),
        ("type", json!("FundsDeposited")),
        ("eventVersion", json!("1.0")),
        ("version", json!(3)),
        ("walletId", json!("alice")),
        ("balance", json!("3.50")),
        ("partition", json!(0)),
        ("position", json!(5)),
        ("requestId", json!("d-1")),
    ] {
        assert_eq!(data[name], expected, "{name} in {data}");
    }
    assert_eq!(data["payload"]["amount"], "2.50");
    assert_eq!(data["payload"]["metadata"], json!({ "a": "b\nc" }));

    let body = json!({ "toWalletId": "bob", "amount": 1 });
    let transfer = service.post("/wallets/alice/transfer", body).await;
    let (_, data) = stream.event().await;
    assert_eq!(data["type"], "FundsDebited");
    assert_eq!(data["payload"]["transferId"], transfer.body["transferId"]);
    service.post("/wallets/alice/freeze", json!({ "reason": "lost" })).await.expect(200);
    let (_, data) = stream.event().await;
    assert_eq!(
        (&data["type"], &data["payload"]["reason"]),
        (&json!("WalletFrozen"), &json!("lost"))
    );
    service.finish().await;
}

#[tokio::test]
async fn the_stream_of_events_is_narrowed_by_type_wallet_and_partition() {
    let service = Service::start(4).await;
    let (alice, bob) = (id_in(0, 4, "alice").to_string(), id_in(2, 4, "bob").to_string());
    let of_alice = ["FundsDebited", "FundsDeposited", "TransferCompleted", "TransferDebited"];
    let of_alice = [&of_alice[..], &["TransferInitiated", "WalletOpened"]].concat();
    let of_bob = ["FundsCredited", "WalletOpened"];
    let by_type = "/events/stream?type=FundsDebited,TransferCompleted".to_owned();
    let cases = [
        ("/v1/events/stream".to_owned(), "0-0,1-0,2-0,3-0", [&of_alice[..], &of_bob].concat()),
        (by_type, "0-0,1-0,2-0,3-0", vec!["FundsDebited", "TransferCompleted"]),
        // One that will be is waited for.
        (format!("/events/stream?wallet={bob}"), "2-0", of_bob.to_vec()),
        ("/events/stream?partition=2".to_owned(), "2-0", of_bob.to_vec()),
        (format!("/events/stream?wallet={alice}&type=FundsDebited"), "0-0", vec!["FundsDebited"]),
    ];
    let mut streams = Vec::new();
    for (path, begins, types) in &cases {
        let stream = service.stream(path, None).await;
        assert_eq!(stream.last_id, *begins);
        streams.push((stream, types));
    }
    let body = json!({ "id": alice, "balance": 5 });
    service.post("/wallets", body).await.expect(201);
    let body = json!({ "toWalletId": bob, "amount": 2 });
    service.post(&format!("/wallets/{alice}/transfer"), body).await.expect(201);
    // The same from the journal as it was live.
    for (path, begins, types) in &cases {
        streams.push((service.stream(path, Some(begins)).await, types));
    }
    for (mut stream, expected) in streams {
        let mut types = Vec::new();
        for _ in expected {
            types.push(stream.event().await.1["type"].as_str().unwrap().to_owned());
        }
        types.sort();
        let mut expected = expected.clone();
        expected.sort_unstable();
        assert_eq!(types, expected);
    }
    service.finish().await;
}

#[tokio::test]
async fn a_stream_that_cannot_be_is_refused_with_the_way_out() {
    let service = Service::start(4).await;
    let alice = id_in(1, 4, "alice").to_string();
    service.get("/wallets/nobody/stream").await.expect_problem(404, "wallet-not-found");
    service.get("/wallets/a.b/stream").await.expect_problem(400, "invalid-wallet-id");
    for (query, says) in [
        ("type=Nothing", "WalletOpened"),
        ("wallet=a.b", "`wallet`"),
        ("partition=4", "0 to 3"),
        (&*format!("wallet={alice}&partition=2"), "partition 1"),
        ("lastEventId=0-1", "each of the partitions 0 to 3"),
        ("lastEventId=0-0,1-0,2-0,3-1", "ends at 0-0,1-0,2-0,3-0"),
        ("lastEventId=7", "each of the partitions"),
        ("partition=1&lastEventId=0-0", "partition 1"),
        ("partition=1&lastEventId=x", "partition 1"),
    ] {
        let answer = service.get(&format!("/events/stream?{query}")).await;
        let detail = answer.expect_problem(400, "invalid-parameter").text_of("detail");
        assert!(detail.contains(says), "{query}: {detail}");
    }
    let request = service.request(Method::GET, "/events/stream").header("last-event-id", "?");
    let answer = send(request).await;
    answer.expect_problem(400, "invalid-parameter");
    assert_eq!(answer.text_of("header"), "Last-Event-ID");
    service.finish().await;
}

#[tokio::test]
async fn the_header_counts_more_than_the_query_as_browsers_reconnect() {
    let service = Service::start(1).await;
    for _ in 0..3 {
        service.post("/wallets/alice/deposit", json!({ "amount": 1 })).await.expect(201);
    }
    let path = "/wallets/alice/stream?lastEventId=0-1";
    let mut stream = service.stream(path, None).await;
    assert_eq!(stream.event().await.0, "0-2");
    let mut stream = service.stream(path, Some("0-3")).await;
    assert_eq!(stream.event().await.0, "0-4");
    service.finish().await;
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_lives_and_how_far_it_came() {
    let service = Service::streaming(Store::postgres(2).await, IMPATIENT).await;
    let alice = id_in(0, 2, "alice").to_string();
    let path = format!("/wallets/{alice}/deposit");
    let mut stream = service.stream("/events/stream?type=WalletClosed", None).await;
    assert_eq!(stream.next().await, Some(Block::Comment("quiet".to_owned())));
    assert_eq!(stream.last_id, "0-0,1-0");
    service.post(&path, json!({ "amount": 1 })).await.expect(201);
    // Nothing that is wanted has come, and yet the client need not begin there again.
    while stream.last_id != "0-2,1-0" {
        assert_eq!(stream.next().await, Some(Block::Comment("quiet".to_owned())));
    }
    service.finish().await;
}

#[tokio::test]
async fn the_journal_is_followed_only_while_somebody_reads() {
    let mut service = Service::start(1).await;
    // They follow it, too.
    service.stop_work().await;
    let followers = async |expected: i64| {
        let Store::Postgres(journal, _) = service.store() else {
            unreachable!("it is in Postgres")
        };
        let listening = "SELECT count(*) FROM pg_stat_activity \
                         WHERE datname = current_database() AND query = 'LISTEN \"florin_journal\"'";
        eventually("so many follow", async || {
            let found: i64 = sqlx::query_scalar(listening).fetch_one(journal.pool()).await.unwrap();
            if found == expected { Ok(()) } else { Err(found) }
        })
        .await;
    };
    followers(0).await;
    for _ in 0..2 {
        let first = service.stream("/events/stream", None).await;
        let second = service.stream("/events/stream", None).await;
        followers(1).await;
        drop((first, second));
        followers(0).await;
        service.post("/wallets/alice/deposit", json!({ "amount": 1 })).await.expect(201);
    }
    service.finish().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_process_and_says_so() {
    let mut service = Service::start(1).await;
    service.post("/wallets/alice/deposit", json!({ "amount": 1 })).await.expect(201);
    let streams = [
        service.stream("/wallets/alice/stream", None).await,
        service.stream("/events/stream", Some("0-0")).await,
    ];
    service.begin_to_stop();
    for stream in streams {
        assert_eq!(stream.end().await, "shutting-down");
    }
    service.finish().await;
}

#[tokio::test]
async fn a_stream_does_not_last_for_ever() {
    let bounds = Bounds { age: Duration::from_millis(100), ..Bounds::SERVICE };
    let service = Service::streaming(Store::postgres(1).await, bounds).await;
    let stream = service.stream("/events/stream", None).await;
    assert_eq!(stream.end().await, "too-old");
    service.finish().await;
}

#[tokio::test]
async fn a_stream_too_many_is_refused_and_there_is_room_when_another_has_ended() {
    let bounds = Bounds { streams: 2, ..Bounds::SERVICE };
    let service = Service::streaming(Store::postgres(1).await, bounds).await;
    let first = service.stream("/events/stream", None).await;
    let _second = service.stream("/events/stream", None).await;
    let answer = service.get("/events/stream").await;
    answer.expect_problem(503, "too-many-streams").expect_members(json!({ "streams": 2 }));
    service.post("/wallets/alice/deposit", json!({ "amount": 1 })).await.expect(201);
    drop(first);
    eventually("there is room", async || {
        let request = service.request(Method::GET, "/events/stream");
        let response = request.send().await.unwrap();
        if response.status() == 200 { Ok(()) } else { Err(response.status()) }
    })
    .await;
    service.finish().await;
}

//! The read models over HTTP: what a client that wrote reads, what it may ask for, and what it is told
//! when a model is behind.

use std::time::{Duration, Instant};

use florin_adapters::postgres::PostgresJournal;
use florin_application::Settings;
use florin_domain::WalletId;
use florin_tests::ask::{deposit, id, id_in, request, transfer};
use florin_tests::batches::{batch, raw_event};
use florin_tests::service::{Answer, Service, send};
use florin_tests::store::{Store, eventually};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

/// The same ledger, as another process opens it.
async fn another_process(service: &Service) -> Service {
    let Store::Postgres(journal, urls) = service.store() else { unreachable!() };
    let store = Store::Postgres(Box::new(PostgresJournal::clone(journal)), urls.clone());
    Service::on(store, &Settings::default()).await
}

async fn admin(service: &Service) -> PgConnection {
    let Store::Postgres(_, urls) = service.store() else { unreachable!() };
    PgConnection::connect(&urls.admin).await.unwrap()
}

fn amounts(answer: &Answer) -> Vec<&str> {
    let entries = answer.body["data"].as_array().unwrap();
    entries.iter().map(|entry| entry["amount"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn who_writes_reads_it_at_once_in_every_model() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let names = ["a", "b"].map(|name| id_in(partitions - 1, partitions, name));
        let [a, b] = &names;
        for number in 1..=20 {
            let amount = json!({ "amount": number });
            service.post(&format!("/wallets/{a}/deposit"), amount).await.expect(201);
            let sent = json!({ "amount": 1, "toWalletId": b });
            let sent = service.post(&format!("/wallets/{a}/transfer"), sent).await;
            let position = sent.expect(201).body["position"].as_u64().unwrap();

            let balance = service.get(&format!("/wallets/{b}")).await;
            assert_eq!(balance.expect(200).text_of("balance"), format!("{number}.00"));
            let as_of = format!("{}-", partitions - 1);
            let told = balance.header("florin-position").unwrap();
            let told: u64 = told.strip_prefix(&as_of).unwrap().parse().unwrap();
            assert!(told + 1 >= position, "{told} is before the credit at {position}");
            let history = service.get(&format!("/wallets/{a}/history?limit=2")).await;
            assert_eq!(amounts(history.expect(200)), ["1.00", &format!("{number}.00")]);
            let stats = service.get(&format!("/wallets/{a}/stats")).await;
            stats.expect(200).expect_members(json!({
                "depositCount": number, "transferOutCount": number,
                "totalTransferredOut": format!("{number}.00"),
            }));
            let list = service.get("/wallets").await;
            let of_b = list.expect(200).body["data"].as_array().unwrap().iter();
            let of_b = of_b.filter(|wallet| wallet["id"] == b.as_str());
            let balances: Vec<&Value> = of_b.map(|wallet| &wallet["balance"]).collect();
            assert_eq!(balances, [&json!(format!("{number}.00"))]);
        }
        service.finish().await;
    }
}

#[tokio::test]
async fn every_answer_says_what_it_is_as_of() {
    let service = Service::start(4).await;
    let (a, b) = (id_in(0, 4, "a"), id_in(1, 4, "b"));
    let deposited = service.post(&format!("/wallets/{a}/deposit"), json!({ "amount": 5 })).await;
    assert_eq!(deposited.expect(201).header("florin-position"), Some("0-2"));
    let sent = json!({ "amount": 1, "toWalletId": b });
    let sent = service.post(&format!("/wallets/{a}/transfer"), sent).await;
    let [source, target] = [0, 1].map(|partition| {
        let told = sent.expect(201).header("florin-position").unwrap();
        let mut of = told.split(',').filter(|told| told.starts_with(&format!("{partition}-")));
        of.next().unwrap_or_else(|| panic!("nothing of {partition} in {told}")).to_owned()
    });
    let transfer = format!("/transfers/{}", sent.text_of("transferId"));
    assert_eq!(
        service.get(&transfer).await.header("florin-position"),
        sent.header("florin-position")
    );
    for (path, status) in [
        (format!("/wallets/{a}"), 200),
        (format!("/wallets/{a}?consistency=strong"), 200),
        (format!("/wallets/{a}/history"), 200),
        (format!("/wallets/{a}/transactions"), 200),
        (format!("/wallets/{a}/stats"), 200),
        (format!("/wallets/{a}/statement"), 200),
        (format!("/fraud/alerts?wallet={a}&minPosition={source}"), 200),
        (format!("/wallets/{}", id_in(0, 4, "nobody")), 404),
        (format!("/wallets/{}/history", id_in(0, 4, "nobody")), 404),
        (format!("/wallets/{}/stats", id_in(0, 4, "nobody")), 404),
        (format!("/wallets/{}/statement", id_in(0, 4, "nobody")), 404),
        (format!("/ledger/trial-balance?minPosition={source},{target}"), 200),
        (format!("/wallets?minPosition={source},{target}"), 200),
        ("/fraud/alerts".to_owned(), 200),
        ("/fraud/alerts/largeOutflow:0-2".to_owned(), 404),
        (format!("/dead-letters?minPosition={source},{target}"), 200),
        ("/dead-letters/balance:0:1?minPosition=1".to_owned(), 404),
        ("/projections".to_owned(), 200),
    ] {
        let answer = service.get(&path).await;
        let told = answer.expect(status).header("florin-position");
        assert!(told.is_some_and(|told| told.contains("0-")), "{path}: {told:?}");
    }
    service.finish().await;
}

#[tokio::test]
async fn a_read_waits_for_the_position_that_it_is_given() {
    let mut service = Service::start(1).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    for path in ["", "/history", "/stats", "/statement"] {
        service.get(&format!("/wallets/a{path}?minPosition=2")).await.expect(200);
    }
    service.stop_work().await;
    // By another process, so that this one has told nobody of it.
    let other = service.store().process();
    other.submit(request(deposit(&id("a"), "7"))).await.unwrap();
    assert_eq!(service.get("/wallets/a").await.text_of("balance"), "5.00", "nobody asked for more");

    let started = Instant::now();
    let paths = [
        "/wallets/a?minPosition=3",
        "/wallets/a/history?minPosition=0-3",
        "/wallets/a/stats?minPosition=3",
        "/wallets/a/statement?minPosition=3",
        "/wallets?minPosition=3",
        "/fraud/alerts?minPosition=3",
    ];
    for answer in join_all(paths.map(|path| service.get(path))).await {
        answer.expect_problem(503, "read-model-behind").expect_members(json!({
            "partition": 0, "position": 2, "wantedPosition": 3,
        }));
    }
    assert!(started.elapsed() >= Duration::from_secs(5), "{:?}", started.elapsed());
    let now = service.get("/wallets/a?consistency=strong").await;
    assert_eq!(now.expect(200).text_of("balance"), "12.00", "the write side needs no model");

    let request = service.request(Method::GET, "/wallets/a").header("florin-position", "0-3");
    let (answer, worker) = tokio::join!(send(request), async { service.worker() });
    assert_eq!(answer.expect(200).text_of("balance"), "12.00");
    worker.stop().await;
    drop(other);
    service.finish().await;
}

#[tokio::test]
async fn what_is_no_position_is_refused() {
    let service = Service::start(4).await;
    let wallet = id_in(0, 4, "a");
    for (path, parameter) in [
        (format!("/wallets/{wallet}?minPosition=x"), "minPosition"),
        (format!("/wallets/{wallet}/history?minPosition=1-"), "minPosition"),
        ("/wallets?minPosition=7".to_owned(), "minPosition"),
        ("/wallets?minPosition=4-7".to_owned(), "minPosition"),
        (format!("/wallets/{wallet}?consistency=weak"), "consistency"),
        ("/wallets?status=lost".to_owned(), "status"),
        ("/wallets?currency=ABC".to_owned(), "currency"),
        ("/wallets?minBalance=lots".to_owned(), "minBalance"),
        ("/wallets?cursor=a%20b".to_owned(), "cursor"),
        ("/wallets?limit=201".to_owned(), "limit"),
    ] {
        let answer = service.get(&path).await;
        answer.expect_problem(400, "invalid-parameter");
        assert!(answer.text_of("detail").contains(parameter), "{path}: {answer}");
    }
    service.finish().await;
}

#[tokio::test]
async fn a_hot_balance_is_answered_from_memory_until_its_wallet_moves() {
    let service = Service::start(1).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    service.post("/wallets/b/deposit", json!({ "amount": 5 })).await.expect(201);
    let balance =
        async || service.get("/wallets/a").await.expect(200).text_of("balance").to_owned();
    // Once nothing is announced any more, the row is kept.
    let mut admin = admin(&service).await;
    let tampered = "UPDATE balances SET balance = 99 WHERE wallet_id = 'a'";
    eventually("the row is in memory", async || {
        sqlx::query("UPDATE balances SET balance = 5 WHERE wallet_id = 'a'")
            .execute(&mut admin)
            .await
            .unwrap();
        balance().await;
        sqlx::query(tampered).execute(&mut admin).await.unwrap();
        match balance().await.as_str() {
            "5.00" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    service.post("/wallets/b/deposit", json!({ "amount": 1 })).await.expect(201);
    service.get("/wallets/b").await.expect(200);
    assert_eq!(balance().await, "5.00", "another wallet's movement does not concern it");
    service.post("/wallets/a/deposit", json!({ "amount": 1 })).await.expect(201);
    assert_eq!(balance().await, "6.00", "its own does");

    balance().await;
    sqlx::query(tampered).execute(&mut admin).await.unwrap();
    let listening = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                      WHERE query LIKE 'LISTEN%florin_projections%' AND datname = current_database()";
    sqlx::query(listening).execute(&mut admin).await.unwrap();
    eventually("without announcements nothing is answered from memory", async || {
        match balance().await.as_str() {
            "99.00" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    service.finish().await;
}

/// What a client has seen of a wallet: the number of its movements, by each model.
async fn movements(service: &Service, wallet: &WalletId, model: u32) -> u64 {
    match model % 4 {
        0 => {
            let answer = service.get(&format!("/wallets/{wallet}")).await;
            // The first event opened it.
            answer.expect(200).body["version"].as_u64().unwrap() - 1
        }
        1 => {
            let answer = service.get(&format!("/wallets/{wallet}/history?limit=1")).await;
            answer.expect(200).body["data"][0]["entry"].as_u64().unwrap()
        }
        2 => {
            let answer = service.get(&format!("/wallets/{wallet}/stats")).await;
            answer.expect(200).body["depositCount"].as_u64().unwrap()
        }
        _ => {
            let answer = service.get(&format!("/wallets/{wallet}?consistency=strong")).await;
            answer.expect(200).body["version"].as_u64().unwrap() - 1
        }
    }
}

#[tokio::test]
async fn no_client_sees_a_wallet_go_back_in_time_whichever_model_it_asks() {
    let service = Service::start(1).await;
    let other = another_process(&service).await;
    let wallet = id("a");
    service.post("/wallets/a/deposit", json!({ "amount": 1 })).await.expect(201);
    let reads = async {
        let (mut seen, mut kinds) = (0, 0);
        for number in 0..400_u32 {
            // Every order of models, sooner or later.
            let now = movements(&service, &wallet, number + number / 7).await;
            assert!(now >= seen, "{now} movements after {seen}, by read {number}");
            kinds += u32::from(now > seen);
            seen = now;
        }
        assert!(kinds > 10, "the wallet moved meanwhile: {kinds}");
    };
    let writes = async {
        loop {
            other.ledger().submit(request(deposit(&wallet, "1"))).await.unwrap();
        }
    };
    tokio::select! {
        () = reads => {}
        () = writes => unreachable!("it goes on until the reads are done"),
    }
    other.finish().await;
    service.finish().await;
}

#[tokio::test]
async fn what_a_crash_takes_back_is_not_told_until_it_is_there_again() {
    let mut service = Service::start(1).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    assert_eq!(service.get("/wallets/a").await.expect(200).text_of("balance"), "5.00");
    service.stop_work().await;
    // As a crash of Postgres does: batches do not wait for the disk. And connections end.
    let crash = "UPDATE balances SET balance = 0, version = 1, position = 1;
                 UPDATE checkpoints SET position = 1 WHERE projection = 'balance';
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE query LIKE 'LISTEN%florin_projections%'
                    AND datname = current_database()";
    sqlx::raw_sql(crash).execute(&mut admin(&service).await).await.unwrap();
    eventually("the model is known to be behind", async || {
        let answer = service.get("/wallets/a").await;
        if answer.status == 503 {
            return Ok(());
        }
        // From memory, before the connection is missed.
        assert_eq!(answer.expect(200).text_of("balance"), "5.00");
        Err(answer)
    })
    .await;
    let worker = service.worker();
    let read = service.get("/wallets/a").await;
    assert_eq!(read.expect(200).text_of("balance"), "5.00");
    worker.stop().await;
    service.finish().await;
}

#[tokio::test]
async fn another_process_reads_what_was_written_when_it_is_given_the_position() {
    let service = Service::start(4).await;
    let other = another_process(&service).await;
    let (a, b) = (id_in(2, 4, "a"), id_in(3, 4, "b"));
    for number in 1..=20 {
        service.post(&format!("/wallets/{a}/deposit"), json!({ "amount": 2 })).await.expect(201);
        let sent = json!({ "amount": 1, "toWalletId": b });
        let sent = service.post(&format!("/wallets/{a}/transfer"), sent).await;
        let told = sent.expect(201).header("florin-position").unwrap();
        let read = other.get(&format!("/wallets/{b}?minPosition={told}")).await;
        assert_eq!(read.expect(200).text_of("balance"), format!("{number}.00"));
        let read = other.get(&format!("/wallets/{a}/history?limit=1&minPosition={told}")).await;
        assert_eq!(read.expect(200).body["data"][0]["balanceAfter"], format!("{number}.00"));
    }
    other.finish().await;
    service.finish().await;
}

#[tokio::test]
async fn a_history_is_read_page_by_page_and_filtered() {
    let service = Service::start(1).await;
    for amount in 1..=9 {
        let body = json!({ "amount": amount, "requestId": format!("d-{amount}") });
        service.post("/wallets/a/deposit", body).await.expect(201);
    }
    let sent = json!({ "amount": 20, "toWalletId": "b", "metadata": { "order": 7 } });
    let sent = service.post("/wallets/a/transfer", sent).await;
    service.post("/wallets/a/withdraw", json!({ "amount": 3 })).await.expect(201);

    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = service.get(&format!("/wallets/a/history?limit=4{cursor}")).await;
        seen.extend(page.expect(200).body["data"].as_array().unwrap().clone());
        assert_eq!(page.body["hasMore"], page.body["nextCursor"].is_string(), "{page}");
        let Some(next) = page.body["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let entries: Vec<u64> = seen.iter().map(|entry| entry["entry"].as_u64().unwrap()).collect();
    assert_eq!(entries, (1..=11).rev().collect::<Vec<_>>());
    let out = &seen[1];
    for (name, expected) in [
        ("type", json!("transfer_out")),
        ("status", json!("completed")),
        ("amount", json!("20.00")),
        ("balanceAfter", json!("25.00")),
        ("counterparty", json!("b")),
        ("transferId", sent.body["transferId"].clone()),
        ("metadata", json!({ "order": 7 })),
        ("walletId", json!("a")),
    ] {
        assert_eq!(out[name], expected, "{name} in {out}");
    }
    assert_eq!(seen[10]["requestId"], "d-1");

    let numbered = service.get("/wallets/a/history?page=2&limit=4").await;
    numbered.expect(200).expect_members(json!({ "total": 11, "hasMore": true }));
    assert_eq!(amounts(&numbered), ["7.00", "6.00", "5.00", "4.00"]);
    for (filter, expected) in [
        ("type=withdrawal", vec!["3.00"]),
        ("type=transfer", vec!["20.00"]),
        ("type=withdrawal,transfer_out", vec!["3.00", "20.00"]),
        ("minAmount=8&maxAmount=9.5", vec!["9.00", "8.00"]),
        ("counterparty=b", vec!["20.00"]),
        ("counterparty=c", vec![]),
        ("to=2020-01-01T00:00:00Z", vec![]),
        ("from=2020-01-01T00:00:00Z&type=withdrawal", vec!["3.00"]),
    ] {
        let page = service.get(&format!("/wallets/a/history?{filter}")).await;
        assert_eq!(amounts(page.expect(200)), expected, "{filter}");
    }
    let noon = seen[5]["occurredAt"].as_str().unwrap();
    let since = service.get(&format!("/wallets/a/history?from={noon}")).await;
    assert_eq!(since.expect(200).body["data"].as_array().unwrap().len(), 6);
    service.get("/wallets/nobody/history").await.expect_problem(404, "wallet-not-found");
    service.finish().await;
}

#[tokio::test]
async fn wallets_are_listed_by_owner_status_currency_and_balance() {
    let service = Service::start(4).await;
    for (name, currency, owner, balance) in [
        ("a", "USD", json!("olga"), 5),
        ("b", "EUR", json!("olga"), 15),
        ("c", "USD", json!("piet"), 25),
        ("d", "USD", json!(null), 35),
    ] {
        let body = json!({ "id": name, "currency": currency, "owner": owner,
                           "initialBalance": balance, "metadata": { "tier": name } });
        service.post("/wallets", body).await.expect(201);
    }
    service.post("/wallets/d/freeze", json!({})).await.expect(200);
    let ids = async |query: &str| {
        let list = service.get(&format!("/wallets?{query}")).await;
        let wallets = list.expect(200).body["data"].as_array().unwrap().clone();
        let ids = wallets.iter().map(|wallet| wallet["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids("").await, "a b c d");
    assert_eq!(ids("owner=olga").await, "a b");
    assert_eq!(ids("owner=olga&currency=EUR").await, "b");
    assert_eq!(ids("status=frozen").await, "d");
    assert_eq!(ids("minBalance=15&maxBalance=25").await, "b c");
    assert_eq!(ids("cursor=b").await, "c d");
    let page = service.get("/wallets?limit=3").await;
    page.expect(200).expect_members(json!({ "hasMore": true, "nextCursor": "c" }));
    assert_eq!(page.body["data"][0]["metadata"], json!({ "tier": "a" }));
    let one = service.get("/wallets/a").await;
    one.expect(200).expect_members(json!({ "metadata": { "tier": "a" }, "owner": "olga" }));
    service.finish().await;
}

#[tokio::test]
async fn the_sums_of_a_wallet_say_why_it_is_suspicious() {
    let service = Service::start(1).await;
    service.post("/wallets/a/deposit", json!({ "amount": 1000 })).await.expect(201);
    let calm = service.get("/wallets/a/stats").await;
    calm.expect(200).expect_members(json!({
        "suspicious": false, "suspiciousReason": null, "totalDeposited": "1000.00",
        "totalWithdrawn": "0.00", "lastActivityAt": calm.body["lastActivityAt"],
    }));
    for _ in 0..3 {
        service.post("/wallets/a/withdraw", json!({ "amount": 1 })).await.expect(201);
    }
    let stats = service.get("/wallets/a/stats").await;
    stats.expect(200).expect_members(json!({
        "walletId": "a", "currency": "USD", "suspicious": true, "totalWithdrawn": "3.00",
        "withdrawalCount": 3, "depositCount": 1,
    }));
    let reason = stats.text_of("suspiciousReason");
    assert!(reason.starts_with("frequentWithdrawals: "), "{reason}");
    let days = stats.body["days"].as_array().unwrap();
    let sums = |name: &str| days.iter().map(|day| day[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sums("countIn"), sums("countOut")), (1, 3), "{stats}");
    assert_eq!(service.get("/wallets/a/stats?days=0").await.body["days"], json!([]));
    service.finish().await;
}

#[tokio::test]
async fn a_read_of_a_parked_wallet_says_since_when_it_is_stale() {
    let service = Service::start(1).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    service.post("/wallets/b/deposit", json!({ "amount": 5 })).await.expect(201);
    service.get("/wallets/a").await.expect(200);
    let head = service.store().partition(0).catch_up(0).await.unwrap().head;
    let mut poison = batch(0, head);
    poison.recorded_at = head.recorded_at;
    let payload = r#"{"FundsBlessed":{"amount":"1.00"}}"#;
    raw_event(&mut poison, ("Wallet", "a", 3), "FundsBlessed", payload, Some(500));
    service.store().partition(0).append(&poison).await.unwrap();
    for path in ["/wallets/a", "/wallets/a/history", "/wallets/a/stats"] {
        let stale = service.get(&format!("{path}?minPosition=5")).await;
        let since = stale.expect(200).text_of("staleSince");
        assert!(since.ends_with('Z'), "{path}: {stale}");
    }
    let fresh = service.get("/wallets/b?minPosition=5").await;
    assert!(fresh.expect(200).body.get("staleSince").is_none(), "{fresh}");
    let standing = service.get("/projections").await;
    for projection in standing.expect(200).body["data"].as_array().unwrap() {
        assert_eq!((&projection["parked"], &projection["lagEvents"]), (&json!(1), &json!(0)));
    }
    service.stop().await;
}

#[tokio::test]
async fn operators_see_how_far_everything_is() {
    let mut service = Service::start(2).await;
    for number in 0..6 {
        let wallet = format!("/wallets/w-{number}/deposit");
        service.post(&wallet, json!({ "amount": 5 })).await.expect(201);
    }
    let standing = eventually("everything is taken in", async || {
        let answer = service.get("/projections").await;
        let data = answer.expect(200).body["data"].as_array().unwrap().clone();
        match data.iter().all(|one| one["lagEvents"] == 0 && one["state"] == "following") {
            true => Ok(data),
            false => Err(answer),
        }
    })
    .await;
    let names: Vec<&str> = standing.iter().map(|one| one["name"].as_str().unwrap()).collect();
    let expected = ["balance", "balance", "history", "history", "stats", "stats", "fraud", "fraud"];
    assert_eq!(names, expected);
    let heads: u64 = standing[..2].iter().map(|one| one["head"].as_u64().unwrap()).sum();
    assert_eq!(heads, 12);
    assert!(standing.iter().all(|one| one["holder"].is_string()), "{standing:?}");

    service.stop_work().await;
    let wallet = id("w-0");
    let other = service.store().process();
    other.submit(request(transfer(&wallet, &id("w-1"), "1"))).await.unwrap();
    drop(other);
    let behind = service.get("/projections").await;
    let data = behind.expect(200).body["data"].as_array().unwrap();
    assert!(data.iter().all(|one| one["state"] == "idle" && one["holder"].is_null()), "{behind}");
    assert!(data.iter().any(|one| one["lagEvents"].as_u64() > Some(0)), "{behind}");
    assert!(data.iter().any(|one| one["lagSeconds"].as_f64() > Some(0.0)), "{behind}");
    service.finish().await;
}

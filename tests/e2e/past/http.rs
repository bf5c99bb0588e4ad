//! `GET /wallets/{id}?at=…`.

use florin_domain::{WalletId, partition_of};
use florin_tests::ask::{deposit, id, id_in, request};
use florin_tests::batches::{batch, raw_event};
use florin_tests::feed::random;
use florin_tests::service::{Answer, Service};
use florin_tests::turmoil::turmoil;
use serde_json::json;

use super::plain;

fn told(answer: &Answer) -> (String, String, u64, u64) {
    let answer = answer.expect(200);
    let number = |name: &str| answer.body[name].as_u64().unwrap();
    let texts = (answer.text_of("balance").to_owned(), answer.text_of("status").to_owned());
    (texts.0, texts.1, number("version"), number("position"))
}

#[tokio::test]
async fn a_wallet_at_any_moment_is_a_fold_of_its_events_up_to_there() {
    let mut seed = 13;
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let wallets: Vec<WalletId> = turmoil(service.ledger(), &mut seed, 200).await;
        let events = service.store().events().await;
        for wallet in &wallets {
            let partition = partition_of(wallet, partitions);
            let here: Vec<_> = events.iter().filter(|e| e.partition == partition).collect();
            for round in 0..8 {
                let index = usize::try_from(random(&mut seed)).unwrap() % here.len();
                // By a time, that is the last event of it.
                let by_time = round % 2 == 0;
                let position = match by_time {
                    true => here
                        .iter()
                        .rfind(|event| event.recorded_at == here[index].recorded_at)
                        .map_or(0, |event| event.position),
                    false => here[index].position,
                };
                let at = match by_time {
                    true => {
                        here[index].recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
                    }
                    false => format!("{partition}-{position}"),
                };
                let until = here.iter().copied().filter(|event| event.position <= position);
                let answer = service.get(&format!("/wallets/{wallet}?at={at}")).await;
                let as_of = format!("{partition}-{position}");
                assert_eq!(answer.header("florin-position"), Some(&*as_of), "{at}");
                match plain(until).get(wallet.as_str()) {
                    None => drop(answer.expect_problem(404, "wallet-not-found")),
                    Some(plain) => {
                        let balance = plain.balance.to_string();
                        let expected =
                            (balance, plain.status.to_owned(), plain.version, plain.position);
                        assert_eq!(told(&answer), expected, "{wallet} at {at}");
                        let version = format!("\"{}\"", plain.version);
                        assert_eq!(answer.header("etag"), Some(&*version));
                    }
                }
            }
        }
        service.finish().await;
    }
}

#[tokio::test]
async fn what_was_is_told_with_everything_that_is_told_of_today() {
    let service = Service::start(1).await;
    let body = json!({
        "id": "alice", "currency": "EUR", "initialBalance": "3.00", "owner": "a-1",
        "metadata": { "plan": "gold" },
    });
    service.post("/wallets", body).await.expect(201);
    let position = service.get("/wallets/alice?minPosition=2").await;
    let today = position.expect(200).body.clone();
    service.post("/wallets/alice/freeze", json!({})).await.expect(200);
    service.post("/wallets/alice/deposit", json!({ "amount": "1" })).await.expect(201);
    let then = service.get("/wallets/alice?at=2").await;
    assert_eq!(then.expect(200).body, today);
    let now = service.get("/wallets/alice?minPosition=4").await;
    let by_journal = service.get("/wallets/alice?at=4").await;
    assert_eq!(by_journal.expect(200).body, now.expect(200).body);
    service.finish().await;
}

#[tokio::test]
async fn what_is_no_moment_of_the_wallet_is_refused_and_says_why() {
    let service = Service::start(4).await;
    let wallet = id_in(2, 4, "w");
    service.post(&format!("/wallets/{wallet}/deposit"), json!({ "amount": 5 })).await.expect(201);
    let path = format!("/wallets/{wallet}");
    for query in [
        "at=",
        "at=yesterday",
        "at=2026-01-31",
        "at=1-1",
        "at=2-3",
        "at=3",
        "at=2-1,2-2",
        "at=2100-01-01T00:00:00Z",
        "at=2-1&at=2-2",
        "at=2-1&minPosition=2-2",
        "at=2-1&minPosition=2",
    ] {
        let answer = service.get(&format!("{path}?{query}")).await;
        answer.expect_problem(400, "invalid-parameter");
    }
    let strong = service.get(&format!("{path}?at=2-1&consistency=strong")).await;
    strong.expect_problem(400, "invalid-parameter");
    for query in ["at=2-2", "at=2", "at=2-2,0-0", "at=2&minPosition=2", "at=2&consistency=eventual"]
    {
        let answer = service.get(&format!("{path}?{query}")).await;
        assert_eq!(answer.expect(200).text_of("balance"), "5.00", "{query}");
    }
    // Before its first event a wallet is as one that never was.
    let before = service.get(&format!("{path}?at=2-0")).await;
    before.expect_problem(404, "wallet-not-found");
    assert_eq!(before.header("florin-position"), Some("2-0"));
    service.finish().await;
}

#[tokio::test]
async fn the_journal_answers_before_the_read_model_and_nothing_goes_back_afterwards() {
    let mut service = Service::start(1).await;
    service.stop_work().await;
    service.ledger().submit(request(deposit(&id("a"), "5"))).await.unwrap();
    let then = service.get("/wallets/a?at=2").await;
    assert_eq!(then.expect(200).text_of("balance"), "5.00");
    let now = service.get("/wallets/a").await;
    now.expect_problem(503, "read-model-behind");
    service.finish().await;
}

#[tokio::test]
async fn what_a_wallet_held_is_told_though_nobody_can_read_what_happened_to_it() {
    let service = Service::start(1).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    let head = service.store().partition(0).catch_up(0).await.unwrap().head;
    let mut poison = batch(0, head);
    poison.recorded_at = head.recorded_at;
    let blessed = r#"{"FundsBlessed":{"amount":"1.00"}}"#;
    raw_event(&mut poison, ("Wallet", "a", 3), "FundsBlessed", blessed, Some(700));
    raw_event(&mut poison, ("Wallet", "b", 1), "WalletOpened", r#"{"WalletBlessed":{}}"#, Some(0));
    service.store().partition(0).append(&poison).await.unwrap();
    let told = service.get("/wallets/a?at=3").await;
    told.expect(200).expect_members(json!({ "balance": "7.00", "version": 3, "position": 3 }));
    let untold = service.get("/wallets/b?at=4").await;
    let of_event = json!({ "partition": 0, "position": 4 });
    untold.expect_problem(409, "unreadable-event").expect_members(of_event);
    service.stop().await;
}

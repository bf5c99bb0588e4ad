//! The trial balance: that it adds up at every look, and is a fold of the journal.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use florin_adapters::reports::REPORT_TIME;
use florin_application::Settings;
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::upcast::decode;
use florin_domain::{Currency, WalletEvent};
use florin_projections::balance::Balance;
use florin_projections::fraud::Fraud;
use florin_projections::history::History;
use florin_projections::read_model::Projection;
use florin_projections::stats::Stats;
use florin_projections::trial_balance::MAX_FOLDED;
use florin_tests::ask::{deposit, id, request};
use florin_tests::batches::{batch, raw_event};
use florin_tests::feed::random;
use florin_tests::flawed::{Flaw, Flawed};
use florin_tests::lag::read_models_behind;
use florin_tests::monkeys::{Effort, calm, monkeys_during};
use florin_tests::projecting::pool;
use florin_tests::service::{Answer, Service};
use florin_tests::store::{Store, eventually};
use florin_tests::turmoil::turmoil;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

const PATH: &str = "/ledger/trial-balance";

/// Enough that every kind of event is among them.
const COMMANDS: usize = 400;

async fn admin(service: &Service) -> PgConnection {
    let Store::Postgres(_, urls) = service.store() else { unreachable!() };
    PgConnection::connect(&urls.admin).await.unwrap()
}

/// As of when an answer is, by partition; the body says the same as the header.
fn positions(answer: &Answer) -> BTreeMap<u32, u64> {
    let number = |value: &Value| value.as_u64().unwrap();
    let of_body: Vec<(u32, u64)> = answer.expect(200).body["positions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (number(&one["partition"]).try_into().unwrap(), number(&one["position"])))
        .collect();
    let texts: Vec<String> =
        of_body.iter().map(|(partition, position)| format!("{partition}-{position}")).collect();
    assert_eq!(answer.header("florin-position"), Some(&*texts.join(",")));
    of_body.into_iter().collect()
}

fn named(positions: &BTreeMap<u32, u64>) -> String {
    let texts = positions.iter().map(|(partition, position)| format!("{partition}-{position}"));
    texts.collect::<Vec<_>>().join(",")
}

/// The sums of a currency, folded the plain way.
#[derive(Default)]
struct Sums {
    wallets: u64,
    deposited: Decimal,
    withdrawn: Decimal,
    in_flight: Decimal,
}

/// What the journal up to there comes to, as the answer says it.
fn fold(events: &[RecordedEvent], positions: &BTreeMap<u32, u64>) -> Value {
    let mut sums: BTreeMap<Currency, Sums> = BTreeMap::new();
    let mut balances: HashMap<&str, (Currency, Decimal)> = HashMap::new();
    for recorded in events.iter().filter(|event| event.position <= positions[&event.partition]) {
        let Event::Wallet(event) = decode(recorded).unwrap() else { continue };
        let wallet = &*recorded.aggregate_id;
        match event {
            WalletEvent::WalletOpened { currency, .. } => {
                sums.entry(currency).or_default().wallets += 1;
                balances.insert(wallet, (currency, Decimal::ZERO));
            }
            WalletEvent::FundsDeposited { currency, amount, balance, .. } => {
                sums.entry(currency).or_default().deposited += amount;
                balances.insert(wallet, (currency, balance));
            }
            WalletEvent::FundsWithdrawn { currency, amount, balance, .. } => {
                sums.entry(currency).or_default().withdrawn += amount;
                balances.insert(wallet, (currency, balance));
            }
            WalletEvent::FundsDebited { currency, amount, balance, .. } => {
                sums.entry(currency).or_default().in_flight += amount;
                balances.insert(wallet, (currency, balance));
            }
            WalletEvent::FundsCredited { currency, amount, balance, .. }
            | WalletEvent::FundsRefunded { currency, amount, balance, .. } => {
                sums.entry(currency).or_default().in_flight -= amount;
                balances.insert(wallet, (currency, balance));
            }
            WalletEvent::WalletFrozen { .. }
            | WalletEvent::WalletUnfrozen { .. }
            | WalletEvent::WalletClosed { .. } => {}
        }
    }
    let figures = |(currency, sums): (&Currency, &Sums)| {
        let held = balances.values().filter(|(of, _)| of == currency);
        let held: Decimal = held.map(|(_, balance)| *balance).sum();
        let text = |mut sum: Decimal| {
            sum.rescale(currency.decimals());
            sum.to_string()
        };
        json!({
            "currency": currency.code(), "wallets": sums.wallets, "balances": text(held),
            "inFlight": text(sums.in_flight), "totalDeposited": text(sums.deposited),
            "totalWithdrawn": text(sums.withdrawn), "difference": text(Decimal::ZERO),
        })
    };
    sums.iter().map(figures).collect()
}

/// Fails the test unless the answer is the fold of the journal up to where it says that it is.
#[track_caller]
fn expect_fold(events: &[RecordedEvent], answer: &Answer) {
    let positions = positions(answer);
    assert_eq!(answer.body["data"], fold(events, &positions), "at {positions:?}");
}

async fn caught_up(service: &Service) {
    let pool = pool(service.store());
    eventually("every read model has the whole journal", async || {
        let behind = read_models_behind(&pool).await;
        if behind.is_empty() { Ok(()) } else { Err(behind) }
    })
    .await;
}

#[tokio::test]
async fn a_trial_balance_of_any_position_is_a_fold_of_the_journal_up_to_there() {
    let mut seed = 7;
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        turmoil(service.ledger(), &mut seed, COMMANDS).await;
        expect_fold(&service.store().events().await, &service.get(PATH).await);
        caught_up(&service).await;
        let events = service.store().events().await;
        let now = service.get(PATH).await;
        expect_fold(&events, &now);
        let heads = positions(&now);
        assert!(heads.values().all(|head| *head > 50), "{heads:?}");
        let names: Vec<&Value> =
            now.body["data"].as_array().unwrap().iter().map(|one| &one["currency"]).collect();
        assert_eq!(names, ["EUR", "JPY", "USD"]);
        // Near the beginning, where the fold begins there; near the end, where it goes back from the
        // read models; anywhere.
        for round in 0..30 {
            let place = |head: u64, seed: &mut u64| match round {
                0 => 0,
                1 => head,
                2..10 => random(seed) % 20,
                10..20 => head - random(seed) % 20,
                _ => random(seed) % (head + 1),
            };
            let at: BTreeMap<u32, u64> =
                heads.iter().map(|(of, head)| (*of, place(*head, &mut seed))).collect();
            let then = service.get(&format!("{PATH}?at={}", named(&at))).await;
            assert_eq!(positions(&then), at);
            expect_fold(&events, &then);
        }
        assert_eq!(service.get(&format!("/v1{PATH}")).await.expect(200).body, now.body);
        service.finish().await;
    }
}

#[tokio::test]
async fn a_trial_balance_of_a_time_has_every_event_recorded_until_then() {
    let mut seed = 8;
    let service = Service::start(4).await;
    turmoil(service.ledger(), &mut seed, COMMANDS).await;
    let events = service.store().events().await;
    for step in 0..20 {
        let time = events[events.len() * step / 20].recorded_at;
        let expected: BTreeMap<u32, u64> = (0..4)
            .map(|partition| {
                let then = |event: &&RecordedEvent| {
                    event.partition == partition && event.recorded_at <= time
                };
                (partition, events.iter().filter(then).count() as u64)
            })
            .collect();
        // The same moment, as people in Delhi write it.
        let delhi = chrono::FixedOffset::east_opt(5 * 3600 + 1800).unwrap();
        let delhi = time.with_timezone(&delhi).to_rfc3339().replace('+', "%2B");
        for text in [time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true), delhi] {
            let then = service.get(&format!("{PATH}?at={text}")).await;
            assert_eq!(positions(&then), expected, "{text}");
            expect_fold(&events, &then);
        }
    }
    let before = service.get(&format!("{PATH}?at=2000-01-01T00:00:00Z")).await;
    before.expect(200).expect_members(json!({ "data": [] }));
    service.finish().await;
}

#[tokio::test]
async fn money_in_flight_is_told_until_it_arrives() {
    let service = Service::start(4).await;
    let (alice, bob) = (florin_tests::ask::id_in(0, 4, "a"), florin_tests::ask::id_in(3, 4, "b"));
    service.post("/wallets", json!({ "id": alice, "balance": 5 })).await.expect(201);
    let mut lock = service.store().partition(3);
    lock.lock(0).await.unwrap();
    let path = format!("/wallets/{alice}/transfer");
    let sending = service.post(&path, json!({ "toWalletId": bob, "amount": "1.50" }));
    let meanwhile = async {
        let flying = eventually("the money leaves", async || {
            let now = service.get(PATH).await;
            if now.body["data"][0]["inFlight"] == "1.50" { Ok(now) } else { Err(now) }
        })
        .await;
        lock.release().await;
        flying
    };
    let (sent, flying) = tokio::join!(sending, meanwhile);
    assert_eq!(
        flying.body["data"],
        json!([{
            "currency": "USD", "wallets": 1, "balances": "3.50", "inFlight": "1.50",
            "totalDeposited": "5.00", "totalWithdrawn": "0.00", "difference": "0.00",
        }])
    );
    sent.expect(201);
    let landed = service.get(PATH).await;
    assert_eq!(landed.body["data"][0]["inFlight"], "0.00", "{landed}");
    // As it was then, it is still.
    let then = service.get(&format!("{PATH}?at={}", named(&positions(&flying)))).await;
    assert_eq!(then.body, flying.body);
    service.finish().await;
}

#[tokio::test]
async fn it_adds_up_at_every_look_while_monkeys_are_at_it() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let effort = Effort { requests: 600, concurrency: 16 };
        let args = calm(service.url(), "books", effort);
        let looks = async {
            let mut seed = 9;
            let (began, mut looks) = (Instant::now(), 0);
            while looks < 40 || began.elapsed() < Duration::from_secs(3) {
                let now = service.get(PATH).await;
                let heads = positions(&now);
                let then = heads.iter().map(|(of, head)| (*of, random(&mut seed) % (head + 1)));
                let then = service.get(&format!("{PATH}?at={}", named(&then.collect()))).await;
                for answer in [&now, &then] {
                    for figures in answer.expect(200).body["data"].as_array().unwrap() {
                        let difference: Decimal =
                            figures["difference"].as_str().unwrap().parse().unwrap();
                        assert!(difference.is_zero(), "{answer}");
                    }
                }
                looks += 1;
            }
        };
        monkeys_during(&args, looks).await;
        caught_up(&service).await;
        expect_fold(&service.store().events().await, &service.get(PATH).await);
        service.finish().await;
    }
}

#[tokio::test]
async fn it_waits_for_no_read_model() {
    let mut service = Service::start(1).await;
    service.ledger().submit(request(deposit(&id("a"), "5"))).await.unwrap();
    caught_up(&service).await;
    service.stop_work().await;
    for _ in 0..3 {
        service.ledger().submit(request(deposit(&id("a"), "5"))).await.unwrap();
    }
    let now = service.get(&format!("{PATH}?minPosition=5")).await;
    assert_eq!(positions(&now), [(0, 5)].into());
    expect_fold(&service.store().events().await, &now);
    let beyond = service.get(&format!("{PATH}?minPosition=6")).await;
    beyond.expect_problem(503, "read-model-behind").expect_members(json!({
        "model": "journal", "position": 5, "wantedPosition": 6,
    }));
    service.finish().await;
}

#[tokio::test]
async fn a_wallet_that_is_parked_is_folded_from_its_own_events() {
    let is_mended: Arc<AtomicBool> = Arc::default();
    // Alice's second deposit, at 5, is in no balance, and bob's, at 6, in no stats.
    let models: [Arc<dyn Projection>; 4] = [
        Arc::new(Flawed::new(Balance, Flaw::Apply, 5, &is_mended)),
        Arc::new(Fraud),
        Arc::new(History),
        Arc::new(Flawed::new(Stats, Flaw::Apply, 6, &is_mended)),
    ];
    let store = Store::postgres(1).await;
    let service = Service::folding(store, &Settings::default(), models.to_vec()).await;
    for wallet in ["alice", "bob", "alice", "bob", "carol", "alice", "bob"] {
        service.ledger().submit(request(deposit(&id(wallet), "1"))).await.unwrap();
    }
    caught_up(&service).await;
    let parked: i64 = sqlx::query_scalar("SELECT count(*) FROM parked_wallets")
        .fetch_one(&pool(service.store()))
        .await
        .unwrap();
    assert_eq!(parked, 2);
    let events = service.store().events().await;
    expect_fold(&events, &service.get(PATH).await);
    for position in [4, 6, 8, 9] {
        expect_fold(&events, &service.get(&format!("{PATH}?at={position}")).await);
    }
    service.finish().await;
}

#[tokio::test]
async fn an_event_that_nobody_can_read_is_named() {
    let service = Service::start(1).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    let head = service.store().partition(0).catch_up(0).await.unwrap().head;
    let mut poison = batch(0, head);
    poison.recorded_at = head.recorded_at;
    let payload = r#"{"FundsBlessed":{"amount":"1.00"}}"#;
    raw_event(&mut poison, ("Wallet", "a", 3), "FundsBlessed", payload, Some(500));
    service.store().partition(0).append(&poison).await.unwrap();
    caught_up(&service).await;
    let now = service.get(PATH).await;
    now.expect_problem(409, "unreadable-event")
        .expect_members(json!({ "partition": 0, "position": 3 }));
    let before = service.get(&format!("{PATH}?at=2")).await;
    assert_eq!(before.expect(200).body["data"][0]["balances"], "5.00");
    for model in ["balance", "stats"] {
        let discard = format!("/dead-letters/{model}:0:3/discard");
        let decision = json!({ "by": "olga", "reason": "written by mistake" });
        service.post(&discard, decision).await.expect(200);
    }
    for query in ["", "?at=3"] {
        let without = service.get(&format!("{PATH}{query}")).await;
        assert_eq!(without.expect(200).body["data"][0]["difference"], "0.00", "{without}");
    }
    service.stop().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_its_reason() {
    let service = Service::start(2).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    for query in [
        "at=yesterday",
        "at=1",
        "at=0-1",
        "at=0-0,0-0",
        "at=0-0,2-0",
        "at=0-0,1-0,2-0",
        "at=0-999,1-0",
        "at=2100-01-01T00:00:00Z",
        "at=2026-01-31",
        "at=0-0,1-0&at=0-0,1-0",
    ] {
        let answer = service.get(&format!("{PATH}?{query}")).await;
        answer.expect_problem(400, "invalid-parameter");
    }
    let head = positions(&service.get(PATH).await);
    let answer = service.get(&format!("{PATH}?at=0-0,1-0&minPosition={}", named(&head))).await;
    answer.expect_problem(400, "invalid-parameter");
    service.finish().await;
}

#[tokio::test]
async fn a_position_that_is_too_far_from_everything_is_refused_at_once() {
    let mut service = Service::start(1).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    caught_up(&service).await;
    service.stop_work().await;
    // As if there were so many events.
    let mut admin = admin(&service).await;
    let far = i64::try_from(2 * MAX_FOLDED + 2).unwrap();
    for table in ["partitions SET head_position", "checkpoints SET position"] {
        let update = format!("UPDATE {table} = $1");
        sqlx::query(&update).bind(far).execute(&mut admin).await.unwrap();
    }
    let answer = service.get(&format!("{PATH}?at={}", MAX_FOLDED + 1)).await;
    answer.expect_problem(422, "report-too-large").expect_members(json!({
        "events": MAX_FOLDED + 1, "maxEvents": MAX_FOLDED,
    }));
    service.get(PATH).await.expect(200);
    service.finish().await;
}

/// As if there were so many wallets that their sum takes longer than anybody waits.
const SLOW: &str = "
ALTER TABLE balances RENAME TO many_balances;
CREATE VIEW balances AS SELECT b.* FROM many_balances b, (SELECT pg_sleep(30)) AS s;
GRANT SELECT ON balances TO florin_service";
const NO_LONGER_SLOW: &str = "DROP VIEW balances; ALTER TABLE many_balances RENAME TO balances";

/// How many trial balances are being made.
const WAITING: &str = "
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event = 'PgSleep'";

#[tokio::test]
async fn a_trial_balance_takes_its_time_and_no_more_and_few_are_made_at_once() {
    let mut service = Service::start(1).await;
    service.post("/wallets/a/deposit", json!({ "amount": 5 })).await.expect(201);
    caught_up(&service).await;
    service.stop_work().await;
    let mut admin = admin(&service).await;
    sqlx::raw_sql(SLOW).execute(&mut admin).await.unwrap();
    let began = Instant::now();
    let third = async {
        eventually("two are at it", async || {
            let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut admin).await.unwrap();
            if waiting == 2 { Ok(()) } else { Err(waiting) }
        })
        .await;
        service.get(PATH).await
    };
    let (first, second, third) = tokio::join!(service.get(PATH), service.get(PATH), third);
    assert!(began.elapsed() >= REPORT_TIME, "{:?}", began.elapsed());
    third.expect_problem(503, "busy");
    for answer in [first, second] {
        answer.expect_problem(422, "report-too-large");
    }
    sqlx::raw_sql(NO_LONGER_SLOW).execute(&mut admin).await.unwrap();
    service.get(PATH).await.expect(200);
    service.finish().await;
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use florin_application::Settings;
use florin_projections::balance::{self, Balance};
use florin_projections::checkpoint;
use florin_projections::fraud::Fraud;
use florin_projections::history::History;
use florin_projections::read_model::Projection;
use florin_projections::stats::Stats;
use florin_tests::ask::{deposit, id, request};
use florin_tests::flawed::{Flaw, Flawed};
use florin_tests::fresh_fold::equals_fresh_fold;
use florin_tests::lag::read_models_behind;
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::projecting::pool;
use florin_tests::service::{Answer, Service};
use florin_tests::store::{Store, eventually};
use futures::future::join_all;
use serde_json::{Value, json};

/// A service, and read models of which the balance has a flaw, here and at the operators' desk.
struct Flawful {
    service: Service,
    is_mended: Arc<AtomicBool>,
}

impl Flawful {
    /// Alice's second deposit, at 5, cannot be applied to the balance, and her third one waits
    /// behind it at 7. Bob has two.
    async fn start() -> Self {
        Self::on(Store::postgres(1).await).await
    }

    async fn on(store: Store) -> Self {
        let is_mended = Arc::default();
        let flawed = Flawed::new(Balance, Flaw::Apply, 5, &is_mended);
        let models: [Arc<dyn Projection>; 4] =
            [Arc::new(flawed), Arc::new(Fraud), Arc::new(History), Arc::new(Stats)];
        let service = Service::folding(store, &Settings::default(), models.to_vec()).await;
        let this = Self { service, is_mended };
        for wallet in ["alice", "bob", "alice", "bob", "alice"] {
            this.deposit(wallet).await;
        }
        this.caught_up().await;
        this
    }

    async fn deposit(&self, wallet: &str) {
        self.service.ledger().submit(request(deposit(&id(wallet), "1"))).await.unwrap();
    }

    async fn caught_up(&self) {
        let pool = pool(self.service.store());
        eventually("every read model has the whole journal", async || {
            let behind = read_models_behind(&pool).await;
            if behind.is_empty() { Ok(()) } else { Err(behind) }
        })
        .await;
    }

    fn mend(&self) {
        self.is_mended.store(true, Ordering::Relaxed);
    }

    async fn get(&self, letter: &str) -> Answer {
        self.service.get(&format!("/dead-letters/{letter}")).await
    }

    async fn replay(&self, letter: &str) -> Answer {
        self.service.post(&format!("/dead-letters/{letter}/replay"), json!({})).await
    }

    async fn discard(&self, letter: &str, body: Value) -> Answer {
        self.service.post(&format!("/dead-letters/{letter}/discard"), body).await
    }

    /// The states of alice's letters, 5 and 7.
    async fn states(&self) -> [String; 2] {
        let [first, second] = [self.get("balance:0:5").await, self.get("balance:0:7").await];
        [first.text_of("state").to_owned(), second.text_of("state").to_owned()]
    }

    /// What the balance says a wallet has, and whether it is parked.
    async fn balance_of(&self, wallet: &str) -> (String, bool) {
        let pool = pool(self.service.store());
        let (row, at) = balance::wallet(&pool, 0, &id(wallet)).await.unwrap();
        let held = row.map(|row| row.balance.to_string()).unwrap_or_default();
        (held, at.stale_since.is_some())
    }

    async fn checkpoint(&self) -> u64 {
        checkpoint::position(&pool(self.service.store()), "balance", 0).await.unwrap()
    }

    /// Every read model is right, and the journal as well.
    async fn finish(self) {
        equals_fresh_fold(self.service.store()).await;
        self.service.finish().await;
    }
}

fn ids(answer: &Answer) -> Vec<&str> {
    let data = answer.expect(200).body["data"].as_array().unwrap();
    data.iter().map(|letter| letter["id"].as_str().unwrap()).collect()
}

fn decision() -> Value {
    json!({ "by": "olga", "reason": "written by mistake" })
}

#[tokio::test]
async fn an_event_that_cannot_be_applied_is_shown_with_its_reason_and_the_others_go_on() {
    let desk = Flawful::start().await;
    for prefix in ["", "/v1"] {
        let list = desk.service.get(&format!("{prefix}/dead-letters")).await;
        assert_eq!(ids(&list), ["balance:0:5", "balance:0:7"]);
        list.expect_members(json!({ "nextCursor": null, "hasMore": false }));
        assert_eq!(list.body["data"][0], desk.get("balance:0:5").await.body);
    }
    let first = desk.get("balance:0:5").await;
    first.expect(200).expect_members(json!({
        "id": "balance:0:5", "projection": "balance", "partition": 0, "position": 5,
        "walletId": "alice", "aggregateType": "Wallet", "aggregateId": "alice", "sequence": 3,
        "eventType": "FundsDeposited", "state": "open", "error": "this model is flawed",
        "attempts": 3, "decidedBy": null, "reason": null,
    }));
    assert_eq!(first.body["payload"]["FundsDeposited"]["amount"], "1.00");
    assert!(first.body["metadata"].is_object(), "{first}");
    let follower = desk.get("balance:0:7").await;
    follower.expect_members(json!({ "walletId": "alice", "attempts": 0, "state": "open" }));
    assert!(follower.text_of("error").starts_with("follows an event"), "{follower}");
    assert_eq!(desk.balance_of("alice").await, ("1.00".to_owned(), true));
    assert_eq!(desk.balance_of("bob").await, ("2.00".to_owned(), false));
    desk.finish().await;
}

#[tokio::test]
async fn dead_letters_are_listed_by_filter_and_page_by_page() {
    let desk = Flawful::start().await;
    for _ in 0..3 {
        desk.deposit("alice").await;
    }
    desk.caught_up().await;
    let all = [5, 7, 8, 9, 10].map(|position| format!("balance:0:{position}"));
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = desk.service.get(&format!("/dead-letters?limit=2{cursor}")).await;
        pages.push(ids(&page).into_iter().map(ToOwned::to_owned).collect::<Vec<_>>());
        assert_eq!(page.body["hasMore"], json!(page.body["nextCursor"].is_string()));
        match page.body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, [&all[..2], &all[2..4], &all[4..]]);
    desk.discard("balance:0:10", decision()).await.expect(200);
    for (query, expected) in [
        ("wallet=alice&colour=red", &all[..]),
        ("projection=balance&state=open", &all[..4]),
        ("state=discarded", &all[4..]),
        ("state=replayed", &[]),
        ("projection=history", &[]),
        ("wallet=bob", &[]),
    ] {
        let list = desk.service.get(&format!("/dead-letters?{query}")).await;
        assert_eq!(ids(&list), expected, "{query}");
    }
    desk.finish().await;
}

#[tokio::test]
async fn a_replay_brings_a_wallet_back_once_the_flaw_is_mended_and_not_before() {
    let desk = Flawful::start().await;
    let parked = json!({
        "id": "balance:0:7", "projection": "balance", "walletId": "alice",
        "outcome": "still-parked", "position": 5, "error": "this model is flawed",
    });
    assert_eq!(desk.replay("balance:0:7").await.expect(200).body, parked);
    assert_eq!(desk.balance_of("alice").await, ("1.00".to_owned(), true));
    assert_eq!(desk.states().await, ["open", "open"]);
    desk.get("balance:0:5").await.expect_members(json!({ "attempts": 4 }));
    desk.mend();
    let before = desk.checkpoint().await;
    let back = json!({
        "id": "balance:0:7", "projection": "balance", "walletId": "alice",
        "outcome": "replayed", "events": 4, "position": before,
    });
    assert_eq!(desk.replay("balance:0:7").await.expect(200).body, back);
    assert_eq!(desk.checkpoint().await, before, "the others wait for nothing");
    assert_eq!(desk.balance_of("alice").await, ("3.00".to_owned(), false));
    assert_eq!(desk.states().await, ["replayed", "replayed"]);
    let late = desk.replay("balance:0:5").await;
    let settled = json!({ "deadLetterId": "balance:0:5", "state": "replayed", "by": null });
    late.expect_problem(409, "dead-letter-settled").expect_members(settled);
    let late = desk.discard("balance:0:5", decision()).await;
    late.expect_problem(409, "dead-letter-settled");
    desk.deposit("alice").await;
    desk.caught_up().await;
    assert_eq!(desk.balance_of("alice").await, ("4.00".to_owned(), false));
    desk.finish().await;
}

#[tokio::test]
async fn of_many_replays_at_once_one_brings_the_wallet_back() {
    let desk = Flawful::start().await;
    desk.mend();
    // More than the pool has connections.
    let answers = join_all((0..20).map(|_| desk.replay("balance:0:5"))).await;
    let (done, late): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(done.len(), 1, "{done:?}");
    done[0].expect_members(json!({ "outcome": "replayed", "events": 4 }));
    for answer in late {
        answer.expect_problem(409, "dead-letter-settled");
    }
    assert_eq!(desk.states().await, ["replayed", "replayed"]);
    desk.finish().await;
}

#[tokio::test]
async fn an_event_is_discarded_for_good_with_who_and_why() {
    let desk = Flawful::start().await;
    for (body, code, field) in [
        (json!({ "reason": "a mistake" }), "missing-field", "by"),
        (json!({ "by": "olga" }), "missing-field", "reason"),
        (json!({ "by": "", "reason": "a mistake" }), "invalid-operator", "by"),
        (json!({ "by": "olga", "reason": "x".repeat(257) }), "invalid-reason", "reason"),
    ] {
        let answer = desk.discard("balance:0:5", body).await;
        answer.expect_problem(400, code).expect_members(json!({ "field": field }));
    }
    assert_eq!(desk.states().await, ["open", "open"]);
    let done = desk.discard("balance:0:5", decision()).await;
    let back = json!({ "outcome": "replayed", "events": 3, "walletId": "alice" });
    done.expect(200).expect_members(back);
    assert_eq!(desk.states().await, ["discarded", "replayed"]);
    desk.get("balance:0:5").await.expect_members(json!({
        "decidedBy": "olga", "reason": "written by mistake", "attempts": 3,
    }));
    assert_eq!(desk.balance_of("alice").await, ("3.00".to_owned(), false));
    for late in [desk.discard("balance:0:5", decision()).await, desk.replay("balance:0:5").await] {
        let settled = json!({ "state": "discarded", "by": "olga" });
        late.expect_problem(409, "dead-letter-settled").expect_members(settled);
    }
    desk.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_named() {
    let desk = Flawful::start().await;
    for (query, parameter, why) in [
        ("limit=0", "limit", "1 to 200 dead letters"),
        ("limit=201", "limit", "1 to 200 dead letters"),
        ("cursor=x", "cursor", "nextCursor of the page before"),
        ("wallet=a%20b", "wallet", "1 to 64 letters"),
        ("state=closed", "state", "open, replayed or discarded"),
        ("projection=luck", "projection", "balance, fraud, history, stats"),
    ] {
        let answer = desk.service.get(&format!("/dead-letters?{query}")).await;
        answer.expect_problem(400, "invalid-parameter");
        assert_eq!(answer.text_of("parameter"), parameter, "{query}");
        assert!(answer.text_of("detail").contains(why), "{answer}");
    }
    for bad in ["x", "balance:0", "balance:0:x", "balance:0:05", "bal%00ance:0:5", ":0:5"] {
        for answer in
            [desk.get(bad).await, desk.replay(bad).await, desk.discard(bad, decision()).await]
        {
            answer.expect_problem(400, "invalid-dead-letter-id");
        }
    }
    for unknown in ["balance:0:6", "balance:1:5", "history:0:5", "luck:0:5"] {
        for answer in [
            desk.get(unknown).await,
            desk.replay(unknown).await,
            desk.discard(unknown, decision()).await,
        ] {
            answer.expect_problem(404, "dead-letter-not-found");
            assert_eq!(answer.text_of("deadLetterId"), unknown);
        }
    }
    let method = desk.service.get("/dead-letters/balance:0:5/replay").await;
    method.expect_problem(405, "method-not-allowed");
    desk.finish().await;
}

#[tokio::test]
async fn without_postgres_the_desk_says_so_and_nothing_is_decided() {
    let postgres = OwnPostgres::start().await;
    let desk = Flawful::on(postgres.store(1).await).await;
    desk.mend();
    postgres.kill_hard().await;
    for answer in [
        desk.service.get("/dead-letters").await,
        desk.get("balance:0:5").await,
        desk.replay("balance:0:5").await,
        desk.discard("balance:0:5", decision()).await,
    ] {
        answer.expect_problem(503, "unavailable");
    }
    postgres.restart().await;
    // A fold does not wait for the disk: what the crash took back is set aside again, or applied,
    // now that the flaw is mended.
    desk.caught_up().await;
    eventually("alice is back", async || {
        let replayed = desk.replay("balance:0:5").await;
        let state = (desk.balance_of("alice").await, replayed);
        if state.0 == ("3.00".to_owned(), false) { Ok(()) } else { Err(state) }
    })
    .await;
    desk.finish().await;
    postgres.stop().await;
}

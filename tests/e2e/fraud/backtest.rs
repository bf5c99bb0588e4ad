//! `florin fraud backtest`, as processes.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use florin_application::journal::{Batch, Head};
use florin_domain::{Currency, TransactionId, WalletEvent, WalletId};
use florin_projections::fraud::review::{self, Verdict};
use florin_tests::ask::{deposit, id, id_in, withdraw};
use florin_tests::batches::{batch, deposited, opened, raw_event, wallet_event};
use florin_tests::process::{Ran, run};
use florin_tests::store::Store;
use florin_tests::watch::Watch;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

/// Two withdrawals alert instead of three, and nothing is large below 50,000.
const CANDIDATE: &str =
    "[rules.frequentWithdrawals]\ncount = 2\n[rules.largeOutflow]\namount = \"50000\"\n";

/// Files of rules.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn rules(&self, name: &str, toml: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, toml).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn url(store: &Store) -> &str {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    &urls.service
}

async fn backtest(url: &str, rules: &str, words: &[&str]) -> Ran {
    let verb = ["fraud", "backtest", "--database-url", url, "--rules", rules];
    run(verb.iter().chain(words)).await
}

/// The JSON document that it prints.
async fn document(store: &Store, rules: &str, words: &[&str]) -> Value {
    let ran = backtest(url(store), rules, &[words, &["--json"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

fn rule<'a>(document: &'a Value, name: &str) -> &'a Value {
    let rules = document["rules"].as_array().unwrap();
    rules.iter().find(|rule| rule["rule"] == name).unwrap()
}

fn ids(alerts: &Value) -> Vec<&str> {
    alerts.as_array().unwrap().iter().map(|alert| alert["id"].as_str().unwrap()).collect()
}

/// In every partition a wallet with a large outflow, one with two small ones, one with three.
async fn business(partitions: u32) -> Watch {
    let watch = Watch::new(partitions).await;
    for partition in 0..partitions {
        let of = |name| id_in(partition, partitions, name);
        for (wallet, amount, times) in [("a", "10000", 1), ("b", "1", 2), ("c", "1", 3)] {
            watch.accepted(deposit(&of(wallet), "1000000")).await;
            for _ in 0..times {
                watch.accepted(withdraw(&of(wallet), amount)).await;
            }
        }
    }
    watch.fold().await;
    watch
}

#[tokio::test]
async fn a_candidate_is_compared_with_what_the_live_rules_found() {
    let watch = business(1).await;
    let large = "largeOutflow:0-3";
    review::decide(watch.pool(), large, Verdict::Dismissed, "olga", Some("a car")).await.unwrap();
    let files = Files::new();
    let candidate = files.rules("candidate.toml", CANDIDATE);
    let found = document(&watch.store, &candidate, &[]).await;
    assert_eq!(found["candidate"], json!(candidate));
    assert_eq!(found["baseline"], "live");
    let partition = json!([{ "from": "0-1", "to": "0-12", "judgedTo": "0-12" }]);
    assert_eq!(found["partitions"], partition);
    assert_eq!((&found["events"], &found["movements"]), (&json!(12), &json!(9)));
    // Of b at its second, of c at its second and no longer at its third.
    let expected = json!({
        "rule": "frequentWithdrawals",
        "candidate": { "alerts": 2, "wallets": 2 }, "baseline": { "alerts": 1, "wallets": 1 },
        "unchanged": 0, "unchangedDismissed": 0, "new": 2, "gone": 1, "goneDismissed": 0,
        "notJudgedYet": 0,
    });
    assert_eq!(rule(&found, "frequentWithdrawals"), &expected);
    let expected = json!({
        "rule": "largeOutflow",
        "candidate": { "alerts": 0, "wallets": 0 }, "baseline": { "alerts": 1, "wallets": 1 },
        "unchanged": 0, "unchangedDismissed": 0, "new": 0, "gone": 1, "goneDismissed": 1,
        "notJudgedYet": 0,
    });
    assert_eq!(rule(&found, "largeOutflow"), &expected);
    assert_eq!(found["wallets"], json!({ "candidate": 2, "baseline": 2 }));
    let new = ["frequentWithdrawals:0-7", "frequentWithdrawals:0-11"];
    assert_eq!(ids(&found["new"]), new);
    assert_eq!(ids(&found["gone"]), [large, "frequentWithdrawals:0-12"]);
    let (first, gone) = (&found["new"][0], &found["gone"][0]);
    assert_eq!((&first["event"], &first["sum"]), (&json!("0-7"), &json!("2.00")));
    assert_eq!(first["reason"], "2 withdrawals within 60 s");
    assert_eq!(gone["dismissed"], true);
    let ran = backtest(url(&watch.store), &candidate, &["--show", "1"]).await;
    assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{ran:?}");
    let lines: Vec<Vec<&str>> =
        ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    for expected in [
        "9 movements in 12 events of 0-1 to 0-12.",
        "frequentWithdrawals 2 2 1 1 0 2 1",
        "largeOutflow 0 0 1 1 0 0 1",
        "all 2 2 2 2 0 2 2",
        "Of 1 alerts that were dismissed as no fraud, 1 are gone.",
        "new: 1 of 2",
        "gone: 1 of 2",
    ] {
        assert!(lines.iter().any(|line| line.join(" ") == expected), "{expected} in {}", ran.out);
    }
    assert!(ran.out.contains("frequentWithdrawals: 2 withdrawals within 60 s"), "{}", ran.out);
    assert!(ran.out.ends_with("where 10000 is large (dismissed)\n"), "{}", ran.out);
}

#[tokio::test]
async fn the_rules_in_force_find_again_what_they_found_in_every_partition() {
    let watch = business(4).await;
    let files = Files::new();
    let found = document(&watch.store, &files.rules("same.toml", ""), &[]).await;
    let live = watch.alerts().await.len();
    let unchanged: u64 = found["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            assert_eq!((&rule["new"], &rule["gone"]), (&json!(0), &json!(0)), "{rule}");
            rule["unchanged"].as_u64().unwrap()
        })
        .sum();
    assert_eq!((unchanged, live), (8, 8));
    assert_eq!(found["wallets"], json!({ "candidate": 8, "baseline": 8 }));
    // And a part of it: positions name the partition.
    let part = document(&watch.store, &files.rules("same.toml", ""), &["--to", "2-3"]).await;
    assert_eq!(part["partitions"], json!([{ "from": "2-1", "to": "2-3", "judgedTo": "2-3" }]));
    assert_eq!(rule(&part, "largeOutflow")["unchanged"], 1);
    assert_eq!(rule(&part, "frequentWithdrawals")["unchanged"], 0);
}

#[tokio::test]
async fn what_the_live_rules_have_not_judged_yet_is_not_new() {
    let watch = business(1).await;
    watch.large_outflow(&id("late")).await;
    let files = Files::new();
    let same = files.rules("same.toml", "");
    let found = document(&watch.store, &same, &[]).await;
    let large = rule(&found, "largeOutflow");
    assert_eq!((&large["notJudgedYet"], &large["new"]), (&json!(1), &json!(0)));
    assert_eq!(large["candidate"], json!({ "alerts": 2, "wallets": 2 }));
    let ran = backtest(url(&watch.store), &same, &[]).await;
    assert!(ran.out.contains("0-1 to 0-15 (judged live up to 0-12)"), "{}", ran.out);
    assert!(ran.out.contains("\n1 alerts of the candidate are of events that"), "{}", ran.out);
}

#[tokio::test]
async fn two_files_are_compared_without_the_alerts_on_record() {
    let watch = business(1).await;
    watch.empty().await;
    let files = Files::new();
    let (candidate, other) = (files.rules("a.toml", CANDIDATE), files.rules("b.toml", ""));
    let found = document(&watch.store, &candidate, &["--against", &other]).await;
    assert_eq!(found["baseline"], json!(other));
    assert_eq!(found["partitions"][0]["judgedTo"], json!(null));
    assert_eq!(ids(&found["new"]), ["frequentWithdrawals:0-7", "frequentWithdrawals:0-11"]);
    assert_eq!(ids(&found["gone"]), ["largeOutflow:0-3", "frequentWithdrawals:0-12"]);
    let back = document(&watch.store, &other, &["--against", &candidate, "--show", "0"]).await;
    assert_eq!((&back["new"], &back["gone"]), (&json!([]), &json!([])));
    assert_eq!(rule(&back, "frequentWithdrawals")["new"], 1);
}

/// Every row of every table, by table.
async fn contents(admin: &mut PgConnection) -> Vec<(String, Option<String>)> {
    let tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                   WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *admin).await.unwrap();
    let mut contents = Vec::new();
    for table in tables {
        let rows = format!("SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM {table} AS t");
        contents.push((table, sqlx::query_scalar(&rows).fetch_one(&mut *admin).await.unwrap()));
    }
    contents
}

#[tokio::test]
async fn it_changes_nothing_and_needs_no_right_but_to_read() {
    let watch = business(1).await;
    let mut admin = watch.admin().await;
    let role = "CREATE ROLE backtest_reader LOGIN PASSWORD 'reads';
                GRANT USAGE ON SCHEMA public TO backtest_reader;
                GRANT SELECT ON ALL TABLES IN SCHEMA public TO backtest_reader";
    sqlx::raw_sql(role).execute(&mut admin).await.unwrap();
    let (_, place) = url(&watch.store).rsplit_once('@').unwrap();
    let reader = format!("postgres://backtest_reader:reads@{place}");
    let mut refused = PgConnection::connect(&reader).await.unwrap();
    let delete = sqlx::raw_sql("DELETE FROM fraud_alerts").execute(&mut refused).await;
    assert!(delete.is_err(), "the role may only read");
    let before = contents(&mut admin).await;
    assert!(before.len() > 10, "{before:?}");
    let files = Files::new();
    let candidate = files.rules("candidate.toml", CANDIDATE);
    let ran = backtest(&reader, &candidate, &["--from", "2"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(contents(&mut admin).await, before);
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(19_000) + TimeDelta::seconds(second)
}

fn withdrawn(cents: i64, balance: i64) -> WalletEvent {
    WalletEvent::FundsWithdrawn {
        transaction_id: TransactionId(Uuid::now_v7()),
        amount: Decimal::new(cents, 2),
        currency: Currency::USD,
        balance: Decimal::new(balance, 2),
        metadata: None,
    }
}

/// A ledger whose times a test chooses.
struct Past {
    store: Store,
    head: Head,
}

impl Past {
    async fn new() -> Self {
        Self { store: Store::postgres(1).await, head: Head::EMPTY }
    }

    async fn record(&mut self, second: i64, write: impl FnOnce(&mut Batch)) {
        let mut batch = batch(0, self.head);
        batch.recorded_at = at(second);
        write(&mut batch);
        self.store.partition(0).append(&batch).await.unwrap();
        self.head = batch.head();
    }

    /// Opens a wallet and gives it a thousand.
    async fn open(&mut self, second: i64, wallet: &WalletId) {
        self.record(second, |batch| {
            wallet_event(batch, wallet, 1, &opened(), 0);
            wallet_event(batch, wallet, 2, &deposited(100_000, 100_000), 100_000);
        })
        .await;
    }

    /// The wallet's `nth` withdrawal, of a dollar.
    async fn withdraw(&mut self, second: i64, wallet: &WalletId, nth: u64) {
        let left = 100_000 - 100 * i64::try_from(nth).unwrap();
        let event = withdrawn(100, left);
        self.record(second, |batch| wallet_event(batch, wallet, nth + 2, &event, left)).await;
    }
}

#[tokio::test]
async fn what_is_counted_begins_with_from_and_what_is_remembered_earlier() {
    let (mut past, alice) = (Past::new().await, id("alice"));
    past.open(0, &alice).await;
    // Two and a third on the other side of the beginning.
    for (nth, second) in [(1, 100_000), (2, 100_010), (3, 100_020)] {
        past.withdraw(second, &alice, nth).await;
    }
    // Three before it, and a fourth after it that goes on with them.
    for (nth, second) in [(4, 200_000), (5, 200_010), (6, 200_020), (7, 200_030)] {
        past.withdraw(second, &alice, nth).await;
    }
    let watch = Watch::over(past.store);
    watch.fold().await;
    let files = Files::new();
    let same = files.rules("same.toml", "");
    for (from, alerts) in [("5", 2), ("6", 1), ("9", 0)] {
        let found = document(&watch.store, &same, &["--from", from]).await;
        let withdrawals = rule(&found, "frequentWithdrawals");
        assert_eq!(withdrawals["unchanged"], alerts, "from {from}: {withdrawals}");
        assert_eq!((&withdrawals["new"], &withdrawals["gone"]), (&json!(0), &json!(0)), "{from}");
    }
    let between = ["--from", &at(100_020).to_rfc3339(), "--to", &at(150_000).to_rfc3339()];
    let found = document(&watch.store, &same, &between).await;
    let partition = json!([{ "from": "0-5", "to": "0-5", "judgedTo": "0-5" }]);
    assert_eq!((&found["partitions"], &found["movements"]), (&partition, &json!(1)));
    assert_eq!(rule(&found, "frequentWithdrawals")["unchanged"], 1);
}

#[tokio::test]
async fn a_wallet_that_never_rests_is_judged_as_from_its_first_event() {
    let (mut past, shop) = (Past::new().await, id("shop"));
    past.open(0, &shop).await;
    // Every 25 s for longer than the reading begins earlier: one episode, which alerted long ago.
    for nth in 1..=300 {
        past.withdraw(25 * i64::try_from(nth).unwrap(), &shop, nth).await;
    }
    let watch = Watch::over(past.store);
    watch.fold().await;
    assert_eq!(watch.alerts().await.len(), 1);
    let files = Files::new();
    let same = files.rules("same.toml", "");
    let found = document(&watch.store, &same, &["--from", "290"]).await;
    let withdrawals = rule(&found, "frequentWithdrawals");
    assert_eq!(withdrawals["candidate"], json!({ "alerts": 0, "wallets": 0 }), "{withdrawals}");
    assert_eq!(found["movements"], 13);
}

#[tokio::test]
async fn an_event_that_nobody_can_read_is_counted_and_left_out() {
    let (mut past, alice) = (Past::new().await, id("alice"));
    past.open(0, &alice).await;
    past.record(1, |batch| {
        let stream = ("Wallet", "alice", 3);
        let payload = r#"{"FundsBlessed":{"amount":"1.00"}}"#;
        raw_event(batch, stream, "FundsBlessed", payload, Some(100_000));
    })
    .await;
    let files = Files::new();
    let same = files.rules("same.toml", "");
    let found = document(&past.store, &same, &[]).await;
    assert_eq!((&found["unreadable"], &found["movements"]), (&json!(1), &json!(1)));
    let ran = backtest(url(&past.store), &same, &[]).await;
    assert!(ran.out.contains("1 events cannot be read, and were left out."), "{}", ran.out);
}

#[tokio::test]
async fn what_is_wrong_with_the_rules_or_the_range_is_said() {
    let store = Store::postgres(1).await;
    let files = Files::new();
    let good = files.rules("good.toml", "");
    let bad = files.rules("bad.toml", "[rules.frequentWithdrawals]\ncount = 17\n");
    let missing = format!("{good}.not");
    for (rules, words, expected) in [
        (&bad, vec![], "rules.frequentWithdrawals.count must be at most 16"),
        (&bad, vec![], "bad.toml"),
        (&good, vec!["--against", &bad], "rules.frequentWithdrawals.count must be at most 16"),
        (&missing, vec![], "cannot be read"),
        (&good, vec!["--to", "9"], "partition 0 ends at 0, before 9"),
    ] {
        let ran = backtest(url(&store), rules, &words).await;
        assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{ran:?}");
        assert!(ran.err.starts_with("florin: ") && ran.err.contains(expected), "{ran:?}");
        assert!(!ran.err.contains("FLORIN_FRAUD_RULES"), "no variable was read: {ran:?}");
    }
    for words in [&["--from", "yesterday"][..], &["--show", "10001"]] {
        let ran = backtest(url(&store), &good, words).await;
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{ran:?}");
    }
    for words in [&["fraud", "--help"][..], &["fraud", "backtest", "--help"]] {
        let ran = run(words).await;
        assert!(ran.code == Some(0) && ran.out.contains("Example: florin fraud"), "{ran:?}");
    }
    let nothing = document(&store, &good, &[]).await;
    assert_eq!((&nothing["events"], &nothing["new"]), (&json!(0), &json!([])));
}

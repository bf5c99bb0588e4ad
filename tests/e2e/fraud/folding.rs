use florin_domain::fraud::Rule;
use florin_projections::fraud::Fraud;
use florin_projections::fraud::review::{self, Verdict};
use florin_projections::fraud::settings::Adopted;
use florin_projections::replay::{Outcome, Replays};
use florin_tests::ask::{deposit, id, id_in, transfer, withdraw};
use florin_tests::watch::Watch;

/// Every rule has something to find, in every partition.
async fn business(watch: &Watch) {
    let partitions = watch.store.partitions();
    for partition in 0..partitions {
        let (a, b) = (id_in(partition, partitions, "a"), id_in(partition, partitions, "b"));
        watch.accepted(deposit(&a, "40000")).await;
        watch.accepted(transfer(&a, &b, "100")).await;
        watch.accepted(transfer(&b, &a, "95")).await;
        for number in 0..5 {
            watch.accepted(transfer(&a, &id(&format!("c{number}")), "10")).await;
        }
        for _ in 0..3 {
            watch.accepted(withdraw(&a, "12500")).await;
        }
    }
}

#[tokio::test]
async fn the_rules_find_the_same_in_a_fresh_fold_as_batch_by_batch() {
    for partitions in [1, 4] {
        let watch = Watch::new(partitions).await;
        for _ in 0..2 {
            business(&watch).await;
            watch.fold().await;
        }
        let (alerts, rows) = (watch.alerts().await, watch.rows().await);
        for rule in Rule::ALL {
            assert!(alerts.iter().any(|alert| alert.rule == *rule), "nothing found by {rule}");
        }
        watch.empty().await;
        assert_eq!(watch.rows().await, [""; 0]);
        watch.fold().await;
        assert_eq!(watch.rows().await, rows);
        assert_eq!(watch.alerts().await, alerts);
        watch.store.audit().await;
    }
}

#[tokio::test]
async fn decisions_and_publications_survive_a_fold_from_nothing() {
    let watch = Watch::new(1).await;
    watch.large_outflow(&id("alice")).await;
    watch.fold().await;
    let alert = watch.alerts().await.remove(0);
    review::decide(watch.pool(), &alert.id, Verdict::Dismissed, "olga", Some("a car"))
        .await
        .unwrap();
    let ids = [alert.id.clone()];
    florin_projections::outbox::record(watch.pool(), &ids).await.unwrap();
    florin_projections::fraud::publish::mark_published(watch.pool(), &ids).await.unwrap();
    let before = review::show(watch.pool(), &alert.id).await.unwrap().unwrap();
    let rows = watch.rows().await;
    assert!(before.published_at.is_some() && before.decisions.len() == 1, "{before:?}");
    watch.empty().await;
    watch.fold().await;
    assert_eq!(review::show(watch.pool(), &alert.id).await.unwrap(), Some(before));
    assert_eq!(watch.rows().await, rows);
}

#[tokio::test]
async fn a_replay_of_a_wallet_makes_its_alerts_anew_and_no_others() {
    let watch = Watch::new(1).await;
    business(&watch).await;
    watch.fold().await;
    let rows = watch.rows().await;
    let wallet = id_in(0, 1, "a");
    let park =
        "INSERT INTO parked_wallets (projection, partition, wallet_id, position, error, since)
                VALUES ('fraud', 0, $1, 1, 'by a test', now())";
    let mut admin = watch.admin().await;
    sqlx::query(park).bind(wallet.as_str()).execute(&mut admin).await.unwrap();
    let count = "UPDATE checkpoints SET parked = 1 WHERE projection = 'fraud'";
    sqlx::query(count).execute(&mut admin).await.unwrap();
    let florin_tests::store::Store::Postgres(journal, _) = &watch.store else { unreachable!() };
    let replays = Replays { pool: watch.pool(), model: &Fraud, journal: &**journal };
    let outcome = replays.replay(0, wallet.as_str()).await.unwrap();
    assert!(matches!(outcome, Outcome::Replayed { events: 11.., .. }), "{outcome:?}");
    assert_eq!(watch.rows().await, rows);
}

const TWO: &str = "[rules.frequentWithdrawals]\ncount = 2\n";

#[tokio::test]
async fn new_settings_judge_what_comes_and_leave_what_was_found() {
    let watch = Watch::new(1).await;
    let (early, late) = (id("early"), id("late"));
    let twice = async |wallet| {
        watch.accepted(deposit(wallet, "100")).await;
        watch.accepted(withdraw(wallet, "1")).await;
        watch.accepted(withdraw(wallet, "1")).await;
    };
    twice(&early).await;
    watch.fold().await;
    assert_eq!(watch.alerts().await, [], "two withdrawals are not many yet");
    assert_eq!(watch.adopt(TWO).await, [Adopted { partition: 0, after: 4 }]);
    assert_eq!(watch.adopt(TWO).await, [], "they are in force already");
    twice(&late).await;
    watch.fold().await;
    let alerts = watch.alerts().await;
    assert!(matches!(&alerts[..], [alert] if alert.wallet == late), "{alerts:?}");
    // A fresh fold is a fold by the settings on record, whatever the process was started with.
    let rows = watch.rows().await;
    watch.empty().await;
    watch.fold().await;
    assert_eq!(watch.rows().await, rows);
    // And back: two adoptions at one position are one.
    assert_eq!(watch.adopt("").await, [Adopted { partition: 0, after: 8 }]);
    assert_eq!(watch.adopt(TWO).await, [Adopted { partition: 0, after: 8 }]);
}

#[tokio::test]
async fn a_rebuild_in_tables_of_its_own_judges_the_past_by_the_present_settings() {
    let watch = Watch::new(1).await;
    let alice = id("alice");
    watch.accepted(deposit(&alice, "100")).await;
    watch.accepted(withdraw(&alice, "1")).await;
    watch.accepted(withdraw(&alice, "1")).await;
    watch.fold().await;
    watch.adopt(TWO).await;
    let mut admin = watch.admin().await;
    let tables = ["fraud_histories", "fraud_alerts", "fraud_settings", "checkpoints"];
    let copies: String = tables
        .map(|table| format!("CREATE TABLE anew.{table} (LIKE public.{table} INCLUDING ALL);"))
        .concat();
    let schema = format!("CREATE SCHEMA anew; {copies} SET search_path TO anew, public");
    sqlx::raw_sql(&schema).execute(&mut admin).await.unwrap();
    let settings = florin_tests::watch::rules(TWO);
    florin_projections::fraud::settings::adopt(&mut admin, 1, &settings).await.unwrap();
    let florin_tests::store::Store::Postgres(journal, _) = &watch.store else { unreachable!() };
    let folded =
        florin_projections::generation::fold::fold_until(&mut admin, &Fraud, &**journal, 0, 4)
            .await;
    folded.unwrap();
    let found: Vec<String> =
        sqlx::query_scalar("SELECT id FROM anew.fraud_alerts").fetch_all(&mut admin).await.unwrap();
    assert_eq!(found, ["frequentWithdrawals:0-4"]);
    assert_eq!(watch.alerts().await, [], "the live tables are as they were");
}

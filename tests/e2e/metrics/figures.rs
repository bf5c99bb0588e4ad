//! What is read from Postgres for whoever asks.

use florin_application::journal::Head;
use florin_tests::ask::id;
use florin_tests::batches::{batch, deposited, opening, raw_event, wallet_event};
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::scrape::Scrape;
use florin_tests::store::Store;
use serde_json::json;

use super::Deployment;

/// What of the read models, the relay and the rest is not as it is at rest.
fn unrest(scrape: &Scrape) -> Vec<(&str, Vec<&str>)> {
    let zeros = [
        "florin_projection_lag_events",
        "florin_projection_lag_seconds",
        "florin_projection_parked",
        "florin_relay_lag_events",
        "florin_relay_lag_seconds",
        "florin_dead_letters_open",
        "florin_transfers_open",
        "florin_operations_open",
        "florin_intake_untold",
    ];
    let of = |name: &'static str| {
        let mut values = scrape.values(name, &[]);
        values.retain(|value| *value != "0");
        (name, values)
    };
    zeros.into_iter().map(of).filter(|(_, values)| !values.is_empty()).collect()
}

#[tokio::test]
async fn at_rest_nothing_lags_and_the_money_adds_up() {
    let deployment = Deployment::whole(2).await;
    for wallet in ["alice", "bob", "carol"] {
        let path = format!("/wallets/{wallet}/deposit");
        assert_eq!(deployment.post(&path, &json!({ "amount": "10" })).await, 201);
    }
    let scrape = deployment
        .until("everything has caught up, and the sums are made", |scrape| {
            unrest(scrape).is_empty()
                && scrape.count("florin_journal_events", &[]) == 6
                && !scrape.values("florin_trial_balance_difference", &[]).is_empty()
        })
        .await;
    assert_eq!(scrape.values("florin_database_up", &[]), ["1"]);
    assert_eq!(scrape.values("florin_trial_balance_difference", &[("currency", "USD")]), ["0"]);
    // Four read models, and two partitions; operations and the intake have letters, too.
    assert_eq!(scrape.values("florin_projection_lag_events", &[]).len(), 8);
    assert_eq!(scrape.values("florin_projection_held", &[]), ["1"; 8]);
    assert_eq!(scrape.values("florin_relay_lag_seconds", &[]).len(), 2);
    assert_eq!(scrape.values("florin_dead_letters_open", &[]).len(), 6);
    assert!(scrape.count("florin_journal_size_bytes", &[]) > 8192);
    // Whichever process is asked says the same.
    let workers = Scrape::of(&deployment.workers_operators).await.unwrap();
    assert_eq!(workers.count("florin_journal_events", &[]), 6);
    assert_eq!(workers.count("process_memory_usage_bytes", &[]) / 1_000_000_000, 0);
    assert!(workers.count("process_memory_usage_bytes", &[]) > 1_000_000);
    deployment.stop().await;
}

#[tokio::test]
async fn without_a_worker_it_shows_what_is_missing() {
    let deployment = Deployment::of_service(Store::postgres(1).await).await;
    assert_eq!(deployment.post("/wallets/alice/deposit", &json!({ "amount": "10" })).await, 201);
    let scrape = deployment
        .until("nobody has taken in the two events", |scrape| {
            scrape.values("florin_projection_lag_events", &[("projection", "stats")]) == ["2"]
        })
        .await;
    assert_eq!(scrape.values("florin_relay_lag_events", &[("partition", "0")]), ["2"]);
    assert_eq!(scrape.values("florin_projection_held", &[("projection", "stats")]), ["0"]);
    let waits = scrape.values("florin_relay_lag_seconds", &[]);
    assert!(waits.len() == 1 && waits[0] != "0", "{waits:?}");
    deployment.stop().await;
}

#[tokio::test]
async fn a_dead_letter_and_its_wallet_show() {
    let deployment = Deployment::whole(1).await;
    let mut writer = deployment.store.partition(0);
    let opened = opening(0, Head::EMPTY, &id("alice"), 100);
    writer.append(&opened).await.unwrap();
    let mut poison = batch(0, opened.head());
    let payload = r#"{"FundsBlessed":{"amount":"1.00"}}"#;
    raw_event(&mut poison, ("Wallet", "alice", 3), "FundsBlessed", payload, Some(200));
    wallet_event(&mut poison, &id("alice"), 4, &deposited(100, 300), 300);
    writer.append(&poison).await.unwrap();
    let scrape = deployment
        .until("both events are set aside by each of the four read models", |scrape| {
            scrape.values("florin_dead_letters_open", &[("projection", "balance")]) == ["2"]
                && scrape.count("florin_dead_letters_open", &[]) == 8
        })
        .await;
    let parked = scrape.values("florin_projection_parked", &[("projection", "balance")]);
    assert_eq!(parked, ["1"]);
    assert_eq!(scrape.values("florin_dead_letters_open", &[("projection", "intake")]), ["0"]);
    deployment.stop().await;
}

#[tokio::test]
async fn without_postgres_the_figures_are_told_all_the_same() {
    let postgres = OwnPostgres::start().await;
    let deployment = Deployment::of_service(postgres.store(1).await).await;
    assert_eq!(deployment.post("/wallets/alice/deposit", &json!({ "amount": "10" })).await, 201);
    let is_up = |scrape: &Scrape, up: &str| scrape.values("florin_database_up", &[]) == [up];
    deployment.until("Postgres is there", |scrape| is_up(scrape, "1")).await;
    postgres.kill_hard().await;
    let scrape = deployment.until("Postgres is away", |scrape| is_up(scrape, "0")).await;
    for figure in ["florin_projection_lag_events", "florin_journal_events"] {
        assert_eq!(scrape.values(figure, &[]), [""; 0], "what is not known is not told");
    }
    let accepted = [("command", "deposit"), ("outcome", "accepted")];
    assert_eq!(scrape.count("florin_commands_total", &accepted), 1);
    let ready = reqwest::get(format!("{}/readyz", deployment.operators)).await.unwrap();
    assert_eq!(ready.status(), 503);
    let problem: serde_json::Value = ready.json().await.unwrap();
    assert_eq!(
        (&problem["code"], &problem["missing"]),
        (&json!("unavailable"), &json!(["postgres"]))
    );
    postgres.restart().await;
    deployment.until("Postgres is there again", |scrape| is_up(scrape, "1")).await;
    deployment.stop().await;
    postgres.stop().await;
}

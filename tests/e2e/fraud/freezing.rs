use std::sync::Arc;
use std::time::Duration;

use florin_adapters::fraud::FreezePolicy;
use florin_application::command::{RequestId, RequestIdError};
use florin_domain::WalletId;
use florin_domain::wallet::Status;
use florin_projections::fraud::policy;
use florin_tests::ask::{close, id, id_in, unfreeze, withdraw};
use florin_tests::store::eventually;
use florin_tests::watch::{Watch, rules};
use tokio::task::JoinHandle;

const FREEZE: &str = "[rules.largeOutflow]\nfreeze = true\n";

/// A policy at work, until it is dropped as by `kill -9`.
struct Working(JoinHandle<()>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the policy, and waits until it has begun.
async fn start(watch: &Watch, toml: &str) -> Working {
    let settings = rules(toml);
    let policy = FreezePolicy::new(watch.ledger.clone(), watch.pool().clone(), &settings);
    let policy = Arc::new(policy);
    let working = Working(tokio::spawn(async move { match policy.run().await {} }));
    let expected = if toml.is_empty() { 0 } else { i64::from(watch.store.partitions()) };
    eventually("the policy has begun", async || {
        let begun: i64 = sqlx::query_scalar("SELECT count(*) FROM freeze_policies")
            .fetch_one(watch.pool())
            .await
            .unwrap();
        if begun == expected { Ok(()) } else { Err(begun) }
    })
    .await;
    working
}

async fn status(watch: &Watch, wallet: &WalletId) -> Status {
    watch.ledger.wallet(wallet).await.unwrap().unwrap().account.status
}

async fn frozen(watch: &Watch, wallet: &WalletId) {
    eventually("the wallet is frozen", async || match status(watch, wallet).await {
        Status::Frozen => Ok(()),
        other @ (Status::Active | Status::Closed) => Err(other),
    })
    .await;
}

/// Waits until the policy has dealt with everything that is folded.
async fn settled(watch: &Watch) {
    eventually("the policy has come to the checkpoint", async || {
        let behind: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM freeze_policies f JOIN checkpoints c USING (partition)
              WHERE c.projection = 'fraud' AND f.position < c.position",
        )
        .fetch_one(watch.pool())
        .await
        .unwrap();
        if behind == 0 { Ok(()) } else { Err(behind) }
    })
    .await;
}

async fn freezes(watch: &Watch, wallet: &WalletId) -> usize {
    let stream = watch.store.stream(wallet.as_str()).await;
    stream.iter().filter(|event| *event == "WalletFrozen").count()
}

#[tokio::test]
async fn an_alert_freezes_its_wallet_once_by_a_key_that_no_client_can_have() {
    for partitions in [1, 4] {
        let watch = Watch::new(partitions).await;
        let policy = start(&watch, FREEZE).await;
        let wallet = id_in(partitions - 1, partitions, "w");
        watch.large_outflow(&wallet).await;
        watch.fold().await;
        frozen(&watch, &wallet).await;
        settled(&watch).await;
        let events = watch.store.events().await;
        let event = events.iter().find(|event| event.event_type == "WalletFrozen").unwrap();
        assert!(event.payload.contains("fraud: largeOutflow"), "{}", event.payload);
        let key = format!("fraud:largeOutflow:{}-3", partitions - 1);
        assert!(event.metadata.contains(&key), "{}", event.metadata);
        assert_eq!(key.parse::<RequestId>(), Err(RequestIdError::Reserved));
        // An operator thaws it: what was found before does not freeze it again.
        watch.accepted(unfreeze(&wallet)).await;
        drop(policy);
        let _policy = start(&watch, FREEZE).await;
        watch.fold().await;
        settled(&watch).await;
        assert_eq!(status(&watch, &wallet).await, Status::Active);
        // What is found now does.
        watch.accepted(withdraw(&wallet, "10000")).await;
        watch.fold().await;
        frozen(&watch, &wallet).await;
        assert_eq!(freezes(&watch, &wallet).await, 2);
        watch.store.audit().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_between_the_freeze_and_its_note_freezes_no_second_time() {
    let watch = Watch::new(1).await;
    let policy = start(&watch, FREEZE).await;
    let wallet = id("alice");
    // Dead before it notes: the position is set back to where it was.
    let noted = "SELECT position FROM freeze_policies";
    let before: i64 = sqlx::query_scalar(noted).fetch_one(watch.pool()).await.unwrap();
    watch.large_outflow(&wallet).await;
    watch.fold().await;
    frozen(&watch, &wallet).await;
    settled(&watch).await;
    drop(policy);
    let reset = "UPDATE freeze_policies SET position = $1";
    sqlx::query(reset).bind(before).execute(watch.pool()).await.unwrap();
    assert_eq!(policy::pending(watch.pool(), 10).await.unwrap().alerts.len(), 1);
    watch.accepted(unfreeze(&wallet)).await;
    let _policy = start(&watch, FREEZE).await;
    settled(&watch).await;
    assert_eq!(status(&watch, &wallet).await, Status::Active);
    assert_eq!(freezes(&watch, &wallet).await, 1);
}

#[tokio::test]
async fn what_is_found_while_no_process_is_at_work_is_dealt_with_later() {
    let watch = Watch::new(1).await;
    drop(start(&watch, FREEZE).await);
    let wallet = id("alice");
    watch.large_outflow(&wallet).await;
    watch.fold().await;
    assert_eq!(status(&watch, &wallet).await, Status::Active);
    let _policy = start(&watch, FREEZE).await;
    frozen(&watch, &wallet).await;
}

#[tokio::test]
async fn neither_the_past_nor_a_fold_from_nothing_freezes_anybody() {
    let watch = Watch::new(1).await;
    let (early, late) = (id("early"), id("late"));
    watch.large_outflow(&early).await;
    let _policy = start(&watch, FREEZE).await;
    // Found only now, but recorded before.
    watch.fold().await;
    settled(&watch).await;
    assert_eq!(status(&watch, &early).await, Status::Active);
    watch.large_outflow(&late).await;
    watch.fold().await;
    frozen(&watch, &late).await;
    settled(&watch).await;
    watch.accepted(unfreeze(&late)).await;
    watch.fold().await;
    settled(&watch).await;
    watch.empty().await;
    watch.fold().await;
    settled(&watch).await;
    assert_eq!(policy::pending(watch.pool(), 10).await.unwrap().alerts, []);
    assert_eq!(status(&watch, &late).await, Status::Active);
}

#[tokio::test]
async fn a_rule_that_no_longer_freezes_begins_anew_when_it_does_again() {
    let watch = Watch::new(1).await;
    drop(start(&watch, FREEZE).await);
    drop(start(&watch, "").await);
    let wallet = id("alice");
    watch.large_outflow(&wallet).await;
    watch.fold().await;
    let _policy = start(&watch, FREEZE).await;
    settled(&watch).await;
    assert_eq!(status(&watch, &wallet).await, Status::Active);
}

/// A refusal is an outcome: the next alert does not wait for it.
#[tokio::test]
async fn a_wallet_that_cannot_be_frozen_holds_nobody_up() {
    let watch = Watch::new(1).await;
    drop(start(&watch, FREEZE).await);
    let (gone, alice) = (id("gone"), id("alice"));
    watch.large_outflow(&gone).await;
    watch.accepted(withdraw(&gone, "990000")).await;
    watch.accepted(close(&gone)).await;
    watch.large_outflow(&alice).await;
    watch.fold().await;
    let _policy = start(&watch, FREEZE).await;
    frozen(&watch, &alice).await;
    assert_eq!(status(&watch, &gone).await, Status::Closed);
}

#[tokio::test]
async fn an_alert_wakes_the_policy_before_it_polls() {
    let watch = Watch::new(1).await;
    let _policy = start(&watch, FREEZE).await;
    let wallet = id("alice");
    let mut fastest = Duration::MAX;
    for lap in 0..5 {
        watch.large_outflow(&wallet).await;
        watch.fold().await;
        let began = tokio::time::Instant::now();
        frozen(&watch, &wallet).await;
        // The first may come just before a poll; each next one begins just after it.
        if lap > 0 {
            fastest = fastest.min(began.elapsed());
        }
        watch.accepted(unfreeze(&wallet)).await;
    }
    let poll = florin_adapters::postgres::wake::POLL;
    assert!(fastest < poll / 2, "{fastest:?} where the poll takes {poll:?}");
}

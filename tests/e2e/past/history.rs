//! `florin history`.

use std::collections::HashMap;

use florin_application::journal::Head;
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::upcast::decode;
use florin_domain::{TransferEvent, WalletEvent, WalletId, partition_of};
use florin_projections::history::{Entry, page_at};
use florin_tests::ask::{deposit, id, id_in, open, request, transfer};
use florin_tests::batches::{batch, opening, raw_event};
use florin_tests::feed::{Manner, random};
use florin_tests::projecting::{all_caught_up, every_model, pool};
use florin_tests::store::{Store, eventually};
use florin_tests::turmoil::turmoil;
use serde_json::{Value, json};

use super::{document, expect_refused, florin};

/// An entry by what a plain fold knows of it: its number, kind, status, amount and balance.
type Told = (u64, &'static str, &'static str, String, String);

/// The history of a wallet by these events of its partition, newest first.
fn fold(events: &[&RecordedEvent], wallet: &WalletId) -> Vec<Told> {
    let mut ends = HashMap::new();
    for recorded in events {
        match decode(recorded).unwrap() {
            Event::Transfer(TransferEvent::TransferCompleted(_)) => {
                ends.insert(recorded.aggregate_id.to_string(), "completed");
            }
            Event::Transfer(TransferEvent::TransferFailed { .. }) => {
                ends.insert(recorded.aggregate_id.to_string(), "failed");
            }
            Event::Transfer(
                TransferEvent::TransferInitiated { .. }
                | TransferEvent::TransferDebited(_)
                | TransferEvent::TransferCompensated { .. },
            )
            | Event::Wallet(_) => {}
        }
    }
    let mut entries = Vec::new();
    for recorded in events.iter().filter(|event| *event.aggregate_id == *wallet.as_str()) {
        let Event::Wallet(event) = decode(recorded).unwrap() else { continue };
        let (kind, status, amount, balance) = match event {
            WalletEvent::WalletOpened { .. }
            | WalletEvent::WalletFrozen { .. }
            | WalletEvent::WalletUnfrozen { .. }
            | WalletEvent::WalletClosed { .. } => continue,
            WalletEvent::FundsDeposited { amount, balance, .. } => {
                ("deposit", "completed", amount, balance)
            }
            WalletEvent::FundsWithdrawn { amount, balance, .. } => {
                ("withdrawal", "completed", amount, balance)
            }
            WalletEvent::FundsCredited { amount, balance, .. } => {
                ("transfer_in", "completed", amount, balance)
            }
            WalletEvent::FundsRefunded { amount, balance, .. } => {
                ("transfer_refund", "completed", amount, balance)
            }
            WalletEvent::FundsDebited { transfer_id, amount, balance, .. } => {
                let end = ends.get(&transfer_id.to_string()).copied();
                ("transfer_out", end.unwrap_or("pending"), amount, balance)
            }
        };
        let entry = entries.len() as u64 + 1;
        entries.push((entry, kind, status, amount.to_string(), balance.to_string()));
    }
    entries.reverse();
    entries
}

fn told(entry: &Entry) -> Told {
    let (amount, balance) = (entry.amount.to_string(), entry.balance_after.to_string());
    (entry.entry, entry.kind.name(), entry.status.name(), amount, balance)
}

#[tokio::test]
async fn the_history_at_any_moment_is_what_was_told_then_page_by_page() {
    let mut seed = 17;
    for partitions in [1, 4] {
        let store = Store::postgres(partitions).await;
        let wallets = turmoil(&store.process(), &mut seed, 300).await;
        all_caught_up(&store, &every_model(&store, |_| Manner::Faithful)).await;
        let events = store.events().await;
        let Store::Postgres(journal, _) = &store else { unreachable!() };
        for wallet in &wallets {
            let partition = partition_of(wallet, partitions);
            let here: Vec<&RecordedEvent> =
                events.iter().filter(|event| event.partition == partition).collect();
            for _ in 0..10 {
                let position = random(&mut seed) % (here.len() as u64 + 1);
                let until = usize::try_from(position).unwrap();
                let expected = fold(&here[..until], wallet);
                let (mut found, mut before) = (Vec::new(), None);
                loop {
                    let place = (partition, position);
                    let page = page_at(&pool(&store), &**journal, place, wallet, before, 7).await;
                    let page = page.unwrap();
                    found.extend(page.entries.iter().map(told));
                    before = page.next;
                    if before.is_none() {
                        break;
                    }
                }
                assert_eq!(found, expected, "{wallet} at {partition}-{position}");
            }
        }
        store.audit().await;
    }
}

/// Alice, in partition 0, has 5 and sends 1.50 to bob, in partition 3, whose partition is held; where
/// the money is in flight, and how it was then.
async fn in_flight(store: &Store, currency: &str) -> (WalletId, u64) {
    let ledger = store.process();
    let (alice, bob) = (id_in(0, 4, "a"), id_in(3, 4, "b"));
    ledger.submit(request(deposit(&alice, "5"))).await.unwrap();
    ledger.submit(request(open(&bob, currency))).await.unwrap();
    // What writes there is another process, so that the lock is not its own.
    let mut lock = store.partition(3);
    let head = lock.catch_up(0).await.unwrap().head;
    lock.lock(head.position).await.unwrap();
    let sending = ledger.submit(request(transfer(&alice, &bob, "1.50")));
    let meanwhile = async {
        let flying = eventually("the money leaves", async || {
            let events = store.events().await;
            let of_alice = |event: &&RecordedEvent| event.partition == 0;
            let last = events.iter().rfind(of_alice).unwrap();
            if last.event_type == "TransferDebited" { Ok(last.position) } else { Err(()) }
        })
        .await;
        lock.release().await;
        flying
    };
    let (sent, flying) = tokio::join!(sending, meanwhile);
    sent.unwrap();
    (alice, flying)
}

fn statuses(page: &Value) -> Vec<(&str, &str)> {
    let entries = page["data"].as_array().unwrap().iter();
    entries
        .map(|entry| (entry["type"].as_str().unwrap(), entry["status"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_transfer_that_has_ended_since_was_under_way_then() {
    for (currency, today) in [
        ("USD", &[("transfer_out", "completed"), ("deposit", "completed")][..]),
        (
            "EUR",
            &[
                ("transfer_refund", "completed"),
                ("transfer_out", "failed"),
                ("deposit", "completed"),
            ],
        ),
    ] {
        let store = Store::postgres(4).await;
        let (alice, flying) = in_flight(&store, currency).await;
        all_caught_up(&store, &every_model(&store, |_| Manner::Faithful)).await;
        let at = format!("0-{flying}");
        let then = document(&store, &["history", alice.as_str(), "--at", &at]).await;
        assert_eq!(statuses(&then), [("transfer_out", "pending"), ("deposit", "completed")]);
        assert_eq!(then["data"][0].get("failure"), None);
        assert_eq!(then["asOf"], at);
        let now = document(&store, &["history", alice.as_str()]).await;
        assert_eq!(statuses(&now), today);
    }
}

#[tokio::test]
async fn a_page_is_bounded_and_says_where_the_next_one_begins() {
    let store = Store::postgres(1).await;
    let ledger = store.process();
    for amount in ["1", "2", "3", "4"] {
        ledger.submit(request(deposit(&id("alice"), amount))).await.unwrap();
    }
    all_caught_up(&store, &every_model(&store, |_| Manner::Faithful)).await;
    let words = ["history", "alice", "--at", "4", "--limit", "2"];
    let page = document(&store, &words).await;
    assert_eq!((&page["nextCursor"], &page["hasMore"]), (&json!("2"), &json!(true)));
    assert_eq!(page["data"][0]["amount"], "3.00");
    let page = document(&store, &[&words[..], &["--cursor", "2"]].concat()).await;
    assert_eq!((&page["nextCursor"], &page["hasMore"]), (&json!(null), &json!(false)));
    assert_eq!(page["data"][0]["amount"], "1.00");
    let ran = florin(&store, &words).await;
    assert!(ran.out.starts_with("alice held 6.00 USD at 0-4.\n"), "{}", ran.out);
    assert!(ran.out.ends_with("There are more: --cursor 2\n"), "{}", ran.out);
}

#[tokio::test]
async fn a_history_that_is_not_whole_is_not_told() {
    let store = Store::postgres(1).await;
    let first = opening(0, Head::EMPTY, &id("alice"), 100);
    store.partition(0).append(&first).await.unwrap();
    expect_refused(
        &store,
        &["history", "alice"],
        "history is at 0 of partition 0, and not yet at 2: let `florin worker` catch up, or ask \
         for an earlier moment",
    )
    .await;
    let mut poison = batch(0, first.head());
    let payload = r#"{"FundsBlessed":{"amount":"1.00"}}"#;
    raw_event(&mut poison, ("Wallet", "alice", 3), "FundsBlessed", payload, Some(200));
    store.partition(0).append(&poison).await.unwrap();
    all_caught_up(&store, &every_model(&store, |_| Manner::Faithful)).await;
    expect_refused(
        &store,
        &["history", "alice"],
        "the wallet is parked in history at 0-3, which lies before: see `florin dlq show \
         history:0:3`, or ask for an earlier moment",
    )
    .await;
    let before = document(&store, &["history", "alice", "--at", "0-2"]).await;
    assert_eq!(statuses(&before), [("deposit", "completed")]);
    expect_refused(&store, &["history", "bob"], "there was no wallet bob at 0-3").await;
    let ran = florin(&store, &["history", "alice", "--limit", "201"]).await;
    assert!(ran.code == Some(2) && ran.err.contains("1..=200"), "{ran:?}");
}

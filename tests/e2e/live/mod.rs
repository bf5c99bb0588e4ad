//! Streams of events over HTTP: real server, real Postgres.

mod many;
mod outages;
mod pages;
mod resuming;
mod slow;
mod streams;

use florin_adapters::live::Bounds;
use florin_application::Ledger;
use florin_domain::WalletId;
use florin_tests::ask::{deposit, id_in, request, transfer};
use florin_tests::store::Store;
use serde_json::Value;

/// Streams that are silent for a moment only.
const IMPATIENT: Bounds =
    Bounds { heartbeat: std::time::Duration::from_millis(50), ..Bounds::SERVICE };

/// `<partition>-<position>` of every event in the journal, by partition.
async fn recorded(store: &Store) -> Vec<Vec<String>> {
    let mut ids = vec![Vec::new(); store.partitions() as usize];
    for event in store.events().await {
        ids[event.partition as usize].push(format!("{}-{}", event.partition, event.position));
    }
    ids
}

/// The same of the events that were received, in the order in which they came.
fn received(partitions: u32, events: &[Value]) -> Vec<Vec<String>> {
    let mut ids = vec![Vec::new(); partitions as usize];
    for event in events {
        let partition = event["partition"].as_u64().unwrap();
        ids[partition as usize].push(event["id"].as_str().unwrap().to_owned());
    }
    ids
}

/// The positions before the first event.
fn beginning(partitions: u32) -> String {
    (0..partitions).map(|p| format!("{p}-0")).collect::<Vec<_>>().join(",")
}

/// A wallet in each partition.
fn wallets(partitions: u32) -> Vec<WalletId> {
    (0..partitions).map(|partition| id_in(partition, partitions, "w")).collect()
}

/// So many deposits, and transfers from each wallet to the next, several at once.
async fn load(ledger: &Ledger, wallets: &[WalletId], commands: usize) {
    const AT_ONCE: usize = 8;
    let lanes = (0..AT_ONCE).map(|lane| async move {
        for step in (lane..commands).step_by(AT_ONCE) {
            let (from, to) = (&wallets[step % wallets.len()], &wallets[(step + 1) % wallets.len()]);
            let command = match step % 5 {
                4 if from != to => transfer(from, to, "1"),
                _ => deposit(from, "2"),
            };
            ledger.submit(request(command)).await.unwrap();
        }
    });
    futures::future::join_all(lanes).await;
}

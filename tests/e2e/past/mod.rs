//! What the journal says of the past: by its verbs and over HTTP.

mod balance;
mod diff;
mod events;
mod history;
mod http;
mod plans;

use std::collections::BTreeMap;

use florin_domain::WalletEvent;
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::upcast::decode;
use florin_tests::process::{Ran, run};
use florin_tests::store::Store;
use rust_decimal::Decimal;
use serde_json::Value;

/// A verb on this ledger.
async fn florin(store: &Store, words: &[&str]) -> Ran {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    let database = ["--database-url", &urls.service];
    run(words.iter().chain(&database)).await
}

/// The JSON document that a verb prints when all goes well.
async fn document(store: &Store, words: &[&str]) -> Value {
    let ran = florin(store, &[words, &["--json"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

/// The JSON lines that a verb prints when all goes well.
async fn lines(store: &Store, words: &[&str]) -> Vec<Value> {
    let ran = florin(store, &[words, &["--json"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Fails the test unless the verb refuses with this sentence, and says nothing else.
async fn expect_refused(store: &Store, words: &[&str], sentence: &str) {
    let ran = florin(store, words).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{words:?}: {ran:?}");
    assert_eq!(ran.err.trim(), format!("florin: {sentence}"), "{words:?}");
}

/// What a wallet was, by a fold of its events the plain way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plain {
    balance: Decimal,
    status: &'static str,
    version: u64,
    position: u64,
}

/// Every wallet of these events.
fn plain<'e>(events: impl IntoIterator<Item = &'e RecordedEvent>) -> BTreeMap<String, Plain> {
    let mut wallets: BTreeMap<String, Plain> = BTreeMap::new();
    for recorded in events {
        let Event::Wallet(event) = decode(recorded).unwrap() else { continue };
        let (balance, status) = match event {
            WalletEvent::WalletOpened { currency, .. } => {
                (Some(Decimal::new(0, currency.decimals())), Some("active"))
            }
            WalletEvent::FundsDeposited { balance, .. }
            | WalletEvent::FundsWithdrawn { balance, .. }
            | WalletEvent::FundsDebited { balance, .. }
            | WalletEvent::FundsCredited { balance, .. }
            | WalletEvent::FundsRefunded { balance, .. } => (Some(balance), None),
            WalletEvent::WalletFrozen { .. } => (None, Some("frozen")),
            WalletEvent::WalletUnfrozen { .. } => (None, Some("active")),
            WalletEvent::WalletClosed { .. } => (None, Some("closed")),
        };
        let wallet = wallets.entry(recorded.aggregate_id.to_string());
        let wallet = wallet.or_insert_with(|| Plain {
            balance: balance.unwrap(),
            status: status.unwrap(),
            version: 0,
            position: 0,
        });
        wallet.balance = balance.unwrap_or(wallet.balance);
        wallet.status = status.unwrap_or(wallet.status);
        wallet.version = recorded.sequence;
        wallet.position = recorded.position;
    }
    wallets
}

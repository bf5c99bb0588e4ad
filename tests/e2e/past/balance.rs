//! `florin balance`, and what is under it.

use florin_adapters::past;
use florin_adapters::postgres::past::position_at;
use florin_domain::journal::RecordedEvent;
use florin_domain::{WalletId, partition_of};
use florin_tests::ask::{close, deposit, freeze, id, open, request, transfer, withdraw};
use florin_tests::feed::random;
use florin_tests::projecting::pool;
use florin_tests::store::Store;
use florin_tests::turmoil::turmoil;
use serde_json::{Value, json};

use super::{Plain, document, expect_refused, florin, plain};

/// How often the model looks at the wallets while commands are made.
const LOOKS: usize = 10;

/// How many commands are made between two looks.
const BETWEEN: usize = 40;

/// Where every partition ends.
async fn heads(store: &Store) -> Vec<u64> {
    let mut heads = Vec::new();
    for partition in 0..store.partitions() {
        let head = florin_adapters::postgres::follow::head(&pool(store), partition).await;
        heads.push(head.unwrap());
    }
    heads
}

async fn then(store: &Store, wallet: &WalletId, position: u64) -> Option<Plain> {
    let row = past::wallet(&pool(store), wallet, position).await.unwrap()?;
    let (status, version) = (row.status_name(), row.version);
    Some(Plain { balance: row.balance, status, version, position: row.position })
}

/// What the write side says at a moment at which nothing moves.
async fn look(store: &Store, wallets: &[WalletId]) -> (Vec<u64>, Vec<Option<Plain>>) {
    let ledger = store.process();
    loop {
        let before = heads(store).await;
        let mut seen = Vec::new();
        for wallet in wallets {
            let state = ledger.wallet(wallet).await.unwrap();
            seen.push(state.map(|state| Plain {
                balance: state.account.balance,
                status: match serde_json::to_value(state.account.status).unwrap().as_str() {
                    Some("active") => "active",
                    Some("frozen") => "frozen",
                    _ => "closed",
                },
                version: state.version,
                position: state.position,
            }));
        }
        if heads(store).await == before {
            return (before, seen);
        }
    }
}

#[tokio::test]
async fn a_wallet_at_any_moment_is_what_the_ledger_said_at_that_moment() {
    let mut seed = 11;
    for partitions in [1, 4] {
        let store = Store::postgres(partitions).await;
        let ledger = store.process();
        let mut looks = Vec::new();
        let mut wallets = Vec::new();
        for _ in 0..LOOKS {
            wallets = turmoil(&ledger, &mut seed, BETWEEN).await;
            looks.push(look(&store, &wallets).await);
        }
        for (heads, seen) in &looks {
            for (wallet, expected) in wallets.iter().zip(seen) {
                let partition = partition_of(wallet, partitions) as usize;
                let found = then(&store, wallet, heads[partition]).await;
                assert_eq!(found, *expected, "{wallet} at {heads:?}");
            }
        }
        // And at any position between them, what the events up to there come to.
        let events = store.events().await;
        for wallet in &wallets {
            let partition = partition_of(wallet, partitions);
            let here: Vec<&RecordedEvent> =
                events.iter().filter(|event| event.partition == partition).collect();
            for round in 0..20 {
                let length = here.len() as u64;
                let position = match round {
                    0 => 0,
                    1 => length,
                    _ => random(&mut seed) % (length + 1),
                };
                let until = here.iter().copied().filter(|event| event.position <= position);
                let expected = plain(until).get(wallet.as_str()).cloned();
                assert_eq!(then(&store, wallet, position).await, expected, "{wallet} {position}");
            }
        }
        store.audit().await;
    }
}

#[tokio::test]
async fn the_position_at_a_time_is_that_of_the_last_event_recorded_until_then() {
    let store = Store::postgres(4).await;
    turmoil(&store.process(), &mut 12, 200).await;
    let events = store.events().await;
    for event in events.iter().step_by(7) {
        for micros in [-1, 0, 1] {
            let time = event.recorded_at + chrono::TimeDelta::microseconds(micros);
            for partition in 0..4 {
                let until = |other: &&RecordedEvent| {
                    other.partition == partition && other.recorded_at <= time
                };
                let expected = events.iter().filter(until).count() as u64;
                assert_eq!(position_at(&pool(&store), partition, time).await.unwrap(), expected);
            }
        }
    }
}

/// Alice is opened at 1, receives 5 at 2, is frozen at 3 and receives 2.50 at 4; bob is opened at 5.
async fn small() -> Store {
    let store = Store::postgres(1).await;
    let ledger = store.process();
    for command in [
        open(&id("alice"), "USD"),
        deposit(&id("alice"), "5"),
        freeze(&id("alice")),
        deposit(&id("alice"), "2.50"),
        open(&id("bob"), "EUR"),
    ] {
        ledger.submit(request(command)).await.unwrap();
    }
    store
}

#[tokio::test]
async fn a_balance_is_told_as_of_a_time_a_position_or_a_version() {
    let store = small().await;
    let events = store.events().await;
    let at = events[1].recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let told = |balance: &str, status: &str, version: u64, as_of: &str| json!({ "balance": balance, "status": status, "version": version, "asOf": as_of });
    for (words, expected) in [
        (&[][..], told("7.50", "frozen", 4, "0-5")),
        (&["--at", &at], told("5.00", "active", 2, "0-2")),
        (&["--at", "3"], told("5.00", "frozen", 3, "0-3")),
        (&["--at-position", "0-1"], told("0.00", "active", 1, "0-1")),
        (&["--at-position", "4"], told("7.50", "frozen", 4, "0-4")),
        (&["--at-version", "3"], told("5.00", "frozen", 3, "0-3")),
        (&["--at-version", "1"], told("0.00", "active", 1, "0-1")),
    ] {
        let found = document(&store, &[&["balance", "alice"], words].concat()).await;
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&found[name], value, "{name} of {words:?} in {found}");
        }
        assert_eq!(found["createdAt"], Value::String(time(&events[0])));
    }
    let ran = florin(&store, &["balance", "alice", "--at", "2"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in ["balance      5.00 USD", "status       active", "as of        0-2"] {
        assert!(ran.out.lines().any(|given| given == line), "{line} in {}", ran.out);
    }
}

fn time(event: &RecordedEvent) -> String {
    event.recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

#[tokio::test]
async fn what_is_no_moment_of_a_wallet_is_refused_with_a_sentence() {
    let store = small().await;
    for (words, sentence) in [
        (&["bob", "--at", "4"][..], "there was no wallet bob at 0-4"),
        (&["carol"], "there was no wallet carol at 0-5"),
        (&["carol", "--at-version", "1"], "there is no wallet carol"),
        (&["alice", "--at-position", "6"], "partition 0 ends at 5, before 6"),
        (&["alice", "--at-version", "5"], "alice is at version 4, and not at 5"),
        (
            &["alice", "--at", "1-2"],
            "the wallet lies in partition 0: say one position there, such as 0-123",
        ),
        (
            &["alice", "--at", "2100-01-01T00:00:00Z"],
            "the time lies in the future: ask for one that has passed",
        ),
    ] {
        expect_refused(&store, &[&["balance"], words].concat(), sentence).await;
    }
    for words in [
        &["balance", "a b"][..],
        &["balance", "alice", "--at", "yesterday"],
        &["balance", "alice", "--at", "1", "--at-version", "1"],
        &["balance", "alice", "--at-version", "0"],
        &["balance"],
    ] {
        let ran = florin(&store, words).await;
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{ran:?}");
    }
}

#[tokio::test]
async fn a_wallet_that_was_closed_is_told_as_it_was_before() {
    let store = Store::postgres(1).await;
    let ledger = store.process();
    let (alice, bob) = (id("alice"), id("bob"));
    for command in [deposit(&alice, "5"), transfer(&alice, &bob, "3"), withdraw(&alice, "2")] {
        ledger.submit(request(command)).await.unwrap();
    }
    let open = then(&store, &alice, u64::MAX).await.unwrap();
    ledger.submit(request(close(&alice))).await.unwrap();
    let closed = then(&store, &alice, u64::MAX).await.unwrap();
    assert_eq!((open.status, closed.status), ("active", "closed"));
    assert_eq!(then(&store, &alice, open.position).await, Some(open));
}

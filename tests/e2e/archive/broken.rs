//! A file that is not right is refused at its line, and nothing of it is kept.

use chrono::TimeDelta;
use florin_adapters::archive::write::{Archive, Format};
use florin_adapters::archive::{Head as End, Header, VERSION};
use florin_adapters::dev::DatabaseUrls;
use florin_application::journal::{Batch, Head};
use florin_domain::transfer::Leg;
use florin_domain::{TransferEvent, WalletId};
use florin_tests::ask::{deposit, id, id_in, keyed, request, withdraw};
use florin_tests::batches::{
    batch, departure, deposited, opening, raw_event, transfer_event, wallet_event,
};
use florin_tests::cluster::database;
use florin_tests::store::Store;
use tempfile::TempDir;

use super::{empty, exported, import, rows, urls};

/// Imports a text into an empty ledger, which must refuse it and stay empty; what it says.
async fn refused(there: &DatabaseUrls, text: &str) -> String {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("ledger");
    std::fs::write(&file, text).unwrap();
    let before = rows(there).await;
    let ran = import(there, &file, &[]).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{ran:?}");
    assert_eq!(rows(there).await, before);
    ran.err.trim().to_owned()
}

/// Two wallets, each alone in its partition, with two keys.
///
/// Lines: 1 header, 2 and 3 keys, 4 their end, 5 to 7 of partition 0, 8 and 9 of partition 1.
async fn small() -> Store {
    let store = Store::postgres(2).await;
    let ledger = store.process();
    let (a, b) = (id_in(0, 2, "a"), id_in(1, 2, "b"));
    for command in [
        keyed("d-1", deposit(&a, "10")),
        keyed("w-1", withdraw(&a, "4")),
        request(deposit(&b, "7")),
    ] {
        ledger.submit(command).await.unwrap();
    }
    store
}

/// What becomes of the lines.
type Harm = fn(&mut Vec<String>);

fn harmed(text: &str, harm: Harm) -> String {
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    harm(&mut lines);
    lines.join("\n")
}

fn put(line: &mut String, from: &str, to: &str) {
    assert!(line.contains(from), "{from} in {line}");
    *line = line.replacen(from, to, 1);
}

const HARMS: [(Harm, &str); 22] = [
    (|lines| lines[5] = "what is this".into(), "line 6: cannot be read as a line of an export"),
    (|lines| put(&mut lines[5], "10.00", "10.01"), "line 6: 0-2: its hash does not match"),
    (|lines| put(&mut lines[5], "d-1", "d-2"), "line 6: 0-2: its hash does not match"),
    (|lines| put(&mut lines[7], "{\"WalletOpened\":{", "{\"WalletOpened\":{ "), "line 8: 1-1: its"),
    (|lines| put(&mut lines[6], "\"balance\":\"6.00\"", "\"balance\":\"6.0\""), "line 7: 0-3: its"),
    (|lines| drop(lines.remove(5)), "line 6: 0-2: the event is missing"),
    (|lines| lines.insert(6, lines[5].clone()), "line 7: 0-2: follows position 2"),
    (|lines| lines.swap(5, 6), "line 6: 0-2: the event is missing"),
    (|lines| drop(lines.remove(6)), "line 7: partition 0 ends after position 2, and not after 3"),
    (|lines| drop(lines.pop()), "line 8: partition 1 ends after position 1, and not after 2"),
    (|lines| lines.truncate(7), "line 7: partition 1 ends after position 0, and not after 2"),
    (|lines| lines[8].truncate(100), "line 9: cannot be read as a line of an export: EOF"),
    (|lines| lines.rotate_left(1), "line 1: the first line of an export is missing"),
    (|lines| lines.insert(4, lines[0].clone()), "line 5: a file has one first line only"),
    (
        |lines| put(&mut lines[0], "\"version\":1", "\"version\":2"),
        "line 1: the file is of version 2",
    ),
    (|lines| put(&mut lines[0], "1-2", "1-1"), "line 8: its hash is not the one that the first"),
    (|lines| put(&mut lines[0], "\"hash\":\"", "\"hash\":\"0"), "line 1: there is not one head"),
    (|lines| drop(lines.remove(1)), "line 3: there were 1 keys, and not 2"),
    (|lines| put(&mut lines[1], "\"fingerprint\":\"", "\"fingerprint\":\"0"), "line 2: the fing"),
    (|lines| put(&mut lines[2], "w-1", "w-2"), "line 4: the keys are not those that were exported"),
    (|lines| drop(lines.remove(3)), "line 4: the keys have no end"),
    (|lines| lines.clear(), "line 1: the file is empty"),
];

#[tokio::test]
async fn a_broken_line_is_named_and_nothing_is_kept() {
    let (store, there) = (small().await, empty(2).await);
    let text = exported(urls(&store), "jsonl").await;
    assert_eq!(text.lines().count(), 9, "{text}");
    for (number, (harm, expected)) in HARMS.iter().enumerate() {
        let said = refused(&there, &harmed(&text, *harm)).await;
        assert!(said.starts_with(&format!("florin: {expected}")), "{number}: {said}");
        assert!(said.ends_with("nothing was imported"), "{number}: {said}");
    }
    // The same file without harm.
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("ledger");
    std::fs::write(&file, &text).unwrap();
    assert_eq!(import(&there, &file, &[]).await.code, Some(0));
}

#[tokio::test]
async fn a_broken_row_of_csv_is_named_too() {
    let (store, there) = (small().await, empty(2).await);
    let text = exported(urls(&store), "csv").await;
    let harms: [(Harm, &str); 6] = [
        (|lines| put(&mut lines[0], "hash", "sha"), "line 1: the columns of an export are kind,"),
        (|lines| put(&mut lines[6], "10.00", "10.01"), "line 7: 0-2: its hash does not match"),
        (|lines| drop(lines.remove(6)), "line 7: 0-2: the event is missing"),
        (|lines| lines[6].push_str(",more"), "line 7: a row has 12 columns, this one has 13"),
        (|lines| put(&mut lines[5], ",1,", ",one,"), "line 6: `one` cannot be read as sequence"),
        (|lines| lines.truncate(8), "line 8: partition 1 ends after position 0, and not after 2"),
    ];
    for (number, (harm, expected)) in harms.iter().enumerate() {
        let said = refused(&there, &harmed(&text, *harm)).await;
        assert!(said.starts_with(&format!("florin: {expected}")), "{number}: {said}");
    }
}

/// A file of what a forger chained anew.
fn forged(partitions: u32, batches: &[&Batch]) -> String {
    let heads = batches.iter().map(|batch| {
        let Head { position, hash, .. } = batch.head();
        End::new(batch.partition, position, &hash)
    });
    forged_to(partitions, heads.collect(), batches)
}

/// The same, with the heads that it says it has.
fn forged_to(partitions: u32, heads: Vec<End>, batches: &[&Batch]) -> String {
    let header = Header { version: VERSION, partitions, partial: false, keys: false, heads };
    let mut archive = Archive::begin(Vec::new(), Format::Jsonl, &header).unwrap();
    for event in batches.iter().flat_map(|batch| &batch.events) {
        archive.event(event).unwrap();
    }
    String::from_utf8(archive.finish().unwrap()).unwrap()
}

/// A journal of three events, of which the first line names two.
fn of_three(wallet: &WalletId) -> String {
    let mut batch = opening(0, Head::EMPTY, wallet, 100);
    let second = batch.head();
    wallet_event(&mut batch, wallet, 3, &deposited(100, 200), 200);
    forged_to(1, vec![End::new(0, 2, &second.hash)], &[&batch])
}

#[tokio::test]
async fn a_chain_that_holds_is_not_enough() {
    let alice = id("alice");
    let one = empty(1).await;
    let opened = || opening(0, Head::EMPTY, &alice, 100);
    let forge = |forge: &dyn Fn(&mut Batch)| {
        let mut batch = opened();
        forge(&mut batch);
        forged(1, &[&batch])
    };
    let cases = [
        (
            forge(&|batch| wallet_event(batch, &alice, 3, &deposited(100, 900), 900)),
            "line 4: 0-3: balance 9.00 follows 1.00 by 1.00",
        ),
        (
            forge(&|batch| wallet_event(batch, &alice, 5, &deposited(100, 200), 200)),
            "line 4: 0-3: sequence 5 follows 2",
        ),
        (
            forge(&|batch| {
                batch.recorded_at -= TimeDelta::seconds(1);
                wallet_event(batch, &alice, 3, &deposited(100, 200), 200);
            }),
            "line 4: 0-3: it was recorded earlier than the event before it",
        ),
        (
            forge(&|batch| {
                let blessed = r#"{"FundsBlessed":{"amount":"1.00"}}"#;
                raw_event(batch, ("Wallet", "alice", 3), "FundsBlessed", blessed, Some(200));
            }),
            "line 4: 0-3: it cannot be read: FundsBlessed 1.0",
        ),
    ];
    for (text, expected) in cases {
        let said = refused(&one, &text).await;
        assert!(said.starts_with(&format!("florin: {expected}")), "{said}");
    }
    // A head that there was once.
    let said = refused(&one, &of_three(&alice)).await;
    assert!(said.starts_with("florin: line 4: 0-3 comes after 0-2, the end that"), "{said}");
    let two = empty(2).await;
    let astray = opening(0, Head::EMPTY, &id_in(1, 2, "b"), 100);
    let said = refused(&two, &forged(2, &[&astray, &batch(1, Head::EMPTY)])).await;
    assert!(said.contains("line 2: ") && said.contains("belongs to partition 1"), "{said}");
}

#[tokio::test]
async fn a_transfer_that_claims_what_did_not_happen_is_refused_at_the_end() {
    let (from, to) = (id_in(0, 1, "from"), id("to"));
    let there = empty(1).await;
    let first = opening(0, Head::EMPTY, &from, 500);
    let mut second = departure(0, first.head(), &from, &to, 500);
    let transfer = second.started[0];
    let leg = Leg { balance: 5.into(), version: 1, partition: 0, position: 7 };
    transfer_event(&mut second, transfer, 3, &TransferEvent::TransferCompleted(leg));
    let whole = Batch { events: [first.events, second.events].concat(), ..batch(0, Head::EMPTY) };
    let said = refused(&there, &forged(1, &[&whole])).await;
    let expected =
        format!("florin: 0-6: transfer {transfer} is Completed over 5.00, but was debited");
    assert!(said.starts_with(&expected), "{said}");
}

#[tokio::test]
async fn a_ledger_that_cannot_take_the_file_says_what_mends_it() {
    let (store, dir) = (small().await, TempDir::new().unwrap());
    let file = dir.path().join("ledger.jsonl");
    std::fs::write(&file, exported(urls(&store), "jsonl").await).unwrap();
    let unmigrated = database().await;
    for (there, expected) in [
        (urls(&store).clone(), "this ledger is not empty: import into a new database"),
        (empty(1).await, "the file is of a ledger of 2 partitions, and this one has 1: import"),
        (unmigrated, "the database is not migrated to this version: run `florin migrate`"),
    ] {
        let ran = import(&there, &file, &[]).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.starts_with(&format!("florin: {expected}")), "{}", ran.err);
    }
    let ran = import(&empty(2).await, &dir.path().join("none"), &[]).await;
    assert!(ran.code == Some(1) && ran.err.contains("none cannot be read"), "{ran:?}");
}

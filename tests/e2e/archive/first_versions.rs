//! Every event in the first version of its shape, as a journal of long ago: it is imported, proved, and
//! folded by today's workers to today's read models.
//!
//! `tests/fixtures/first_versions.jsonl` never changes: it stands for what is on the disks of ledgers.
//! It was made of the events below, by `FLORIN_FREEZE=1`; a new event is added at its end in that way,
//! and a new version of an old one leaves the file alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use florin_adapters::archive::write::{Archive, Format};
use florin_adapters::archive::{Head as End, Header, VERSION};
use florin_application::journal::Head;
use florin_domain::journal::{EVENT_TYPES, GENESIS, RecordedEvent, event_type_named};
use florin_tests::ask::{deposit, id, movement, request};
use florin_tests::fresh_fold::database_equals_fresh_fold;
use florin_tests::lag::read_models_behind;
use florin_tests::messages::{check, everything};
use florin_tests::nats::{OwnNats, pool};
use florin_tests::process::{Florin, run};
use florin_tests::store::eventually;
use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;

use super::{empty, import, opened};

const T1: &str = "01890000-0000-7000-8000-000000000001";
const T2: &str = "01890000-0000-7000-8000-000000000002";

/// Stream, its number there, the event's name, its JSON, and what the wallet then holds. All of them
/// are of version 1.0, in the smallest form that it had.
const EVENTS: [(&str, u64, &str, &str, &str); 19] = [
    ("alice", 1, "WalletOpened", r#"{"WalletOpened":{}}"#, "0.00"),
    (
        "alice",
        2,
        "FundsDeposited",
        r#"{"FundsDeposited":{"transactionId":"01890000-0000-7000-8000-00000000000a","amount":"100.00","currency":"USD","balance":"100.00","metadata":{"order":7.10}}}"#,
        "100.00",
    ),
    (
        "alice",
        3,
        "FundsWithdrawn",
        r#"{"FundsWithdrawn":{"transactionId":"01890000-0000-7000-8000-00000000000b","amount":"30.00","currency":"USD","balance":"70.00"}}"#,
        "70.00",
    ),
    ("bob", 1, "WalletOpened", r#"{"WalletOpened":{}}"#, "0.00"),
    (
        T1,
        1,
        "TransferInitiated",
        r#"{"TransferInitiated":{"from":"alice","to":"bob","amount":"20.00","currency":"USD"}}"#,
        "",
    ),
    (
        "alice",
        4,
        "FundsDebited",
        r#"{"FundsDebited":{"transferId":"01890000-0000-7000-8000-000000000001","counterparty":"bob","amount":"20.00","currency":"USD","balance":"50.00"}}"#,
        "50.00",
    ),
    (
        T1,
        2,
        "TransferDebited",
        r#"{"TransferDebited":{"balance":"50.00","version":4,"partition":0,"position":6}}"#,
        "",
    ),
    (
        "bob",
        2,
        "FundsCredited",
        r#"{"FundsCredited":{"transferId":"01890000-0000-7000-8000-000000000001","counterparty":"alice","amount":"20.00","currency":"USD","balance":"20.00"}}"#,
        "20.00",
    ),
    (
        T1,
        3,
        "TransferCompleted",
        r#"{"TransferCompleted":{"balance":"20.00","version":2,"partition":0,"position":8}}"#,
        "",
    ),
    ("bob", 3, "WalletFrozen", r#"{"WalletFrozen":{"reason":"asked by support"}}"#, "20.00"),
    ("bob", 4, "WalletUnfrozen", r#"{"WalletUnfrozen":{}}"#, "20.00"),
    ("carol", 1, "WalletOpened", r#"{"WalletOpened":{"owner":"user-1"}}"#, "0.00"),
    ("carol", 2, "WalletClosed", r#"{"WalletClosed":{}}"#, "0.00"),
    (
        T2,
        1,
        "TransferInitiated",
        r#"{"TransferInitiated":{"from":"alice","to":"carol","amount":"10.00","currency":"USD"}}"#,
        "",
    ),
    (
        "alice",
        5,
        "FundsDebited",
        r#"{"FundsDebited":{"transferId":"01890000-0000-7000-8000-000000000002","counterparty":"carol","amount":"10.00","currency":"USD","balance":"40.00"}}"#,
        "40.00",
    ),
    (
        T2,
        2,
        "TransferDebited",
        r#"{"TransferDebited":{"balance":"40.00","version":5,"partition":0,"position":15}}"#,
        "",
    ),
    (
        "alice",
        6,
        "FundsRefunded",
        r#"{"FundsRefunded":{"transferId":"01890000-0000-7000-8000-000000000002","counterparty":"carol","amount":"10.00","currency":"USD","balance":"50.00"}}"#,
        "50.00",
    ),
    (
        T2,
        3,
        "TransferCompensated",
        r#"{"TransferCompensated":{"reason":{"code":"wallet-closed"}}}"#,
        "",
    ),
    (T2, 4, "TransferFailed", r#"{"TransferFailed":{"reason":{"code":"wallet-closed"}}}"#, ""),
];

fn began() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

/// A second passes between two of them.
fn written() -> String {
    let (mut head, mut events) = (Head { hash: GENESIS, ..Head::EMPTY }, Vec::new());
    for (stream, sequence, name, payload, balance) in EVENTS {
        let position = head.position + 1;
        let mut event = RecordedEvent {
            partition: 0,
            position,
            aggregate_type: if balance.is_empty() { "Transfer" } else { "Wallet" },
            aggregate_id: stream.into(),
            sequence,
            event_type: event_type_named(name),
            event_version: "1.0".to_owned(),
            payload: payload.to_owned(),
            metadata: "{}".into(),
            balance: balance.parse().ok(),
            recorded_at: began() + TimeDelta::seconds(i64::try_from(position).unwrap()),
            hash: GENESIS,
        };
        event.hash = event.chained(&head.hash);
        (head.position, head.hash) = (position, event.hash);
        events.push(event);
    }
    let header = Header {
        version: VERSION,
        partitions: 1,
        partial: false,
        keys: false,
        heads: vec![End::new(0, head.position, &head.hash)],
    };
    let mut archive = Archive::begin(Vec::new(), Format::Jsonl, &header).unwrap();
    events.iter().for_each(|event| archive.event(event).unwrap());
    String::from_utf8(archive.finish().unwrap()).unwrap()
}

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/first_versions.jsonl")
}

#[test]
fn the_fixture_is_what_was_written_then() {
    if std::env::var_os("FLORIN_FREEZE").is_some() {
        std::fs::write(fixture(), written()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(fixture()).unwrap(), written());
}

#[test]
fn every_event_is_in_it_in_its_first_version() {
    let text = std::fs::read_to_string(fixture()).unwrap();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let event: Value = serde_json::from_str(line).unwrap();
        let word = |name: &str| event["event"][name].as_str().unwrap().to_owned();
        versions.entry(word("eventType")).or_default().insert(word("eventVersion"));
    }
    let expected: BTreeSet<&str> = EVENT_TYPES.into();
    assert_eq!(versions.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    assert!(versions.values().all(|of| of.iter().eq(["1.0"])), "{versions:?}");
}

/// Rows as text, a line each.
async fn rows(pool: &PgPool, select: &str) -> Vec<String> {
    let select = format!("SELECT concat_ws(' ', {select}");
    sqlx::query_scalar(&select).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn the_first_version_of_every_event_is_folded_to_the_read_models_of_today() {
    let (there, nats) = (empty(1).await, OwnNats::start().await);
    let ran = import(&there, &fixture(), &[]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.starts_with("19 events of 3 wallets are imported, and verify."), "{}", ran.out);
    assert!(ran.out.contains("The file has no keys"), "{}", ran.out);
    let verify = run(["verify", "--database-url", &there.service]).await;
    assert_eq!(verify.code, Some(0), "{verify:?}");

    let dir = TempDir::new().unwrap();
    let mut worker = Florin::worker(dir.path(), &there.service, &nats.url());
    let store = opened(there.clone()).await;
    eventually("every read model has all of it", async || {
        match read_models_behind(pool(&store)).await {
            behind if behind.is_empty() => Ok(()),
            behind => Err(behind),
        }
    })
    .await;
    assert!(worker.terminate().await.success());
    // What is stored is published as it is, and others are told what it was like then.
    let published = everything(&nats.jetstream().await, "LEDGER").await;
    assert_eq!(published.len(), EVENTS.len());
    let contracts: BTreeSet<String> = published.iter().map(check).collect();
    let expected = EVENT_TYPES.iter().map(|name| format!("{name}-1.0"));
    assert_eq!(contracts, expected.collect());
    let balances =
        "wallet_id, currency, round(balance, 2), status, coalesce(owner, 'nobody'), version,
                    position) FROM balances ORDER BY wallet_id";
    assert_eq!(
        rows(pool(&store), balances).await,
        [
            "alice USD 50.00 active nobody 6 17",
            "bob USD 20.00 active nobody 4 11",
            "carol USD 0.00 closed user-1 2 13",
        ]
    );
    let movements = "wallet_id, entry, position, type, status, failure, amount, balance_after,
                     coalesce(counterparty, 'world'), metadata) FROM movements
                     ORDER BY wallet_id, entry";
    assert_eq!(
        rows(pool(&store), movements).await,
        [
            "alice 1 2 deposit completed 100.00 100.00 world {\"order\":7.10}",
            "alice 2 3 withdrawal completed 30.00 70.00 world",
            "alice 3 6 transfer_out completed 20.00 50.00 bob",
            "alice 4 15 transfer_out failed the wallet is closed 10.00 40.00 carol",
            "alice 5 17 transfer_refund completed 10.00 50.00 carol",
            "bob 1 8 transfer_in completed 20.00 20.00 alice",
        ]
    );
    let stats = "wallet_id, currency, deposited, deposits, withdrawn, withdrawals, transferred_in,
                 transfers_in, transferred_out, transfers_out,
                 extract(epoch FROM last_activity_at)::bigint - 1700000000)
                 FROM wallet_stats ORDER BY wallet_id";
    assert_eq!(
        rows(pool(&store), stats).await,
        [
            "alice USD 100.00 1 30.00 1 0 0 20.00 1 17",
            "bob USD 0 0 0 0 20.00 1 0 0 8",
            "carol USD 0 0 0 0 0 0 0 0",
        ]
    );
    assert_eq!(rows(pool(&store), "id) FROM fraud_alerts").await, [""; 0]);
    assert_eq!(rows(pool(&store), "position) FROM dead_letters").await, [""; 0]);
    database_equals_fresh_fold(&there).await;

    // And such a ledger goes on.
    let done = store.process().submit(request(deposit(&id("carla"), "1"))).await.unwrap();
    assert_eq!(movement(done).position, 21);
    store.audit().await;
    nats.stop().await;
}

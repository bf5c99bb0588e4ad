//! What moves: everything that the ledger is, and with it what its clients were promised.

use std::process::Stdio;

use florin_application::SubmitError;
use florin_application::journal::Head;
use florin_tests::ask::{
    atomic, deposit, freeze, id, id_in, keyed, keyed_atomic, movement, open, request, transfer,
    transferred, withdraw,
};
use florin_tests::batches::{batch, departure, kept_transfer, opening, raw_event};
use florin_tests::feed::Manner;
use florin_tests::fresh_fold::equals_fresh_fold;
use florin_tests::process::{command, run};
use florin_tests::projecting::{all_caught_up, every_model};
use florin_tests::store::{DEADLINE, Store, balance_of, eventually};
use florin_tests::turmoil::turmoil;
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::{empty, export, exported, import, opened, rows, urls};

/// A ledger with every kind of event and key, and with texts that are hard to carry.
async fn busy(partitions: u32) -> Store {
    let store = Store::postgres(partitions).await;
    let ledger = store.process();
    turmoil(&ledger, &mut 7, 120).await;
    let (alice, bob) = (id("alice"), id("bob"));
    for command in [
        keyed("d-1", deposit(&alice, "10")),
        keyed("\u{fc}, \"quoted\" \\ back", deposit(&alice, "5")),
        keyed("w-1", withdraw(&alice, "1000")),
        keyed("t-1", transfer(&alice, &bob, "3")),
        keyed("f-1", freeze(&bob)),
    ] {
        ledger.submit(command).await.unwrap();
    }
    let together = keyed_atomic("a-1", vec![deposit(&alice, "1"), withdraw(&alice, "1")]);
    ledger.submit_all(together).await.unwrap();
    ledger.submit_all(atomic(vec![open(&id("carol"), "EUR")])).await.unwrap();
    settled(&store).await;
    // Hand-made: a payload that is not one line, as another writer might have stored it.
    let partition = florin_domain::partition_of(&id("odd"), partitions);
    let head = head(&store, partition).await;
    let mut odd = batch(partition, head);
    odd.recorded_at = head.recorded_at;
    let payloads = [
        ("WalletOpened", "{ \"WalletOpened\":\n\t{\"currency\": \"USD\" } }"),
        ("WalletFrozen", "{\"WalletFrozen\":{\"reason\":\"\\\\ \\u00fc \\\"x\\\"\"}}  "),
    ];
    for (sequence, (name, payload)) in (1..).zip(payloads) {
        raw_event(&mut odd, ("Wallet", "odd", sequence), name, payload, Some(0));
    }
    store.partition(partition).append(&odd).await.unwrap();
    store
}

/// Waits until no transfer is under way.
async fn settled(store: &Store) {
    let pool = florin_tests::nats::pool(store);
    eventually("no transfer is under way", async || {
        let count = "SELECT count(*) FROM unfinished_transfers";
        match sqlx::query_scalar::<_, i64>(count).fetch_one(pool).await.unwrap() {
            0 => Ok(()),
            count => Err(count),
        }
    })
    .await;
}

async fn head(store: &Store, partition: u32) -> Head {
    store.partition(partition).catch_up(0).await.unwrap().head
}

#[tokio::test]
async fn a_ledger_moves_byte_for_byte_in_either_form() {
    let dir = TempDir::new().unwrap();
    for (partitions, format) in [(1, "jsonl"), (4, "jsonl"), (4, "csv")] {
        let store = busy(partitions).await;
        let before = rows(urls(&store)).await;
        let text = exported(urls(&store), format).await;
        let file = dir.path().join(format!("{partitions}.{format}"));
        std::fs::write(&file, &text).unwrap();
        let there = empty(partitions).await;
        let ran = import(&there, &file, &[]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(rows(&there).await, before, "{format}");
        assert_eq!(exported(&there, format).await, text, "{format}");
        let verify = run(["verify", "--database-url", &there.service]).await;
        assert_eq!(verify.code, Some(0), "{verify:?}");
        // The ledger goes on where it was, and its read models follow from the first event.
        let moved = opened(there).await;
        let ledger = moved.process();
        movement(ledger.submit(request(deposit(&id("alice"), "1"))).await.unwrap());
        all_caught_up(&moved, &every_model(&moved, |_| Manner::Faithful)).await;
        equals_fresh_fold(&moved).await;
        moved.audit().await;
    }
}

/// Else the first statements on it would be planned as if it were empty.
#[tokio::test]
async fn a_ledger_that_was_moved_is_known_to_the_planner_at_once() {
    let store = busy(1).await;
    let (there, dir) = (empty(1).await, TempDir::new().unwrap());
    let file = dir.path().join("ledger.jsonl");
    std::fs::write(&file, exported(urls(&store), "jsonl").await).unwrap();
    assert_eq!(import(&there, &file, &[]).await.code, Some(0));
    let mut connection = PgConnection::connect(&there.service).await.unwrap();
    for table in ["events", "idempotency_keys"] {
        let select = format!(
            "SELECT (SELECT count(*) FROM {table}), reltuples::bigint FROM pg_class
              WHERE oid = '{table}'::regclass"
        );
        let (rows, known): (i64, i64) =
            sqlx::query_as(&select).fetch_one(&mut connection).await.unwrap();
        assert!(rows > 0 && known == rows, "{table} has {rows} rows, and {known} are known");
    }
}

#[tokio::test]
async fn a_request_that_is_sent_again_after_the_move_has_no_second_effect() {
    let (dir, store) = (TempDir::new().unwrap(), Store::postgres(4).await);
    let (alice, bob) = (id("alice"), id("bob"));
    let bulk = || keyed_atomic("a-1", vec![deposit(&alice, "1"), deposit(&alice, "2")]);
    let requests = || {
        [
            keyed("d-1", deposit(&alice, "10")),
            keyed("t-1", transfer(&alice, &bob, "3")),
            keyed("w-1", withdraw(&alice, "1000")),
        ]
    };
    let ledger = store.process();
    let mut answers = Vec::new();
    for request in requests() {
        answers.push(ledger.submit(request).await.unwrap().outcome);
    }
    answers.push(ledger.submit_all(bulk()).await.unwrap().outcome);
    settled(&store).await;
    let file = dir.path().join("ledger.jsonl");
    std::fs::write(&file, exported(urls(&store), "jsonl").await).unwrap();
    let there = empty(4).await;
    assert_eq!(import(&there, &file, &[]).await.code, Some(0));
    let moved = opened(there).await;
    let (ledger, before) = (moved.process(), moved.events().await);
    let mut again = Vec::new();
    for request in requests() {
        again.push(ledger.submit(request).await.unwrap());
    }
    again.push(ledger.submit_all(bulk()).await.unwrap());
    assert!(again.iter().all(|answer| answer.replayed), "{again:?}");
    let again: Vec<_> = again.into_iter().map(|answer| answer.outcome).collect();
    assert_eq!(again, answers);
    let other = ledger.submit(keyed("d-1", deposit(&alice, "11"))).await.unwrap_err();
    assert!(matches!(other, SubmitError::KeyReused), "{other}");
    assert_eq!(moved.events().await, before);
}

#[tokio::test]
async fn a_transfer_whose_money_is_in_flight_arrives_after_the_move() {
    let (dir, store) = (TempDir::new().unwrap(), Store::postgres(2).await);
    let (from, to) = (id_in(0, 2, "from"), id_in(1, 2, "to"));
    let mut first = opening(0, Head::EMPTY, &from, 500);
    store.partition(0).append(&first).await.unwrap();
    first = departure(0, first.head(), &from, &to, 500);
    let transfer_id = first.started[0];
    first.keys.push(kept_transfer(&from, "t-1", transfer_id));
    store.partition(0).append(&first).await.unwrap();
    let file = dir.path().join("ledger.csv");
    std::fs::write(&file, exported(urls(&store), "csv").await).unwrap();
    let there = empty(2).await;
    let ran = import(&there, &file, &["--json"]).await;
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    let expected = json!({
        "events": 5, "wallets": 1, "keys": 1, "transfersUnderWay": 1,
        "positions": ["0-5", "1-0"],
    });
    assert_eq!(said, expected);
    assert_eq!(rows(&there).await, rows(urls(&store)).await);
    let moved = opened(there).await;
    let ledger = moved.process();
    eventually("the money arrives", async || match balance_of(&ledger, &to).await {
        balance if balance == "5.00" => Ok(()),
        balance => Err(balance),
    })
    .await;
    settled(&moved).await;
    moved.audit().await;
}

#[tokio::test]
async fn an_import_that_is_killed_leaves_nothing_behind() {
    let store = Store::postgres(1).await;
    let ledger = store.process();
    // More than are written at once.
    let deposits = (0..6_000).map(|_| ledger.submit(request(deposit(&id("alice"), "1"))));
    for answer in join_all(deposits).await {
        answer.unwrap();
    }
    let text = exported(urls(&store), "jsonl").await;
    let there = empty(1).await;
    let mut admin = PgConnection::connect(&there.admin).await.unwrap();
    let before = rows(&there).await;
    for signal in ["KILL", "INT"] {
        let verb = ["import", "--database-admin-url", &there.admin, "-"];
        let mut child = command(verb).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let half = text.match_indices('\n').nth(5_500).unwrap().0;
        input.write_all(&text.as_bytes()[..half]).await.unwrap();
        eventually("events are being written", async || {
            let copying = "SELECT count(*) FROM pg_stat_activity
                            WHERE datname = current_database() AND query LIKE 'COPY events%'
                              AND state = 'idle in transaction'";
            match sqlx::query_scalar::<_, i64>(copying).fetch_one(&mut admin).await.unwrap() {
                1 => Ok(()),
                count => Err(count),
            }
        })
        .await;
        florin_tests::process::signal(signal, child.id().unwrap()).await;
        let ended = timeout(DEADLINE, child.wait()).await.expect("it ends").unwrap();
        assert!(!ended.success(), "{ended}");
        assert_eq!(rows(&there).await, before);
    }
    // Nor does a lock stay.
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("ledger.jsonl");
    std::fs::write(&file, &text).unwrap();
    assert_eq!(import(&there, &file, &[]).await.code, Some(0));
    assert_eq!(rows(&there).await, rows(urls(&store)).await);
}

#[tokio::test]
async fn a_file_is_there_when_it_is_whole_and_replaces_none() {
    let (dir, store) = (TempDir::new().unwrap(), busy(1).await);
    let file = dir.path().join("ledger.jsonl");
    let out = ["--out", file.to_str().unwrap()];
    let ran = export(urls(&store), &out).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, exported(urls(&store), "jsonl").await);
    let ran = export(urls(&store), &out).await;
    let expected = format!("florin: {} exists: choose another name, or remove it", file.display());
    assert_eq!((ran.code, ran.err.trim()), (Some(1), &*expected));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    let nowhere = dir.path().join("none/ledger.jsonl");
    let ran = export(urls(&store), &["--out", nowhere.to_str().unwrap()]).await;
    assert!(ran.code == Some(1) && ran.err.contains("cannot be written"), "{ran:?}");
}

#[tokio::test]
async fn an_export_that_is_interrupted_leaves_no_file() {
    let (dir, store) = (TempDir::new().unwrap(), busy(1).await);
    // So that it stands still at its first key.
    let mut admin = PgConnection::connect(&urls(&store).admin).await.unwrap();
    let lock = "BEGIN; LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut admin).await.unwrap();
    let file = dir.path().join("ledger.jsonl");
    let out = ["export", "--database-url", &urls(&store).service, "--out", file.to_str().unwrap()];
    let mut child = command(out).spawn().unwrap();
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    eventually("it waits for the first key", async || {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database =
                         (SELECT oid FROM pg_database WHERE datname = current_database())";
        match sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut admin).await.unwrap() {
            1 => Ok(()),
            count => Err(count),
        }
    })
    .await;
    assert_eq!(files(), 1, "what is not whole lies beside");
    florin_tests::process::signal("INT", child.id().unwrap()).await;
    let ended = timeout(DEADLINE, child.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(130));
    assert_eq!(files(), 0);
}

#[tokio::test]
async fn operations_that_are_open_are_told_of_because_they_stay_behind() {
    let store = busy(1).await;
    let mut admin = PgConnection::connect(&urls(&store).admin).await.unwrap();
    let open =
        "INSERT INTO operations (id, partition, wallet_id, key_scope, fingerprint, kind, command)
                VALUES (gen_random_uuid(), 0, 'alice', 'alice', '', 'deposit', '{}')";
    sqlx::query(open).execute(&mut admin).await.unwrap();
    let ran = export(urls(&store), &[]).await;
    assert_eq!(ran.code, Some(0));
    assert!(ran.err.starts_with("florin: 1 operations are open"), "{}", ran.err);
}

#[tokio::test]
async fn a_receipt_of_before_is_the_same_after() {
    let store = Store::postgres(1).await;
    let ledger = store.process();
    let (alice, bob) = (id("alice"), id("bob"));
    ledger.submit(request(deposit(&alice, "10"))).await.unwrap();
    let sent = transferred(ledger.submit(request(transfer(&alice, &bob, "3"))).await.unwrap());
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("ledger.jsonl");
    std::fs::write(&file, exported(urls(&store), "jsonl").await).unwrap();
    let there = empty(1).await;
    assert_eq!(import(&there, &file, &[]).await.code, Some(0));
    let moved = opened(there).await;
    let known = moved.journal().transfer(sent.transfer_id).await.unwrap().unwrap();
    assert_eq!(known, store.journal().transfer(sent.transfer_id).await.unwrap().unwrap());
}

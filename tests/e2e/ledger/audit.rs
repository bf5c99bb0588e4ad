//! The record of a call is appended with what the call led to.

use std::sync::Arc;

use florin_application::audit::{Audit, Call, Entry};
use florin_application::command::{Outcome, Receipt};
use florin_application::{AtomicBulk, Command, Origin, Request};
use florin_domain::journal::RecordedEvent;
use florin_tests::ask::{
    atomic, deposit, freeze, id, id_in, keyed, request, transfer, unfreeze, withdraw,
};
use florin_tests::on_every_journal;
use florin_tests::store::Store;
use florin_tests::watch::pool_of;
use futures::future::join_all;
use serde_json::Value;
use uuid::Uuid;

on_every_journal!(
    every_event_names_its_call_and_the_call_is_on_record,
    what_writes_nothing_is_left_to_whoever_took_the_call,
    a_call_of_many_commands_is_on_record_once,
    an_atomic_bulk_is_recorded_with_what_became_of_it,
);

/// A call that is not on record yet.
fn call(subject: &str) -> Arc<Entry> {
    Arc::new(Entry::new(Call {
        id: Uuid::now_v7(),
        received_at: chrono::Utc::now(),
        method: "POST".to_owned(),
        url: "/wallets".to_owned(),
        headers: r#"{"host":"a"}"#.to_owned(),
        body: None,
        body_bytes: 0,
        client: Some("192.0.2.1".to_owned()),
        subject: Some(subject.to_owned()),
        trace_id: "0".repeat(32),
    }))
}

/// What this protocol says of an outcome.
fn status(outcome: &Outcome) -> u16 {
    match outcome {
        Outcome::Accepted(Receipt::Transfer(_)) => 202,
        Outcome::Accepted(_) => 200,
        Outcome::Refused(_) => 400,
    }
}

fn by(call: &Arc<Entry>, is_of_many: bool) -> Origin {
    Origin {
        traceparent: None,
        audit: Some(Audit::Due { entry: Arc::clone(call), status, is_of_many }),
    }
}

fn called(call: &Arc<Entry>, request: Request) -> Request {
    Request { origin: by(call, false), ..request }
}

/// The calls on record, with their statuses.
async fn on_record(store: &Store) -> Vec<(Uuid, u16)> {
    let mut rows: Vec<(Uuid, u16)> = match store {
        Store::Memory(journal) => {
            let rows = journal.calls();
            rows.iter().map(|row| (row.entry.call.id, row.status)).collect()
        }
        Store::Postgres(..) => {
            let rows: Vec<(Uuid, i16)> = sqlx::query_as("SELECT id, status FROM api_audit")
                .fetch_all(pool_of(store))
                .await
                .unwrap();
            rows.into_iter().map(|(id, status)| (id, status.try_into().unwrap())).collect()
        }
    };
    rows.sort_unstable();
    rows
}

/// The call that an event names.
fn named(event: &RecordedEvent) -> Option<Uuid> {
    let metadata: Value = serde_json::from_str(&event.metadata).unwrap();
    metadata.get("auditId").map(|id| id.as_str().unwrap().parse().unwrap())
}

async fn every_event_names_its_call_and_the_call_is_on_record(store: &Store) {
    let ledger = store.process();
    let (alice, bob) = (
        id_in(0, store.partitions(), "alice"),
        id_in(store.partitions() - 1, store.partitions(), "bob"),
    );
    let (paid, sent, failed) = (call("a"), call("b"), call("c"));
    ledger.submit(called(&paid, request(deposit(&alice, "10")))).await.unwrap();
    ledger.submit(called(&sent, request(transfer(&alice, &bob, "4")))).await.unwrap();
    // It leaves the transfer that failed on record.
    ledger.submit(called(&failed, request(transfer(&alice, &bob, "9")))).await.unwrap();
    assert_eq!(
        [paid.kept_as(), sent.kept_as(), failed.kept_as()],
        [Some(200), Some(202), Some(400)]
    );
    let ids = [paid.call.id, sent.call.id, failed.call.id];
    assert_eq!(on_record(store).await, [(ids[0], 200), (ids[1], 202), (ids[2], 400)]);
    let events = store.events().await;
    let of = |id: Uuid| events.iter().filter(|event| named(event) == Some(id)).count();
    // Opened, paid; initiated, and debited on both sides, bob opened, paid, completed; initiated,
    // failed.
    assert_eq!(ids.map(of), [2, 6, 2]);
    assert_eq!(events.len(), 10, "every event names one");
}

async fn what_writes_nothing_is_left_to_whoever_took_the_call(store: &Store) {
    let ledger = store.process();
    let alice = id("alice");
    let first = call("a");
    ledger.submit(called(&first, keyed("k", deposit(&alice, "1")))).await.unwrap();
    let (replayed, refused, kept) = (call("b"), call("c"), call("d"));
    ledger.submit(called(&replayed, keyed("k", deposit(&alice, "1")))).await.unwrap();
    ledger.submit(called(&refused, request(withdraw(&alice, "9")))).await.unwrap();
    // Under its key a refusal is written down.
    ledger.submit(called(&kept, keyed("r", withdraw(&alice, "9")))).await.unwrap();
    assert_eq!([replayed.kept_as(), refused.kept_as(), kept.kept_as()], [None, None, Some(400)]);
    assert_eq!(on_record(store).await, [(first.call.id, 200), (kept.call.id, 400)]);
    // Commands that nobody called for have none.
    ledger.submit(request(deposit(&alice, "1"))).await.unwrap();
    assert_eq!(on_record(store).await.len(), 2);
    assert_eq!(named(store.events().await.last().unwrap()), None);
}

/// Independent ones, in all partitions and over several appends, beside others of the same.
async fn a_call_of_many_commands_is_on_record_once(store: &Store) {
    let calls: Vec<Arc<Entry>> = (0..8).map(|_| call("bulk")).collect();
    let ledgers = [store.process(), store.process()];
    let send = async |(number, entry): (usize, &Arc<Entry>)| {
        let deposits = (0..60).map(|n| deposit(&id(&format!("w-{n}")), "1"));
        let requests = deposits
            .map(|command| Request { origin: by(entry, true), ..request(command) })
            .collect();
        let answers = ledgers[number % 2].submit_each(requests).await.unwrap();
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    };
    join_all(calls.iter().enumerate().map(send)).await;
    let mut expected: Vec<(Uuid, u16)> =
        calls.iter().map(|entry| (entry.call.id, entry.kept_as().unwrap())).collect();
    expected.sort_unstable();
    assert_eq!(on_record(store).await, expected);
    let events = store.events().await;
    for entry in &calls {
        let of = events.iter().filter(|event| named(event) == Some(entry.call.id));
        let deposits = of.filter(|event| &*event.event_type == "FundsDeposited");
        assert_eq!(deposits.count(), 60);
    }
}

async fn an_atomic_bulk_is_recorded_with_what_became_of_it(store: &Store) {
    let ledger = store.process();
    let alice = id("alice");
    let all = |entry: &Arc<Entry>, key: Option<&str>, commands: Vec<Command>| AtomicBulk {
        origin: by(entry, true),
        request_id: key.map(|key| key.parse().unwrap()),
        ..atomic(commands)
    };
    let (done, refused, kept) = (call("a"), call("b"), call("c"));
    let good = vec![deposit(&alice, "1"), freeze(&alice), unfreeze(&alice)];
    let bad = vec![deposit(&alice, "1"), withdraw(&alice, "9")];
    ledger.submit_all(all(&done, None, good)).await.unwrap();
    ledger.submit_all(all(&refused, None, bad.clone())).await.unwrap();
    ledger.submit_all(all(&kept, Some("k"), bad)).await.unwrap();
    assert_eq!([done.kept_as(), refused.kept_as(), kept.kept_as()], [Some(200), None, Some(400)]);
    assert_eq!(on_record(store).await, [(done.call.id, 200), (kept.call.id, 400)]);
    let events = store.events().await;
    assert_eq!(events.iter().filter_map(named).collect::<Vec<_>>(), [done.call.id; 4]);
}

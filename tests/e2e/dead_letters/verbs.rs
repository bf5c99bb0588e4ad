//! `florin dlq`, as processes.

use std::sync::Arc;

use florin_application::journal::{Batch, Head};
use florin_projections::balance::Balance;
use florin_tests::ask::id;
use florin_tests::batches::{batch, deposited, opening, raw_event, wallet_event};
use florin_tests::feed::Manner;
use florin_tests::flawed::{Flaw, Flawed};
use florin_tests::fresh_fold::equals_fresh_fold;
use florin_tests::process::{Ran, run};
use florin_tests::projecting::{Running, all_caught_up, every_model};
use florin_tests::store::Store;
use serde_json::{Value, json};
use uuid::Uuid;

/// A journal of one partition, with a batch for each draft.
async fn journal<const N: usize>(drafts: [&dyn Fn(Head) -> Batch; N]) -> Store {
    let store = Store::postgres(1).await;
    let mut head = Head::EMPTY;
    for draft in drafts {
        let batch = draft(head);
        store.partition(0).append(&batch).await.unwrap();
        head = batch.head();
    }
    store
}

/// Alice's third event, at 3, is one that no version of the program can read, and a deposit waits
/// behind it at 4. Every read model has parked her.
async fn poisoned() -> Store {
    let poison = |head| {
        let mut batch = batch(0, head);
        let payload = r#"{"FundsBlessed":{"amount":"1.00"}}"#;
        raw_event(&mut batch, ("Wallet", "alice", 3), "FundsBlessed", payload, Some(200));
        wallet_event(&mut batch, &id("alice"), 4, &deposited(100, 300), 300);
        batch
    };
    let store = journal([&|head| opening(0, head, &id("alice"), 100), &poison]).await;
    all_caught_up(&store, &every_model(&store, |_| Manner::Faithful)).await;
    store
}

async fn dlq(store: &Store, words: &[&str]) -> Ran {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    let database = ["--database-url", &urls.service];
    run(["dlq"].iter().chain(words).chain(&database)).await
}

/// The JSON document that a verb prints when all goes well.
async fn document(store: &Store, words: &[&str]) -> Value {
    let ran = dlq(store, &[words, &["--json"]].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

/// The first words of each line.
fn column(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

#[tokio::test]
async fn dead_letters_are_listed_for_people_and_for_machines() {
    let store = poisoned().await;
    let ran = dlq(&store, &["list", "--projection", "balance"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let expected = ["dead", "balance:0:3", "balance:0:4", "projection", "balance"];
    assert_eq!(column(&ran.out), expected, "{}", ran.out);
    for word in ["alice", "FundsBlessed", "open", "follows an event"] {
        assert!(ran.out.contains(word), "{word} in {}", ran.out);
    }
    let page = dlq(&store, &["list", "--wallet", "alice", "--limit", "3"]).await;
    let expected = "There are more: --cursor fraud:0:3";
    assert_eq!(page.out.lines().nth(4), Some(expected), "{}", page.out);
    let list = ["list", "--state", "open", "--limit", "3", "--cursor", "fraud:0:3"];
    let list = document(&store, &list).await;
    let ids = list["data"].as_array().unwrap().iter().map(|letter| &letter["id"]);
    assert_eq!(ids.collect::<Vec<_>>(), ["fraud:0:4", "history:0:3", "history:0:4"]);
    assert_eq!((&list["hasMore"], &list["nextCursor"]), (&json!(true), &json!("history:0:4")));
    let none = document(&store, &["list", "--wallet", "bob"]).await;
    assert_eq!(none, json!({ "data": [], "nextCursor": null, "hasMore": false }));
}

#[tokio::test]
async fn a_dead_letter_is_shown_with_its_event_and_stays_while_it_cannot_be_read() {
    let store = poisoned().await;
    let ran = dlq(&store, &["show", "stats:0:3"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in ["state        open", "event        FundsBlessed 1.0", "wallet       alice"] {
        assert!(ran.out.lines().any(|given| given == line), "{line} in {}", ran.out);
    }
    let letter = document(&store, &["show", "stats:0:3"]).await;
    assert_eq!(letter["payload"], json!({ "FundsBlessed": { "amount": "1.00" } }));
    assert!(letter["error"].as_str().unwrap().contains("FundsBlessed"), "{letter}");
    let ran = dlq(&store, &["replay", "stats:0:4"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.starts_with("alice stays parked in stats at position 3: "), "{ran:?}");
    let ran = dlq(&store, &["replay", "stats:0:4", "--json"]).await;
    let outcome: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &outcome["outcome"]), (Some(1), &json!("still-parked")));
    let letter = document(&store, &["show", "stats:0:3"]).await;
    assert_eq!((&letter["state"], &letter["attempts"]), (&json!("open"), &json!(5)));
}

#[tokio::test]
async fn a_program_without_the_flaw_brings_the_wallet_back() {
    let store = journal([&|head| opening(0, head, &id("alice"), 100)]).await;
    let flawed = Flawed::new(Balance, Flaw::Save, 2, &Arc::default());
    let running = Running::start(&store, Arc::new(flawed), 0, Manner::Faithful);
    running.caught_up(&store).await;
    let ran = dlq(&store, &["replay", "balance:0:2"]).await;
    let expected = "alice is back in balance: 2 events are folded, up to position 2.";
    assert_eq!((ran.code, ran.out.trim()), (Some(0), expected));
    let ran = dlq(&store, &["replay", "balance:0:2"]).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""));
    assert!(
        ran.err.starts_with("florin: the dead letter balance:0:2 was replayed at 20"),
        "{ran:?}"
    );
    let list = dlq(&store, &["list"]).await;
    assert!(list.out.ends_with("No wallet is parked.\n"), "{}", list.out);
    equals_fresh_fold(&store).await;
}

#[tokio::test]
async fn an_event_is_discarded_with_who_and_why() {
    let store = poisoned().await;
    let why = ["--by", "olga", "--reason", "written by mistake"];
    for missing in [&why[..2], &why[2..]] {
        let ran = dlq(&store, &[&["discard", "balance:0:3"], missing].concat()).await;
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{ran:?}");
    }
    let ran = dlq(&store, &[&["discard", "balance:0:3"], &why[..]].concat()).await;
    let expected = "alice is back in balance: 3 events are folded, up to position 4.";
    assert_eq!((ran.code, ran.out.trim()), (Some(0), expected));
    let done = document(&store, &[&["discard", "history:0:3"], &why[..]].concat()).await;
    let expected = json!({
        "id": "history:0:3", "projection": "history", "walletId": "alice",
        "outcome": "replayed", "events": 3, "position": 4,
    });
    assert_eq!(done, expected);
    let ran = dlq(&store, &["show", "balance:0:3"]).await;
    assert!(ran.out.ends_with("discarded by olga: written by mistake\n"), "{}", ran.out);
    let ran = dlq(&store, &["replay", "balance:0:3"]).await;
    let expected = "florin: the dead letter balance:0:3 was discarded by olga at 20";
    assert!(ran.code == Some(1) && ran.err.starts_with(expected), "{ran:?}");
    equals_fresh_fold(&store).await;
}

#[tokio::test]
async fn an_event_of_a_transfer_whose_source_nobody_knows_can_only_be_discarded() {
    let transfer = Uuid::now_v7().to_string();
    let store = journal([&|head| {
        let mut batch = batch(0, head);
        let stream = ("Transfer", &*transfer, 1);
        let broken = r#"{"TransferCompleted":{"balance":"?"}}"#;
        raw_event(&mut batch, stream, "TransferCompleted", broken, None);
        batch
    }])
    .await;
    all_caught_up(&store, &every_model(&store, |_| Manner::Faithful)).await;
    let letter = document(&store, &["show", "history:0:1"]).await;
    assert_eq!((&letter["walletId"], &letter["aggregateId"]), (&json!(null), &json!(transfer)));
    let ran = dlq(&store, &["replay", "history:0:1"]).await;
    let expected = "history:0:1 parks no wallet, so there was nothing to fold.";
    assert_eq!((ran.code, ran.out.trim()), (Some(1), expected));
    let discard = ["discard", "history:0:1", "--by", "olga", "--reason", "a test"];
    assert_eq!(document(&store, &discard).await["outcome"], "nothing-to-fold");
    let letter = document(&store, &["show", "history:0:1"]).await;
    assert_eq!(letter["state"], "discarded");
}

#[tokio::test]
async fn a_verb_says_what_it_cannot_find_and_what_it_takes() {
    let store = Store::postgres(1).await;
    for verb in ["show", "replay"] {
        let ran = dlq(&store, &[verb, "balance:0:9"]).await;
        let expected = "florin: there is no dead letter balance:0:9";
        assert_eq!((ran.code, ran.err.trim()), (Some(1), expected));
    }
    for (words, expected) in [
        (&["show", "9"][..], "<projection>:<partition>:<position>, such as balance:0:123"),
        (&["list", "--projection", "luck"], "balance, history, stats, fraud"),
        (&["list", "--state", "closed"], "open, replayed or discarded"),
        (&["list", "--limit", "201"], "1..=200"),
    ] {
        let ran = dlq(&store, words).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains(expected), "{ran:?}");
    }
    for verb in [&[][..], &["list"], &["show"], &["replay"], &["discard"]] {
        let ran = run([&["dlq"], verb, &["--help"]].concat()).await;
        assert!(ran.code == Some(0) && ran.out.contains("Example: florin dlq"), "{ran:?}");
    }
}

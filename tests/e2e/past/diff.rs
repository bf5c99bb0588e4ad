//! `florin diff`.

use florin_application::journal::Head;
use florin_domain::journal::RecordedEvent;
use florin_domain::partition_of;
use florin_tests::ask::id;
use florin_tests::batches::{batch, deposited, opening, wallet_event};
use florin_tests::feed::random;
use florin_tests::store::Store;
use florin_tests::turmoil::turmoil;
use rust_decimal::Decimal;
use serde_json::Value;

use super::{expect_refused, florin, lines, plain};

fn decimal(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_events_between_two_moments_add_up_to_the_difference() {
    let mut seed = 18;
    for partitions in [1, 4] {
        let store = Store::postgres(partitions).await;
        let wallets = turmoil(&store.process(), &mut seed, 200).await;
        let events = store.events().await;
        for wallet in &wallets[..5] {
            let partition = partition_of(wallet, partitions);
            let here: Vec<&RecordedEvent> =
                events.iter().filter(|event| event.partition == partition).collect();
            let opened = here.iter().find(|event| *event.aggregate_id == *wallet.as_str());
            let (first, last) = (opened.unwrap().position, here.len() as u64);
            // From before it was opened, too.
            let from = random(&mut seed) % last;
            let to = from.max(first) + random(&mut seed) % (last - from.max(first) + 1);
            let at = |position: u64| {
                let until = here.iter().copied().filter(|event| event.position <= position);
                plain(until).get(wallet.as_str()).map(|plain| plain.balance)
            };
            let (begin, end) = (format!("{partition}-{from}"), format!("{partition}-{to}"));
            let words = ["diff", wallet.as_str(), "--from", &begin, "--to", &end];
            let mut found = lines(&store, &words).await;
            let whole = found.pop().unwrap();
            let expected: Vec<String> = here
                .iter()
                .filter(|event| *event.aggregate_id == *wallet.as_str())
                .filter(|event| event.position > from && event.position <= to)
                .map(|event| format!("{partition}-{}", event.position))
                .collect();
            let places: Vec<&str> =
                found.iter().map(|event| event["position"].as_str().unwrap()).collect();
            assert_eq!(places, expected);
            let effects: Decimal = found.iter().map(|event| decimal(&event["effect"])).sum();
            assert_eq!(decimal(&whole["effects"]), effects);
            assert_eq!(decimal(&whole["before"]), at(from).unwrap_or_default());
            assert_eq!(decimal(&whole["after"]), at(to).unwrap());
            assert_eq!(decimal(&whole["difference"]), effects);
            assert_eq!(decimal(&whole["after"]) - decimal(&whole["before"]), effects);
            assert_eq!(whole["events"], found.len());
        }
    }
}

#[tokio::test]
async fn people_are_shown_what_made_the_difference() {
    let store = Store::postgres(1).await;
    let mut batch = opening(0, Head::EMPTY, &id("alice"), 100);
    wallet_event(&mut batch, &id("alice"), 3, &deposited(150, 250), 250);
    store.partition(0).append(&batch).await.unwrap();
    let ran = florin(&store, &["diff", "alice", "--from", "0-2"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "alice held 1.00 USD at 0-2.");
    assert_eq!(lines[2].split_whitespace().last(), Some("2.50"));
    assert_eq!(lines[3], "alice held 2.50 USD at 0-3.");
    assert_eq!(lines[4], "The difference is 1.50, and the effects of 1 events add up to it.");
    let none = florin(&store, &["diff", "alice", "--from", "0-3"]).await;
    assert!(none.out.contains("The difference is 0.00, and the effects of 0 events"), "{none:?}");
}

#[tokio::test]
async fn what_does_not_add_up_or_cannot_be_asked_is_said() {
    let store = Store::postgres(1).await;
    let mut batch = batch(0, Head::EMPTY);
    wallet_event(&mut batch, &id("alice"), 1, &florin_tests::batches::opened(), 0);
    wallet_event(&mut batch, &id("alice"), 2, &deposited(100, 100), 130);
    store.partition(0).append(&batch).await.unwrap();
    let ran = florin(&store, &["diff", "alice", "--from", "0-0"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let expected = "florin: event 0-2 moves 1.00, and the balance goes from 0.00 to 1.30";
    assert_eq!(ran.err.trim(), expected);
    for (words, sentence) in [
        (
            &["alice", "--from", "0-2", "--to", "0-1"][..],
            "--from is position 2, which comes after --to at 1: swap them",
        ),
        (&["bob", "--from", "0-0"], "there was no wallet bob at 0-2"),
        (&["alice", "--from", "0-3"], "partition 0 ends at 2, before 3"),
        (&["alice", "--from", "0-0", "--to", "0-0"], "there was no wallet alice at 0-0"),
    ] {
        expect_refused(&store, &[&["diff"], words].concat(), sentence).await;
    }
    let ran = florin(&store, &["diff", "alice"]).await;
    assert!(ran.code == Some(2) && ran.err.contains("--from"), "{ran:?}");
}

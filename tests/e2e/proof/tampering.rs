//! Whatever is changed in the journal, it is found, named with its position, and once or twice.

use super::{answer, answer_to, ledger, number, problems, tamper, urls, verify};
use florin_tests::process::{free_port, run};
use florin_tests::store::Store;

/// One change is told at most so often: where it is, where the chain goes on, and in the stream or
/// the sums that it is part of.
const TOLD: usize = 4;

/// `P` is the last partition, `N` its first deposit, `H` its head.
async fn expect(store: &Store, cases: &[(&str, &str)]) {
    let partition = store.partitions() - 1;
    let deposit = number(
        store,
        &format!(
            "SELECT min(position) FROM events
              WHERE partition = {partition} AND event_type = 'FundsDeposited'"
        ),
    )
    .await;
    let select = format!("SELECT head_position FROM partitions WHERE partition = {partition}");
    let head = number(store, &select).await;
    let fill = |text: &str| {
        let words = text.replace("<P>", &partition.to_string());
        let words = words.replace("<N>", &deposit.to_string());
        let words = words.replace("<N+1>", &(deposit + 1).to_string());
        let words = words.replace("<H>", &head.to_string());
        let words = words.replace("<H-1>", &(head - 1).to_string());
        words.replace("<H+1>", &(head + 1).to_string())
    };
    for (tampering, expected) in cases {
        let tables = ["events", "partitions"];
        let found = problems(&answer_to(store, &tables, &fill(tampering)).await);
        let expected = fill(expected);
        let is_found = found.iter().any(|problem| problem.starts_with(&expected));
        assert!(is_found, "{tampering}: {expected} is not in {found:#?}");
        assert!(found.len() <= TOLD, "{tampering}: {found:#?}");
        assert_eq!(answer(store, &[]).await["isInOrder"], true, "it is as it was");
    }
}

const CHANGES: [(&str, &str); 12] = [
    (
        r#"UPDATE events SET payload = replace(payload::text, '"amount":"10.00"', '"amount":"10.01"')::json
            WHERE partition = <P> AND position = <N>"#,
        "<P>-<N> its hash does not match its content and what is before it",
    ),
    (
        r#"UPDATE events SET payload = replace(payload::text, '"amount":"10.00"', '"amount":"10.01"')::json
            WHERE partition = <P> AND position = <N>"#,
        "<P>-<N> balance 10.00 follows 0.00 by 10.01",
    ),
    (
        r#"UPDATE events SET payload = '{"FundsBlessed":{}}' WHERE partition = <P> AND position = <N>"#,
        "<P>-<N> it cannot be read: FundsDeposited 1.0: unknown variant `FundsBlessed`",
    ),
    (
        "UPDATE events SET metadata = '{ }' WHERE partition = <P> AND position = <N>",
        "<P>-<N> its hash does not match",
    ),
    (
        "UPDATE events SET balance = 10.01 WHERE partition = <P> AND position = <N>",
        "<P>-<N> balance 10.00, stored 10.01",
    ),
    (
        "UPDATE events SET balance = 'NaN' WHERE partition = <P> AND position = <N>",
        "<P>-<N> it cannot be read: an amount that is no number of this ledger",
    ),
    (
        "UPDATE events SET recorded_at = recorded_at - interval '1 hour'
          WHERE partition = <P> AND position = <H>",
        "<P>-<H> it was recorded earlier than the event before it",
    ),
    (
        "UPDATE events SET aggregate_type = 'Walet' WHERE partition = <P> AND position = <N>",
        "<P>-<N> it cannot be read: no aggregate is a Walet",
    ),
    (
        "UPDATE events SET event_type = 'FundsWithdrawn' WHERE partition = <P> AND position = <N>",
        "<P>-<N> it cannot be read: it says that it is a FundsWithdrawn",
    ),
    (
        "UPDATE events SET sequence = 99 WHERE partition = <P> AND position = <N>",
        "<P>-<N> sequence 99 follows 1",
    ),
    (
        "UPDATE events SET hash = sha256('x') WHERE partition = <P> AND position = <N>",
        "<P>-<N+1> its hash does not match",
    ),
    (
        "UPDATE events SET hash = 'x' WHERE partition = <P> AND position = <N>",
        "<P>-<N> it cannot be read",
    ),
];

const MOVES: [(&str, &str); 10] = [
    ("DELETE FROM events WHERE partition = <P> AND position = <H>", "<P>-<H> the event is missing"),
    ("DELETE FROM events WHERE partition = <P> AND position = <N>", "<P>-<N> the event is missing"),
    (
        "UPDATE events SET position = -1 WHERE partition = <P> AND position = <H>;
         UPDATE events SET position = <H> WHERE partition = <P> AND position = <H-1>;
         UPDATE events SET position = <H-1> WHERE partition = <P> AND position = -1",
        "<P>-<H-1> its hash does not match",
    ),
    (
        "UPDATE events SET position = -1 WHERE partition = <P> AND position = <H>",
        "nowhere partition <P> has an event at -1",
    ),
    (
        "INSERT INTO events SELECT aggregate_type, aggregate_id, 99, event_type, event_version, payload,
                metadata, <P>, <H+1>, recorded_at, balance, hash
           FROM events WHERE partition = <P> AND position = <H>",
        "<P>-<H+1> lies beyond the head of its partition, at <H>",
    ),
    (
        "INSERT INTO events SELECT aggregate_type, aggregate_id, 99, event_type, event_version, payload,
                metadata, 99, 1, recorded_at, balance, hash
           FROM events WHERE partition = <P> AND position = <H>",
        "99-1 its partition has events, and no row in partitions",
    ),
    (
        "UPDATE partitions SET head_hash = sha256('x') WHERE partition = <P>",
        "<P>-<H> its hash is not the one that the head of its partition has",
    ),
    (
        "UPDATE partitions SET head_hash = 'x' WHERE partition = <P>",
        "<P>-<H> the head of its partition has no hash",
    ),
    (
        "UPDATE partitions SET head_position = <H+1> WHERE partition = <P>",
        "<P>-<H+1> the event is missing",
    ),
    ("DELETE FROM partitions WHERE partition = <P>", "<P>-1 its partition has events, and no row"),
];

#[tokio::test]
async fn whatever_is_changed_in_an_event_is_named_with_its_position() {
    expect(&ledger(1).await, &CHANGES).await;
}

#[tokio::test]
async fn whatever_is_changed_in_an_event_is_named_with_its_position_in_one_of_four_partitions() {
    expect(&ledger(4).await, &CHANGES).await;
}

#[tokio::test]
async fn events_that_are_removed_moved_and_added_are_named_with_their_positions() {
    expect(&ledger(1).await, &MOVES).await;
}

#[tokio::test]
async fn events_that_are_moved_are_named_with_their_positions_in_one_of_four_partitions() {
    expect(&ledger(4).await, &MOVES).await;
}

#[tokio::test]
async fn a_journal_that_is_gone_is_told_as_such() {
    let store = ledger(1).await;
    let head = number(&store, "SELECT head_position FROM partitions").await;
    let found = problems(&answer_to(&store, &["events"], "DELETE FROM events").await);
    assert_eq!(found, [format!("0-1 {head} events are missing, up to position {head}")]);
    let gone = "DELETE FROM events; DELETE FROM partitions";
    let found = problems(&answer_to(&store, &["events", "partitions"], gone).await);
    assert_eq!(found, ["nowhere all partitions are missing"]);
}

#[tokio::test]
async fn all_that_is_wrong_is_told_for_people_and_a_hundred_of_it_by_name() {
    let store = ledger(1).await;
    for _ in 0..10 {
        super::business(&store).await;
    }
    let head = number(&store, "SELECT head_position FROM partitions").await;
    tamper(&store, "UPDATE events SET metadata = '{ }' WHERE position > 5").await;
    let wrong = head - 5;
    assert!(wrong > 100);
    let ran = verify(&store, &[]).await;
    assert_eq!(ran.code, Some(1));
    let complaints: Vec<&str> = ran.err.lines().collect();
    let broken = "its hash does not match its content and what is before it";
    assert_eq!(complaints[0], format!("florin: 0-6: {broken}"));
    assert_eq!(complaints[99], format!("florin: 0-105: {broken}"));
    assert_eq!(complaints[100..], [format!("florin: and {} more problems", wrong - 100)]);
    let expected = format!("{head} events of 3 wallets were read; {wrong} problems; 0 transfers");
    assert!(ran.out.starts_with(&expected), "{}", ran.out);
    assert_eq!(answer(&store, &[]).await["moreProblems"], wrong - 100);
}

#[tokio::test]
async fn what_cannot_be_proved_is_not_called_wrong() {
    let url = format!("postgres://florin:x@127.0.0.1:{}/florin", free_port());
    let ran = run(["verify", "--database-url", &url]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let expected =
        "florin: it could not be proved, one way or the other: Postgres cannot be reached";
    assert!(ran.err.starts_with(expected), "{}", ran.err);
    // Away in the midst of it, as far as this program can see.
    let store = ledger(1).await;
    tamper(&store, "REVOKE SELECT ON events FROM florin_service").await;
    let ran = verify(&store, &[]).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""));
    assert!(ran.err.starts_with("florin: it could not be proved, one way or the other"), "{ran:?}");
    assert!(urls(&store).service.contains("florin"));
}

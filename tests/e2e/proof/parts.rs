//! `florin verify --from`.

use super::{answer, ledger, number, problems, tamper, verify};

#[tokio::test]
async fn a_part_is_proved_and_what_is_not_is_said() {
    let store = ledger(1).await;
    let head = number(&store, "SELECT head_position FROM partitions").await;
    let found = answer(&store, &["--from", "5"]).await;
    assert_eq!((&found["events"], &found["isInOrder"]), (&(head - 4).into(), &true.into()));
    assert_eq!(found["from"], serde_json::json!(["0-5"]));
    assert_eq!(
        (&found["totals"], &found["readModels"]),
        (&serde_json::json!([]), &found["totals"])
    );
    assert_eq!(found["notProved"].as_array().unwrap().len(), 3, "{found}");
    let ran = verify(&store, &["--from", "5"]).await;
    let expected = format!("{} events from 0-5 on of ", head - 4);
    assert!(ran.out.starts_with(&expected) && ran.out.contains(" wallets verify.\n"), "{ran:?}");
    assert!(
        ran.out.contains("\nNot proved: what lies before --from, and the balances that it led to.")
    );
    tamper(&store, "UPDATE events SET metadata = '{ }' WHERE position IN (2, 6)").await;
    let found = problems(&answer(&store, &["--from", "5"]).await);
    assert_eq!(found, ["0-6 its hash does not match its content and what is before it"]);
    // The first link hangs on the hash before it, which was not changed with the rest of it.
    assert_eq!(problems(&answer(&store, &["--from", "7"]).await), [""; 0]);
    // A balance that is met for the first time is believed, and its column is not.
    tamper(&store, "UPDATE events SET balance = 3.50 WHERE position = 7").await;
    let found = problems(&answer(&store, &["--from", "7"]).await);
    let broken = "0-7 its hash does not match its content and what is before it";
    assert_eq!(found, [broken, "0-7 balance 2.50, stored 3.50"]);
}

#[tokio::test]
async fn a_part_begins_at_a_time_or_at_positions_of_some_partitions() {
    let store = ledger(4).await;
    let all = number(&store, "SELECT sum(head_position)::bigint FROM partitions").await;
    let found = answer(&store, &["--from", "2020-01-01T00:00:00Z"]).await;
    assert_eq!(found["events"], all);
    let found = answer(&store, &["--from", "2999-01-01T00:00:00Z"]).await;
    assert_eq!(found["events"], 0);
    let two = number(
        &store,
        "SELECT sum(head_position)::bigint - 3 FROM partitions WHERE partition IN (1, 3)",
    )
    .await;
    let found = answer(&store, &["--from", "1-3,3-2"]).await;
    assert_eq!(
        (&found["events"], &found["from"]),
        (&two.into(), &serde_json::json!(["1-3", "3-2"]))
    );
    for (from, expected) in [
        ("5", "florin: say the partition, 0 to 3, as in 0-123"),
        ("1-99999", "florin: partition 1 ends at"),
    ] {
        let ran = verify(&store, &["--from", from]).await;
        assert!(ran.code == Some(1) && ran.err.starts_with(expected), "{ran:?}");
    }
    let ran = verify(&store, &["--from", "yesterday"]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

//! Read models = folds of the journal, each at its checkpoint.

use florin_application::journal::Head;
use florin_tests::ask::id;
use florin_tests::batches::{batch, departure, opening, raw_event};
use florin_tests::feed::Manner;
use florin_tests::projecting::{all_caught_up, every_model};
use florin_tests::store::Store;
use florin_tests::turmoil::turmoil;
use serde_json::{Value, json};

use super::{answer, answer_to, business, ledger, number, problems, tamper};

async fn caught_up(store: &Store) {
    all_caught_up(store, &every_model(store, |_| Manner::Faithful)).await;
}

fn model<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let models = answer["readModels"].as_array().unwrap();
    models.iter().find(|model| model["model"] == name).unwrap()
}

#[tokio::test]
async fn after_a_random_history_every_read_model_is_its_fold() {
    for partitions in [1, 4] {
        let store = Store::postgres(partitions).await;
        turmoil(&store.process(), &mut 7, 400).await;
        caught_up(&store).await;
        let found = answer(&store, &[]).await;
        assert_eq!(problems(&found), [""; 0]);
        for name in ["balance", "history", "stats", "fraud"] {
            let model = model(&found, name);
            assert_eq!((&model["wallets"], &model["leftOutCount"]), (&json!(12), &json!(0)));
            assert_eq!(model["checkpoints"], found["heads"], "{name}");
        }
    }
}

/// Of a wallet that was opened, paid into, and paid out of twice.
const ROWS: [(&str, &str, &str); 15] = [
    ("balances", "SET balance = balance + 1", "in balances balance"),
    ("balances", "SET status = 'closed'", "in balances status closed instead of active"),
    ("balances", "SET version = version - 1", "in balances version"),
    ("balances", "SET owner = 'mallory'", "in balances another owner, metadata or opened_at"),
    ("balances", "SET currency = 'EUR'", "in balances currency EUR instead of USD"),
    ("balances", "SET currency = 'nothing'", "in balances error occurred while decoding"),
    ("movements", "SET amount = amount + 1", "in movements other amounts"),
    (
        "movements",
        "SET position = position + 1",
        "in movements other amounts, other positions or types",
    ),
    ("movements", "SET status = 'failed'", "in movements failed"),
    ("movements", "SET balance_after = balance_after + 1", "in movements balances after of"),
    ("movements", "SET entry = entry + 1000", "in movements a last entry"),
    ("wallet_stats", "SET deposited = deposited + 1", "in wallet_stats deposited"),
    ("wallet_stats", "SET last_activity_at = now()", "in wallet_stats another last_activity_at"),
    ("wallet_volumes", "SET count_out = count_out + 1", "in wallet_stats count_out"),
    ("fraud_histories", "SET position = position + 1", "in fraud_histories position"),
];

#[tokio::test]
async fn a_row_that_was_changed_is_named_with_its_wallet_and_where_that_was_last() {
    let store = ledger(1).await;
    caught_up(&store).await;
    let last = "SELECT max(position) FROM events WHERE aggregate_id = 'a-0'";
    let last = number(&store, last).await;
    for (table, change, expected) in ROWS {
        let sql = format!("UPDATE {table} {change} WHERE wallet_id = 'a-0'");
        let found = problems(&answer_to(&store, &[table], &sql).await);
        let expected = format!("0-{last} wallet a-0 has {expected}");
        let is_found = found.len() == 1 && found[0].starts_with(&expected);
        assert!(is_found, "{sql}: {expected} is not in {found:?}");
    }
    for table in ["balances", "movements", "wallet_stats", "fraud_histories"] {
        let sql = format!("DELETE FROM {table} WHERE wallet_id = 'a-0'");
        let found = problems(&answer_to(&store, &[table], &sql).await);
        let expected = match table {
            // The days have no wallet any more.
            "wallet_stats" => format!("0-{last} wallet a-0 has in wallet_stats deposited 0"),
            table => format!("0-{last} wallet a-0 is not in {table}"),
        };
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
        let sql = format!("UPDATE {table} SET wallet_id = 'z' WHERE wallet_id = 'a-0'");
        let found = problems(&answer_to(&store, &[table], &sql).await);
        let expected = format!("nowhere wallet z has rows in {table} that no event leads to");
        assert!(found.contains(&expected), "{found:?}");
    }
    assert_eq!(problems(&answer(&store, &[]).await), [""; 0]);
}

#[tokio::test]
async fn a_read_model_that_is_behind_is_compared_as_of_its_checkpoint() {
    for partitions in [1, 4] {
        let store = ledger(partitions).await;
        caught_up(&store).await;
        let wallet = "SELECT position FROM balances WHERE wallet_id LIKE 'a-%' AND partition = 0";
        let then = number(&store, wallet).await;
        business(&store).await;
        let found = answer(&store, &[]).await;
        assert_eq!(problems(&found), [""; 0]);
        assert_ne!(model(&found, "history")["checkpoints"], found["heads"]);
        let sql = "UPDATE balances SET balance = 9 WHERE wallet_id LIKE 'a-%' AND partition = 0";
        let found = problems(&answer_to(&store, &["balances"], sql).await);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("0-{then} wallet a-")),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn a_read_model_beyond_the_end_of_the_journal_is_one_that_saw_it() {
    let store = ledger(1).await;
    caught_up(&store).await;
    let head = number(&store, "SELECT head_position FROM partitions").await;
    // The last event is a deposit.
    let sql = format!(
        "DELETE FROM events WHERE position = {head};
         UPDATE partitions SET head_position = {head} - 1,
                head_hash = (SELECT hash FROM events WHERE position = {head} - 1)"
    );
    let found = problems(&answer_to(&store, &["events", "partitions"], &sql).await);
    let expected =
        format!("0-{head} balance has folded this, and the journal ends at {}", head - 1);
    assert!(found.contains(&expected), "{found:?}");
}

#[tokio::test]
async fn a_parked_wallet_is_named_and_left_out() {
    let store = Store::postgres(1).await;
    let mut head = Head::EMPTY;
    let first = opening(0, head, &id("alice"), 100);
    store.partition(0).append(&first).await.unwrap();
    head = first.head();
    let mut second = batch(0, head);
    let payload = r#"{"FundsBlessed":{"amount":"1.00"}}"#;
    raw_event(&mut second, ("Wallet", "alice", 3), "FundsBlessed", payload, Some(200));
    store.partition(0).append(&second).await.unwrap();
    caught_up(&store).await;
    let found = answer(&store, &[]).await;
    for name in ["balance", "history", "stats"] {
        assert_eq!(model(&found, name)["leftOut"], json!(["alice"]), "{found}");
    }
    let found = problems(&found);
    let expected = "0-3 it cannot be read: FundsBlessed 1.0: unknown variant `FundsBlessed`";
    assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
}

#[tokio::test]
async fn the_unfinished_transfers_are_those_under_way() {
    let store = Store::postgres(1).await;
    let (alice, bob) = (id("alice"), id("bob"));
    let first = opening(0, Head::EMPTY, &alice, 100);
    store.partition(0).append(&first).await.unwrap();
    let second = departure(0, first.head(), &alice, &bob, 100);
    store.partition(0).append(&second).await.unwrap();
    let found = answer(&store, &[]).await;
    assert_eq!((&found["isInOrder"], &found["unfinishedTransfers"]), (&json!(true), &json!(1)));
    assert_eq!(found["totals"][0]["inFlight"], "1.00");
    let forget = "DELETE FROM unfinished_transfers";
    let found = problems(&answer_to(&store, &["unfinished_transfers"], forget).await);
    let transfer = second.started[0];
    let expected =
        format!("0-5 transfer {transfer} is under way, and not among the unfinished transfers");
    assert_eq!(found, [expected]);
    let invent = "INSERT INTO unfinished_transfers VALUES
                    ('00000000-0000-0000-0000-000000000001', 0)";
    let found = problems(&answer_to(&store, &["unfinished_transfers"], invent).await);
    let expected = "nowhere transfer 00000000-0000-0000-0000-000000000001 is among the unfinished \
                    transfers, and not under way";
    assert_eq!(found, [expected]);
    tamper(&store, "SELECT 1").await;
}

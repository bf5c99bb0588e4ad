//! `florin verify` and `florin checkpoint`, as processes, on ledgers that a superuser tampered with.

mod checkpoints;
mod models;
mod parts;
mod stream;
mod tampering;

use florin_adapters::dev::DatabaseUrls;
use florin_adapters::postgres::follow;
use florin_tests::ask::{deposit, id_in, request, transfer};
use florin_tests::nats::pool;
use florin_tests::process::{Ran, run};
use florin_tests::store::Store;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

fn urls(store: &Store) -> &DatabaseUrls {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    urls
}

/// A ledger with some wallets in each partition, and transfers within and between them.
async fn ledger(partitions: u32) -> Store {
    let store = Store::postgres(partitions).await;
    business(&store).await;
    store
}

async fn business(store: &Store) {
    let (ledger, partitions) = (store.process(), store.partitions());
    let wallet = |partition: u32, name: &str| id_in(partition % partitions, partitions, name);
    for partition in 0..partitions {
        let (a, b) = (wallet(partition, "a"), wallet(partition, "b"));
        for command in [
            deposit(&a, "10.00"),
            transfer(&a, &b, "2.50"),
            transfer(&a, &wallet(partition + 1, "c"), "1.25"),
            deposit(&a, "3.00"),
        ] {
            ledger.submit(request(command)).await.unwrap();
        }
    }
}

async fn verify(store: &Store, words: &[&str]) -> Ran {
    let database = ["--database-url", &urls(store).service];
    run(["verify"].iter().chain(words).chain(&database)).await
}

/// What it says as JSON, which is in order or not as the exit code says.
async fn answer(store: &Store, words: &[&str]) -> Value {
    let ran = verify(store, &[words, &["--json"]].concat()).await;
    let answer: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!(ran.code, Some(i32::from(answer["isInOrder"] == false)), "{ran:?}");
    assert_eq!(answer["problems"].as_array().unwrap().is_empty(), answer["isInOrder"], "{ran:?}");
    assert_eq!(ran.err, "", "with --json, everything is in the document");
    answer
}

/// The problems, each as `position what`.
fn problems(answer: &Value) -> Vec<String> {
    let problem = |problem: &Value| {
        let position = problem["position"].as_str().unwrap_or("nowhere");
        format!("{position} {}", problem["what"].as_str().unwrap())
    };
    answer["problems"].as_array().unwrap().iter().map(problem).collect()
}

/// Does as a superuser what the trigger refuses even to one.
async fn tamper(store: &Store, sql: &str) {
    let mut superuser = PgConnection::connect(&urls(store).admin).await.unwrap();
    let replica = "SET session_replication_role = replica";
    let done = sqlx::raw_sql(&format!("{replica}; {sql}")).execute(&mut superuser).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// What is found while a table is tampered with; afterwards it is as it was.
async fn answer_to(store: &Store, tables: &[&str], sql: &str) -> Value {
    let copy = |table: &&str| format!("CREATE TABLE copy_of_{table} AS TABLE {table};");
    tamper(store, &format!("{} {sql}", tables.iter().map(copy).collect::<String>())).await;
    let answer = answer(store, &[]).await;
    let restore = |table: &&str| {
        format!(
            "DELETE FROM {table}; INSERT INTO {table} TABLE copy_of_{table};
             DROP TABLE copy_of_{table};"
        )
    };
    tamper(store, &tables.iter().map(restore).collect::<String>()).await;
    answer
}

/// A number out of the database.
async fn number(store: &Store, sql: &str) -> i64 {
    let mut connection = PgConnection::connect(&urls(store).admin).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

/// It may be millions of events long, during which nothing is asked of the moment.
#[tokio::test]
async fn the_moment_of_a_proof_lasts_as_long_as_the_proof() {
    let store = ledger(1).await;
    let mut moment = follow::snapshot(pool(&store)).await.unwrap();
    for bound in ["statement_timeout", "idle_in_transaction_session_timeout"] {
        let select = sqlx::query_scalar("SELECT current_setting($1)").bind(bound);
        let set: String = select.fetch_one(&mut *moment).await.unwrap();
        assert_eq!(set, "0", "{bound}");
    }
}

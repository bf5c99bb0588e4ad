//! What a question about the past costs: counted in the pages that Postgres looks at, which no load of
//! the machine changes.

use florin_adapters::postgres::past::{LAST_AT, telling_statement};
use florin_tests::projecting::pool;
use florin_tests::store::Store;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

/// How many events the busy wallet has: enough that who walks is found out.
const EVENTS: u64 = 100_000;

/// What a question may look at: thirty look-ups of an index, each a few pages deep.
const PAGES: u64 = 200;

/// A wallet that was frozen and thawed long ago, a long life, and a thousand others besides.
const LIFE: &str = "
INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
                    metadata, position, balance, hash)
SELECT 'Wallet', 'busy', n,
       CASE n WHEN 1 THEN 'WalletOpened' WHEN 2 THEN 'WalletFrozen' WHEN 3 THEN 'WalletUnfrozen'
              ELSE 'FundsDeposited' END,
       '1.0', '{}', '{}', n, n, decode(repeat('00', 32), 'hex')
  FROM generate_series(1, 100000) AS n;
INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
                    metadata, position, balance, hash)
SELECT 'Wallet', 'w-' || n / 5, n % 5 + 1,
       CASE n % 5 WHEN 0 THEN 'WalletOpened' ELSE 'FundsDeposited' END,
       '1.0', '{}', '{}', 100001 + n, n, decode(repeat('00', 32), 'hex')
  FROM generate_series(0, 4999) AS n;
UPDATE partitions SET head_position = 105000";

/// How many pages a prepared statement looks at, and its plan.
async fn explained(session: &mut PgConnection, execute: &str) -> (u64, String) {
    let statement = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute}");
    let plan: Value = sqlx::query_scalar(&statement).fetch_one(session).await.unwrap();
    let of = |name: &str| plan[0]["Plan"][name].as_u64().unwrap();
    (of("Shared Hit Blocks") + of("Shared Read Blocks"), plan.to_string())
}

#[tokio::test]
async fn a_wallet_of_many_events_is_found_at_any_moment_by_a_few_look_ups() {
    let store = Store::postgres(1).await;
    let Store::Postgres(_, urls) = &store else { unreachable!() };
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    // As the service's sessions are, and planned while the journal was empty.
    let mut session = pool(&store).acquire().await.unwrap();
    let telling = telling_statement();
    for prepare in [
        format!("PREPARE last_at (text, text, bigint) AS {LAST_AT}"),
        format!("PREPARE telling (text, bigint) AS {telling}"),
    ] {
        sqlx::raw_sql(&prepare).execute(&mut *session).await.unwrap();
    }
    explained(&mut session, "EXECUTE last_at ('busy', 'Wallet', 1)").await;
    explained(&mut session, "EXECUTE telling ('busy', 1)").await;
    sqlx::raw_sql(LIFE).execute(&mut admin).await.unwrap();
    for is_analysed in [false, true] {
        if is_analysed {
            sqlx::raw_sql("VACUUM ANALYZE events").execute(&mut admin).await.unwrap();
        }
        for at in [1, 3, EVENTS / 2, EVENTS] {
            let last = format!("EXECUTE last_at ('busy', 'Wallet', {at})");
            let sequence: i64 = sqlx::query_scalar(&last).fetch_one(&mut *session).await.unwrap();
            assert_eq!(sequence.cast_unsigned(), at);
            let telling = format!("EXECUTE telling ('busy', {at})");
            for question in [last, telling] {
                let (pages, plan) = explained(&mut session, &question).await;
                assert!(pages < PAGES, "{pages} pages for {question}: {plan}");
                assert!(!plan.contains("Seq Scan"), "{question}: {plan}");
                let is_of_status = question.contains("telling");
                assert_eq!(plan.contains("events_of_status"), is_of_status, "{question}: {plan}");
            }
        }
    }
}

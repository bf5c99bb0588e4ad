//! What Postgres itself refuses, whoever asks.

use florin_application::journal::Head;
use florin_tests::ask::id;
use florin_tests::batches::{kept, opening, outcome};
use florin_tests::store::Store;
use sqlx::{Connection, PgConnection};

/// A journal with the two events of one wallet, and a key.
async fn store() -> Store {
    let store = Store::postgres(1).await;
    let mut first = opening(0, Head::EMPTY, &id("alice"), 500);
    first.keys.push(kept(&id("alice"), "k", Some(outcome(&id("alice"), 500))));
    store.partition(0).append(&first).await.unwrap();
    store
}

/// Runs a statement; on failure, SQLSTATE and message.
async fn run(url: &str, sql: &str) -> Result<(), (String, String)> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    match sqlx::raw_sql(sql).execute(&mut connection).await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) => {
            Err((error.code().unwrap_or_default().into_owned(), error.message().to_owned()))
        }
        Err(other) => panic!("{sql}: {other}"),
    }
}

fn urls(store: &Store) -> (&str, &str) {
    match store {
        Store::Postgres(_, urls) => (&urls.service, &urls.admin),
        Store::Memory(_) => panic!("these are laws of Postgres"),
    }
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";
const CHECK_VIOLATION: &str = "23514";

#[tokio::test]
async fn not_even_a_superuser_changes_or_removes_an_event() {
    let store = store().await;
    let (_, superuser) = urls(&store);
    for (verb, sql) in [
        ("UPDATE", "UPDATE events SET metadata = '{\"a\":1}'"),
        ("UPDATE", "UPDATE events SET recorded_at = now() WHERE false"),
        ("DELETE", "DELETE FROM events WHERE position = 2"),
        ("DELETE", "DELETE FROM events WHERE false"),
        ("TRUNCATE", "TRUNCATE events"),
        ("TRUNCATE", "TRUNCATE events CASCADE"),
    ] {
        let (code, message) = run(superuser, sql).await.unwrap_err();
        assert_eq!(message, format!("events are immutable: {verb} is refused"), "{sql}");
        assert_eq!(code, INSUFFICIENT_PRIVILEGE, "{sql}");
    }
    assert_eq!(store.audit().await.events, 2);
}

#[tokio::test]
async fn the_service_has_no_right_to_change_what_was_recorded() {
    let store = store().await;
    let (service, _) = urls(&store);
    for sql in [
        "UPDATE events SET metadata = '{}'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DROP TABLE events",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "DROP TRIGGER events_are_immutable ON events",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN RETURN NEW; END $$",
        "SET session_replication_role = replica",
        "INSERT INTO partitions (partition) VALUES (7)",
        "DELETE FROM partitions",
        "DELETE FROM idempotency_keys",
        "UPDATE idempotency_keys SET request_id = 'other'",
        "UPDATE idempotency_keys SET outcome = NULL",
        "UPDATE idempotency_keys SET fingerprint = decode(repeat('00', 16), 'hex')",
        "TRUNCATE snapshots",
        "CREATE ROLE mallory",
        "DELETE FROM _sqlx_migrations",
    ] {
        let (code, message) = run(service, sql).await.expect_err(sql);
        assert_eq!(code, INSUFFICIENT_PRIVILEGE, "{sql}: {message}");
    }
    assert_eq!(store.audit().await.events, 2);
}

#[tokio::test]
async fn not_even_a_superuser_overdraws_a_wallet() {
    let store = store().await;
    let (service, superuser) = urls(&store);
    let insert = |balance: &str| {
        format!(
            "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, \
             event_version, payload, metadata, position, balance, hash) VALUES ('Wallet', 'alice', \
             3, 'FundsWithdrawn', '1.0', '{{}}', '{{}}', 3, {balance}, \
             decode(repeat('00', 32), 'hex'))"
        )
    };
    for url in [service, superuser] {
        // Below zero, and the silence that would evade the check.
        for balance in ["-0.01", "NULL"] {
            let (code, message) = run(url, &insert(balance)).await.unwrap_err();
            assert_eq!(code, CHECK_VIOLATION, "{balance}: {message}");
        }
    }
    assert_eq!(store.audit().await.events, 2);
}

#[tokio::test]
async fn an_event_that_goes_past_the_head_is_found_by_the_audit() {
    let store = store().await;
    let (service, _) = urls(&store);
    // The service may insert; that its events are chained is what the proof is for.
    let forged = "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, \
                  event_version, payload, metadata, position, balance, hash) \
                  SELECT aggregate_type, aggregate_id, 3, 'FundsDeposited', event_version, payload, \
                  metadata, 3, balance, hash FROM events WHERE position = 2";
    run(service, forged).await.unwrap();
    let found = florin_projections::audit::prove(store.events().await).problems;
    let expected = "0-3: its hash does not match its content and what is before it";
    assert_eq!(found.named()[0].to_string(), expected);
}

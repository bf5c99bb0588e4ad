//! `florin doctor`, as a process, while each thing is broken on purpose.

use std::time::Duration;

use florin_adapters::nats::stream::{LEDGER, StreamSettings, ensure};
use florin_application::journal::Head;
use florin_projections::generation::Turn;
use florin_projections::models;
use florin_tests::ask::{deposit, id, id_in, request};
use florin_tests::batches::{departure, opening};
use florin_tests::lag::{read_models_behind, relays_behind};
use florin_tests::nats::{OwnNats, pool};
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::process::{Florin, Ran, free_port, run};
use florin_tests::store::{Store, eventually};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;

async fn doctor(database_url: &str, words: &[&str]) -> Ran {
    run([&["doctor", "--database-url", database_url], words].concat()).await
}

/// What it says of everything, as check, state, what was found and what mends it.
async fn findings(database_url: &str, words: &[&str]) -> (Option<i32>, Vec<[String; 4]>) {
    let ran = doctor(database_url, &[&["--json"], words].concat()).await;
    let all: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let finding = |one: &Value| ["check", "state", "found", "fix"].map(|name| text(&one[name]));
    (ran.code, all.as_array().unwrap().iter().map(finding).collect())
}

/// What it says of one thing.
async fn of(database_url: &str, words: &[&str], check: &str) -> [String; 4] {
    let (code, all) = findings(database_url, words).await;
    let is_bad = all.iter().any(|[_, state, ..]| state == "problem");
    assert_eq!(code, Some(i32::from(is_bad)), "{all:?}");
    let found = all.iter().find(|[of, ..]| of == check);
    found.unwrap_or_else(|| panic!("{check} in {all:?}")).clone()
}

fn urls(store: &Store) -> (&str, &str) {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    (&urls.service, &urls.admin)
}

#[tokio::test]
async fn a_deployment_that_works_has_no_problem() {
    let (store, nats) = (Store::postgres(2).await, OwnNats::start().await);
    let (service, _) = urls(&store);
    let dir = TempDir::new().unwrap();
    let mut worker = Florin::worker(dir.path(), service, &nats.url());
    let ledger = store.process();
    for wallet in ["alice", "bob", "carol"] {
        ledger.submit(request(deposit(&id(wallet), "1"))).await.unwrap();
    }
    eventually("everything is done", async || {
        let behind = [read_models_behind(pool(&store)).await, relays_behind(pool(&store)).await];
        if behind.concat().is_empty() { Ok(()) } else { Err(behind) }
    })
    .await;
    let (code, all) = findings(service, &["--nats-url", &nats.url()]).await;
    let bad: Vec<_> = all.iter().filter(|[_, state, ..]| state != "ok").collect();
    // The server of this machine may be an older one.
    assert!(
        bad.iter().all(|[check, state, ..]| check == "NATS version" && state == "warning"),
        "{bad:?}"
    );
    assert_eq!(code, Some(0));
    for check in [
        "fsync",
        "migrations",
        "rights that are needed",
        "rights beyond those",
        "clock",
        "connections",
        "disk",
        "workers",
        "read model fraud",
        "relay",
        "JetStream",
        "stream OPERATIONS",
        "consumers of LEDGER",
    ] {
        assert!(all.iter().any(|[of, ..]| of == check), "{check} in {all:?}");
    }
    let ran = doctor(service, &["--nats-url", &nats.url()]).await;
    assert!(ran.out.contains("ok       migrations"), "{}", ran.out);
    assert!(ran.out.lines().last().unwrap().starts_with("0 problems, "), "{}", ran.out);
    assert!(worker.terminate().await.success());
    nats.stop().await;
}

/// How it is broken, which check finds it, how bad it is, what it says, what mends it, and how it is
/// mended.
const BREAKS: [(&str, &str, &str, &str, &str, &str); 15] = [
    (
        "CREATE SCHEMA florin_next_balance",
        "rebuilds",
        "warning",
        "balance",
        "florin rebuild balance",
        "DROP SCHEMA florin_next_balance",
    ),
    (
        "ALTER TABLE events DISABLE TRIGGER events_are_immutable",
        "trigger events_are_immutable",
        "problem",
        "disabled",
        "ENABLE TRIGGER",
        "ALTER TABLE events ENABLE TRIGGER events_are_immutable",
    ),
    (
        "ALTER TABLE fraud_decisions DISABLE TRIGGER ALL",
        "trigger fraud_decisions_are_immutable",
        "problem",
        "disabled",
        "ENABLE TRIGGER",
        "ALTER TABLE fraud_decisions ENABLE TRIGGER ALL",
    ),
    (
        "GRANT UPDATE ON events TO florin_service",
        "rights beyond those",
        "problem",
        "UPDATE on events",
        "REVOKE UPDATE ON events FROM",
        "REVOKE UPDATE ON events FROM florin_service",
    ),
    (
        "GRANT UPDATE (fingerprint) ON idempotency_keys TO PUBLIC",
        "rights beyond those",
        "problem",
        "UPDATE(fingerprint) on idempotency_keys",
        "PUBLIC",
        "REVOKE UPDATE (fingerprint) ON idempotency_keys FROM PUBLIC",
    ),
    (
        "REVOKE INSERT ON events FROM florin_service",
        "rights that are needed",
        "problem",
        "lacks INSERT on events",
        "GRANT INSERT ON events TO florin_service",
        "GRANT INSERT ON events TO florin_service",
    ),
    (
        "REVOKE UPDATE (status) ON api_audit FROM florin_service",
        "rights that are needed",
        "problem",
        "lacks UPDATE(status) on api_audit",
        "GRANT UPDATE(status) ON api_audit",
        "GRANT UPDATE (status) ON api_audit TO florin_service",
    ),
    (
        "GRANT DELETE ON events TO florin_service",
        "history",
        "problem",
        "florin_service, which has DELETE on events",
        "REVOKE DELETE ON events FROM",
        "REVOKE DELETE ON events FROM florin_service",
    ),
    (
        "ALTER ROLE florin CREATEDB",
        "role",
        "warning",
        "may create",
        "NOCREATEDB",
        "ALTER ROLE florin NOCREATEDB",
    ),
    (
        "ALTER ROLE florin SET synchronous_commit = off",
        "synchronous_commit",
        "problem",
        "off: an acknowledged commit",
        "ALTER SYSTEM SET",
        "ALTER ROLE florin RESET synchronous_commit",
    ),
    (
        "ALTER TABLE events DROP CONSTRAINT no_wallet_below_zero",
        "constraint no_wallet_below_zero",
        "problem",
        "missing",
        "florin verify",
        "ALTER TABLE events ADD CONSTRAINT no_wallet_below_zero
           CHECK (coalesce(balance >= 0, aggregate_type <> 'Wallet'))",
    ),
    (
        "INSERT INTO _sqlx_migrations VALUES (9999, 'later', now(), true, '\\x00', 1)",
        "migrations",
        "problem",
        "[9999] are of a newer program",
        "upgrade",
        "DELETE FROM _sqlx_migrations WHERE version = 9999",
    ),
    (
        "UPDATE _sqlx_migrations SET success = false WHERE version = 2",
        "migrations",
        "problem",
        "[2] are not those of this program",
        "restore",
        "UPDATE _sqlx_migrations SET success = true WHERE version = 2",
    ),
    (
        "INSERT INTO leases VALUES ('relay:0', 'a dead one', now() - interval '1 hour', now())",
        "workers",
        "problem",
        "1 leases of one that died",
        "florin worker",
        "DELETE FROM leases",
    ),
    (
        "INSERT INTO dead_letters (projection, partition, position, wallet_id, state, error, attempts)
           VALUES ('balance', 0, 1, 'alice', 'open', 'broken', 1)",
        "dead letters",
        "warning",
        "1 are open",
        "florin dlq list",
        "DELETE FROM dead_letters",
    ),
];

#[tokio::test]
async fn whatever_is_broken_is_found_with_what_mends_it() {
    // Roles are of the whole server, so that it has one of its own.
    let postgres = OwnPostgres::start().await;
    let store = postgres.store(1).await;
    store.process().submit(request(deposit(&id("alice"), "1"))).await.unwrap();
    let (service, admin) = urls(&store);
    let mut superuser = PgConnection::connect(admin).await.unwrap();
    for (harm, check, state, found, fix, mend) in BREAKS {
        sqlx::raw_sql(harm).execute(&mut superuser).await.unwrap();
        let said = of(service, &[], check).await;
        assert_eq!(said[1], state, "{harm}: {said:?}");
        assert!(said[2].contains(found) && said[3].contains(fix), "{harm}: {said:?}");
        sqlx::raw_sql(mend).execute(&mut superuser).await.unwrap();
        let said = of(service, &[], check).await;
        assert!(said[1] == "ok" || check == "workers", "{mend}: {said:?}");
    }
    let said = of(admin, &[], "history").await;
    assert!(said[1] == "problem" && said[2].contains("superuser"), "{said:?}");
    sqlx::raw_sql("REVOKE florin_service FROM florin").execute(&mut superuser).await.unwrap();
    let said = of(service, &[], "rights that are needed").await;
    assert_eq!([&*said[1], &*said[3]], ["problem", "GRANT florin_service TO florin"]);
    postgres.kill_hard().await;
    let said = of(service, &[], "Postgres").await;
    assert!(said[1] == "problem" && said[2].starts_with("cannot be reached"), "{said:?}");
    postgres.stop().await;
}

#[tokio::test]
async fn a_rebuild_is_left_behind_once_nobody_works_on_it() {
    let store = Store::postgres(1).await;
    let (service, admin) = urls(&store);
    let mut connection = PgConnection::connect(admin).await.unwrap();
    sqlx::raw_sql("CREATE SCHEMA florin_next_stats").execute(&mut connection).await.unwrap();
    let model = &models::named("stats").unwrap()[0];
    let turn = Turn::take(connection, &**model).await.unwrap();
    assert_eq!(of(service, &[], "rebuilds").await[1], "ok");
    turn.end().await.unwrap();
    eventually("its right is given back", async || {
        let said = of(service, &[], "rebuilds").await;
        if said[1] == "warning" { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test]
async fn work_that_nobody_does_is_found() {
    let store = Store::postgres(2).await;
    let (service, _) = urls(&store);
    // Events of years ago.
    let (from, to) = (id_in(0, 2, "from"), id_in(1, 2, "to"));
    let first = opening(0, Head::EMPTY, &from, 500);
    store.partition(0).append(&first).await.unwrap();
    let second = departure(0, first.head(), &from, &to, 500);
    store.partition(0).append(&second).await.unwrap();
    for (check, state, found) in [
        ("read model balance", "problem", "it has never run"),
        ("relay", "warning", "5 events are not published, the oldest since"),
        ("transfers", "warning", "1 are under way, the oldest since"),
        ("workers", "warning", "none runs"),
        ("NATS", "warning", "none is configured"),
    ] {
        let said = of(service, &[], check).await;
        assert_eq!(said[1], state, "{said:?}");
        assert!(said[2].starts_with(found) && !said[3].is_empty(), "{said:?}");
    }
    let unmigrated = florin_tests::cluster::database().await;
    let said = of(&unmigrated.service, &[], "migrations").await;
    assert_eq!([&*said[1], &*said[3]], ["problem", "run `florin migrate`"]);
}

#[tokio::test]
async fn a_nats_that_is_away_or_set_otherwise_is_found() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let (service, _) = urls(&store);
    let url = nats.url();
    let words = ["--nats-url", &url];
    let said = of(service, &words, "stream LEDGER").await;
    assert!(said[1] == "warning" && said[3].contains("florin worker"), "{said:?}");
    let other = StreamSettings { max_age: Duration::from_secs(60), ..StreamSettings::default() };
    ensure(&nats.client().await, LEDGER, &other).await.unwrap();
    let said = of(service, &words, "stream LEDGER").await;
    assert_eq!(said[1], "warning");
    assert!(said[2].contains("max_age is 60s and not 604800s"), "{said:?}");
    nats.stop().await;
    let said = of(service, &words, "NATS").await;
    assert_eq!([&*said[1], &*said[2]], ["problem", "cannot be reached"]);
    // One without JetStream.
    let port = free_port().to_string();
    let mut server = Command::new("nats-server");
    let mut server =
        server.args(["-a", "127.0.0.1", "-p", &port]).kill_on_drop(true).spawn().unwrap();
    let url = format!("nats://127.0.0.1:{port}");
    let said = eventually("it is reached", async || {
        let (_, all) = findings(service, &["--nats-url", &url]).await;
        all.iter().find(|[check, ..]| check == "JetStream").cloned().ok_or(all)
    })
    .await;
    assert!(said[1] == "problem" && said[3].contains("-js"), "{said:?}");
    server.kill().await.unwrap();
}

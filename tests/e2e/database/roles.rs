//! `florin migrate --create-roles`, and what each role may do; whom the service does not start as.
//!
//! Roles are of a whole server: each test has one of its own.

use std::time::Duration;

use florin_adapters::dev::DatabaseUrls;
use florin_adapters::postgres::apply;
use florin_tests::nats::OwnNats;
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::process::{Florin, Ran, command, free_port, run};
use florin_tests::store::eventually;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::migrating::migration;

const OWNER_PASSWORD: &str = "owner's secret: 17 @ night";
const SERVICE_PASSWORD: &str = "service-secret-0123456789";
const READER_PASSWORD: &str = "reader-secret-0123456789";

/// What neither the service nor the reader may do.
const FORBIDDEN: [&str; 17] = [
    "UPDATE events SET position = position",
    "UPDATE events SET payload = '{}' WHERE false",
    "DELETE FROM events",
    "TRUNCATE events",
    "ALTER TABLE events DISABLE TRIGGER events_are_immutable",
    "DROP TRIGGER events_are_immutable ON events",
    "DROP TABLE events CASCADE",
    "ALTER TABLE events DROP CONSTRAINT no_wallet_below_zero",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE TABLE mine (a text)",
    "CREATE SCHEMA mine",
    "CREATE TRIGGER mine BEFORE INSERT ON events EXECUTE FUNCTION refuse_change()",
    "DELETE FROM idempotency_keys",
    "UPDATE api_audit SET body = NULL",
    "CREATE ROLE mine",
    "SET ROLE florin_owner",
    "ALTER ROLE florin_service SUPERUSER",
];

/// What the reader may not do either.
const FORBIDDEN_TO_READERS: [&str; 6] = [
    "INSERT INTO snapshots (aggregate_type, aggregate_id, last_sequence, payload)
     VALUES ('Wallet', 'x', 1, '{}')",
    "UPDATE partitions SET head_position = 0",
    "UPDATE balances SET balance = 9",
    "SELECT * FROM api_audit",
    "SELECT * FROM operations",
    "SELECT * FROM letters_of_intake",
];

/// As whom the service is started.
#[derive(Debug, Clone, Copy)]
enum Who {
    Admin,
    Owner,
    Service,
}

/// What is done to the database, as whom the service then does not start, why, and what mends it.
const HARM: [(&str, Who, &str, &str); 11] = [
    ("", Who::Admin, "postgres is a superuser", ""),
    ("", Who::Owner, "florin_owner owns the table events", ""),
    (
        "GRANT florin_owner TO florin_service",
        Who::Service,
        "a member of florin_owner, which owns the table events",
        "REVOKE florin_owner FROM florin_service",
    ),
    (
        "ALTER ROLE florin_service NOINHERIT; GRANT florin_owner TO florin_service",
        Who::Service,
        "a member of florin_owner",
        "REVOKE florin_owner FROM florin_service; ALTER ROLE florin_service INHERIT",
    ),
    (
        "GRANT postgres TO florin_service",
        Who::Service,
        "a member of postgres, which is a superuser",
        "REVOKE postgres FROM florin_service",
    ),
    (
        "GRANT DELETE, TRUNCATE ON events TO PUBLIC",
        Who::Service,
        "florin_service has DELETE, TRUNCATE on events",
        "REVOKE DELETE, TRUNCATE ON events FROM PUBLIC",
    ),
    (
        "GRANT UPDATE (payload) ON events TO florin_service",
        Who::Service,
        "florin_service has UPDATE on events",
        "REVOKE UPDATE (payload) ON events FROM florin_service",
    ),
    (
        "GRANT pg_write_all_data TO florin_service",
        Who::Service,
        "UPDATE, DELETE on events",
        "REVOKE pg_write_all_data FROM florin_service",
    ),
    (
        "ALTER ROLE florin_service CREATEROLE",
        Who::Service,
        "may create roles",
        "ALTER ROLE florin_service NOCREATEROLE",
    ),
    (
        "ALTER SCHEMA public OWNER TO florin_service",
        Who::Service,
        "owns the schema of events",
        "ALTER SCHEMA public OWNER TO pg_database_owner",
    ),
    (
        "GRANT pg_execute_server_program TO florin_service",
        Who::Service,
        "writes the server's files",
        "REVOKE pg_execute_server_program FROM florin_service",
    ),
];

/// The URL of the same database for another role.
fn url_of(admin: &str, role: &str, password: &str) -> String {
    let place = admin.split_once('@').unwrap().1;
    let escape = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    let password: String = password.bytes().map(escape).collect();
    format!("postgres://{role}:{password}@{place}")
}

async fn create_roles(admin: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = command(["migrate", "--create-roles", "--database-admin-url", admin]);
    let output = command.envs(variables.iter().copied()).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The three of them, the service's password from a file.
async fn three(urls: &DatabaseUrls, dir: &TempDir) -> [String; 3] {
    let file = dir.path().join("password");
    std::fs::write(&file, format!("{SERVICE_PASSWORD}\n")).unwrap();
    let ran = create_roles(
        &urls.admin,
        &[
            ("FLORIN_OWNER_PASSWORD", OWNER_PASSWORD),
            ("FLORIN_SERVICE_PASSWORD_FILE", file.to_str().unwrap()),
            ("FLORIN_READER_PASSWORD", READER_PASSWORD),
        ],
    )
    .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("florin_service may log in."), "{}", ran.out);
    [
        url_of(&urls.admin, "florin_owner", OWNER_PASSWORD),
        url_of(&urls.admin, "florin_service", SERVICE_PASSWORD),
        url_of(&urls.admin, "florin_reader", READER_PASSWORD),
    ]
}

async fn sql(url: &str, sql: &str) -> Result<(), String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let done = sqlx::raw_sql(sql).execute(&mut connection).await;
    done.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn each_role_does_what_it_is_for_and_is_refused_the_rest() {
    let (postgres, nats, dir) =
        (OwnPostgres::start().await, OwnNats::start().await, TempDir::new().unwrap());
    let urls = postgres.ledger(1).await;
    let [owner, service, reader] = three(&urls, &dir).await;

    // The service: everything that serve and worker do.
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let mut api = Florin::serve(dir.path(), port, &service, &["--nats-url", &nats.url()]);
    let mut worker = Florin::worker(dir.path(), &service, &nats.url());
    api.ready(&url).await;
    let client = reqwest::Client::new();
    for (wallet, amount) in [("alice", "5"), ("bob", "7")] {
        let body = json!({ "amount": amount, "requestId": format!("{wallet}-1") });
        let sent = client.post(format!("{url}/wallets/{wallet}/deposit")).json(&body).send().await;
        assert!(sent.unwrap().status().is_success());
    }
    eventually("the read models have it, and the reader sees so", async || {
        let ran = run(["verify", "--nats-url", &nats.url(), "--database-url", &reader]).await;
        let behind = run(["balance", "bob", "--database-url", &reader]).await;
        match ran.code == Some(0) && behind.out.contains('7') {
            true => Ok(()),
            false => Err((ran, behind)),
        }
    })
    .await;
    let ran = run(["doctor", "--database-url", &service]).await;
    assert!(!ran.out.contains("problem  "), "{}", ran.out);

    // The owner: rebuilds and migrates. The others do not.
    let rebuild = |url: &str| {
        run(["rebuild".into(), "all".into(), "--database-admin-url".into(), url.to_owned()])
    };
    let ran = rebuild(&owner).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run(["as-of", "0-1", "--into", "january", "--database-admin-url", &owner]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run(["migrate", "--database-admin-url", &owner]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for other in [&service, &reader] {
        assert_eq!(rebuild(other).await.code, Some(1));
    }
    // What was rebuilt is still read and written.
    let ran = run(["verify", "--database-url", &reader]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");

    for forbidden in FORBIDDEN {
        for url in [&service, &reader] {
            let error = sql(url, forbidden).await.expect_err(forbidden);
            let is_refused =
                ["permission denied", "must be owner", "must be superuser", "immutable"]
                    .iter()
                    .any(|refusal| error.contains(refusal));
            assert!(is_refused, "{forbidden}: {error}");
        }
    }
    // Not even the owner changes history by mistake.
    assert!(sql(&owner, "DELETE FROM events").await.unwrap_err().contains("immutable"));
    for forbidden in FORBIDDEN_TO_READERS {
        let error = sql(&reader, forbidden).await.expect_err(forbidden);
        assert!(error.contains("permission denied"), "{forbidden}: {error}");
    }
    assert!(api.terminate().await.success() && worker.terminate().await.success());
    nats.stop().await;
    postgres.stop().await;
}

#[tokio::test]
async fn to_create_the_roles_again_changes_the_passwords_that_are_given_and_nothing_else() {
    let (postgres, dir) = (OwnPostgres::start().await, TempDir::new().unwrap());
    let urls = postgres.ledger(1).await;
    let [owner, service, reader] = three(&urls, &dir).await;
    let rights = async || -> Vec<String> {
        let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
        sqlx::query_scalar(
            "SELECT concat_ws(' ', oid::regclass, relowner::regrole, relacl) FROM pg_class
              WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
        )
        .fetch_all(&mut admin)
        .await
        .unwrap()
    };
    let before = rights().await;
    assert!(before.iter().any(|row| row.starts_with("events florin_owner")), "{before:?}");
    let all_owned = |row: &String| row.contains(" florin_owner");
    assert!(before.iter().all(all_owned), "{before:?}");
    let ran =
        create_roles(&urls.admin, &[("FLORIN_READER_PASSWORD", "another-secret-0123456789")]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(rights().await, before);
    for (url, may) in [(&owner, true), (&service, true), (&reader, false)] {
        assert_eq!(PgConnection::connect(url).await.is_ok(), may, "{url}");
    }
    let reader = url_of(&urls.admin, "florin_reader", "another-secret-0123456789");
    PgConnection::connect(&reader).await.unwrap();
    postgres.stop().await;
}

#[tokio::test]
async fn passwords_are_in_no_log_and_in_no_message() {
    let (postgres, dir) = (OwnPostgres::start().await, TempDir::new().unwrap());
    let urls = postgres.ledger(1).await;
    sql(&urls.admin, "ALTER SYSTEM SET log_statement = 'all'").await.unwrap();
    sql(&urls.admin, "SELECT pg_reload_conf()").await.unwrap();
    eventually("every statement is logged", async || {
        let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
        let logged: String =
            sqlx::query_scalar("SHOW log_statement").fetch_one(&mut admin).await.unwrap();
        if logged == "all" { Ok(()) } else { Err(logged) }
    })
    .await;
    three(&urls, &dir).await;
    let log = postgres.log();
    assert!(log.contains("ALTER ROLE florin_owner LOGIN PASSWORD 'SCRAM-SHA-256$4096:"), "{log}");
    for secret in [OWNER_PASSWORD, SERVICE_PASSWORD, READER_PASSWORD] {
        assert!(!log.contains(secret));
    }
    let missing = dir.path().join("missing");
    for (variables, complaint) in [
        (
            vec![("FLORIN_OWNER_PASSWORD", "short-secret")],
            "FLORIN_OWNER_PASSWORD is shorter than 16",
        ),
        (
            vec![
                ("FLORIN_READER_PASSWORD", READER_PASSWORD),
                ("FLORIN_READER_PASSWORD_FILE", missing.to_str().unwrap()),
            ],
            "both set",
        ),
        (
            vec![("FLORIN_SERVICE_PASSWORD_FILE", missing.to_str().unwrap())],
            "FLORIN_SERVICE_PASSWORD_FILE: ",
        ),
    ] {
        let ran = create_roles(&urls.admin, &variables).await;
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.contains(complaint) && !ran.err.contains("secret"), "{}", ran.err);
    }
    let ran = create_roles(&urls.service, &[]).await;
    assert_eq!(ran.code, Some(1));
    postgres.stop().await;
}

#[tokio::test]
async fn who_may_create_roles_need_not_be_a_superuser() {
    let (postgres, dir) = (OwnPostgres::start().await, TempDir::new().unwrap());
    let urls = postgres.database("managed").await;
    // As managed servers have it: the owner of the database, and nobody has made the roles before.
    sql(&urls.admin, "DROP OWNED BY florin, florin_service; DROP ROLE florin, florin_service")
        .await
        .unwrap();
    sql(
        &urls.admin,
        "CREATE ROLE manager LOGIN CREATEROLE PASSWORD 'managers-secret-0123';
         ALTER DATABASE managed OWNER TO manager",
    )
    .await
    .unwrap();
    sql(&urls.admin, "ALTER SCHEMA public OWNER TO pg_database_owner").await.unwrap();
    let manager = url_of(&urls.admin, "manager", "managers-secret-0123");
    let by_manager = DatabaseUrls { admin: manager.clone(), ..urls };
    let [owner, service, reader] = three(&by_manager, &dir).await;
    let ran = run(["verify", "--database-url", &reader]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run(["rebuild", "all", "--database-admin-url", &owner]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(sql(&service, "DELETE FROM events").await.is_err());
    // A second time, and by the owner alone from now on.
    three(&by_manager, &dir).await;
    let ran = run(["migrate", "--database-admin-url", &owner]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run(["migrate", "--create-roles", "--database-admin-url", &owner]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("florin_owner may not"), "{}", ran.err);
    postgres.stop().await;
}

#[tokio::test]
async fn who_may_create_roles_and_owns_nothing_is_told_so() {
    let postgres = OwnPostgres::start().await;
    let urls = postgres.ledger(1).await;
    let create = "CREATE ROLE manager LOGIN CREATEROLE PASSWORD 'managers-secret-0123';
                  GRANT SELECT ON ALL TABLES IN SCHEMA public TO manager";
    sql(&urls.admin, create).await.unwrap();
    let manager = url_of(&urls.admin, "manager", "managers-secret-0123");
    let ran = create_roles(&manager, &[]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("manager may not make the roles of this ledger"), "{}", ran.err);
    assert!(ran.err.contains("Run it as a superuser"), "{}", ran.err);
    let made = "SELECT 'florin_owner'::regrole";
    assert!(sql(&urls.admin, made).await.is_err(), "something was left of it");
    postgres.stop().await;
}

#[tokio::test]
async fn what_a_later_migration_makes_is_the_owners_whoever_applies_it() {
    let (postgres, dir) = (OwnPostgres::start().await, TempDir::new().unwrap());
    let urls = postgres.ledger(1).await;
    let [owner, ..] = three(&urls, &dir).await;
    sql(
        &urls.admin,
        "DROP VIEW letters_of_intake;
         DROP TABLE intake_letters, intake_outcomes, intake_transactions;
         DELETE FROM _sqlx_migrations WHERE version >= 10",
    )
    .await
    .unwrap();
    let ran = run(["migrate", "--database-admin-url", &urls.admin]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    sql(&owner, "ALTER TABLE intake_letters ALTER COLUMN error SET STATISTICS 200").await.unwrap();
    // Who is in the way is said as far as who applies it may see, and not the owner.
    let mut long = PgConnection::connect(&urls.admin).await.unwrap();
    let hold = "SET application_name = 'a report'; BEGIN; SELECT count(*) FROM events";
    sqlx::raw_sql(hold).execute(&mut long).await.unwrap();
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    sqlx::raw_sql("SET ROLE florin_owner").execute(&mut admin).await.unwrap();
    let add = migration("ALTER TABLE events ADD COLUMN note text", false);
    let error = apply(&mut admin, &add, Duration::from_secs(1)).await.unwrap_err().to_string();
    assert!(error.contains("application 'a report'"), "{error}");
    postgres.stop().await;
}

#[tokio::test]
async fn the_service_does_not_start_as_a_role_that_could_change_history() {
    let (postgres, dir) = (OwnPostgres::start().await, TempDir::new().unwrap());
    let urls = postgres.ledger(1).await;
    let [owner, service, _] = three(&urls, &dir).await;
    let serve = ["serve", "--auth", "off", "--port", "0", "--database-url"];
    for (harm, who, complaint, mend) in HARM {
        let url = match who {
            Who::Admin => &urls.admin,
            Who::Owner => &owner,
            Who::Service => &service,
        };
        sql(&urls.admin, harm).await.unwrap();
        for verb in [&serve[..], &["worker", "--database-url"]] {
            let ran = run([verb, &[url]].concat()).await;
            assert_eq!(ran.code, Some(1), "{harm}: {ran:?}");
            assert!(ran.err.contains(complaint), "{harm}: {}", ran.err);
            assert!(ran.err.contains("florin migrate --create-roles"), "{harm}: {}", ran.err);
        }
        sql(&urls.admin, mend).await.unwrap();
    }
    let port = free_port();
    let mut api = Florin::serve(dir.path(), port, &service, &[]);
    api.ready(&format!("http://127.0.0.1:{port}")).await;
    assert!(api.terminate().await.success());
    // One that has no right at all is told so, too.
    sql(&urls.admin, "CREATE ROLE nobody LOGIN PASSWORD 'nobodys-secret-01234'").await.unwrap();
    let nobody = url_of(&urls.admin, "nobody", "nobodys-secret-01234");
    let ran = run([&serve[..], &[&nobody]].concat()).await;
    assert!(ran.code == Some(1) && ran.err.contains("GRANT florin_service TO it"), "{ran:?}");
    postgres.stop().await;
}

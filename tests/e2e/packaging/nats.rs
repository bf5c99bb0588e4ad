//! What the compose file tells Postgres and NATS, by real ones.

use std::path::PathBuf;
use std::process::Command;

use florin_adapters::dev::usual_places;
use florin_adapters::postgres::{PostgresJournal, migrate};
use florin_tests::own_postgres::OwnPostgres;
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::{root, text, yaml};

const PASSWORD: &str = "0123456789abcdef";

/// A program of Postgres or NATS, wherever it is installed.
fn find(name: &str) -> PathBuf {
    let mut places = usual_places().into_iter().map(|place| place.join(name));
    places.find(|program| program.is_file()).unwrap_or_else(|| panic!("{name}: run deploy/setup"))
}

#[tokio::test]
async fn the_roles_of_a_new_cluster_are_those_that_the_service_works_with() {
    let server = OwnPostgres::start().await;
    let urls = server.database("florin").await;
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    // Those of a server for tests; a new one has none.
    admin.execute("DROP OWNED BY florin, florin_service").await.unwrap();
    admin.execute("DROP ROLE florin, florin_service").await.unwrap();
    let ran = Command::new(find("psql"))
        .args(["-X", "-v", "ON_ERROR_STOP=1", "-d", &urls.admin, "-f"])
        .arg(root().join("deploy/container/postgres/roles.sql"))
        .env("FLORIN_DATABASE_PASSWORD", PASSWORD)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    migrate(&urls.admin, Some(1)).await.unwrap();
    let url = with_password(&urls.service);
    let journal = PostgresJournal::open(&url, Some(1)).await.unwrap();
    let mut service = PgConnection::connect(&url).await.unwrap();
    let refused = service.execute("DELETE FROM events").await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
    drop(journal);
    server.stop().await;
}

/// The same database as the same role, whose password is ours now.
fn with_password(url: &str) -> String {
    let (role, rest) = url.split_once('@').unwrap();
    let (role, _) = role.rsplit_once(':').unwrap();
    format!("{role}:{PASSWORD}@{rest}")
}

#[test]
fn nats_understands_what_it_is_told_whatever_the_password_looks_like() {
    let dir = TempDir::new().unwrap();
    let told = text("deploy/container/nats.conf");
    // nats-server knows this from 2.10 on, and Debian 12 has an older one.
    let (known, newer): (Vec<_>, Vec<_>) =
        told.lines().partition(|line| !line.contains("sync_interval"));
    assert_eq!(newer.len(), 1, "only this is left out");
    let file = dir.path().join("nats.conf");
    std::fs::write(&file, known.join("\n")).unwrap();
    let told = yaml("deploy/container/compose.yaml");
    let told = told["services"]["nats"]["environment"]["NATS_FLORIN_PASSWORD"].as_str().unwrap();
    let (before, rest) = told.split_once("${").unwrap();
    let (_, after) = rest.split_once('}').unwrap();
    for password in [PASSWORD, "1234", "12e4ab", "5e"] {
        let mut check = Command::new(find("nats-server"));
        let password = format!("{before}{password}{after}");
        check.arg("-t").arg("-c").arg(&file).env("NATS_FLORIN_PASSWORD", &password);
        let checked = check.output().unwrap();
        assert!(checked.status.success(), "{password}: {checked:?}");
    }
}

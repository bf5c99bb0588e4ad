//! Migrations beside a service at work, two at once, and on a database that is newer.

use std::time::Duration;

use florin_adapters::postgres::{LOCK_WAIT, PostgresJournal, apply};
use florin_projections::checkpoint;
use florin_tests::ask::{deposit, id, request};
use florin_tests::cluster::database;
use florin_tests::nats::pool;
use florin_tests::process::{Ran, command, run};
use florin_tests::store::{DEADLINE, Store, eventually};
use futures::future::join_all;
use sqlx::migrate::{Migration, MigrationType};
use sqlx::{Connection, PgConnection};
use tokio::sync::oneshot;
use tokio::time::Instant;

fn admin_url(store: &Store) -> &str {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    &urls.admin
}

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

pub(super) fn migration(sql: &'static str, no_tx: bool) -> Migration {
    Migration::new(9_001, "of a test".into(), MigrationType::Simple, sql.into(), no_tx)
}

/// Deposits one after the other until it is told to stop; how many, and how long the slowest took.
async fn deposits(store: &Store, mut stop: oneshot::Receiver<()>) -> (u32, Duration) {
    let (ledger, alice) = (store.process(), id("alice"));
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while stop.try_recv().is_err() {
        let began = Instant::now();
        ledger.submit(request(deposit(&alice, "1"))).await.unwrap();
        slowest = slowest.max(began.elapsed());
        count += 1;
    }
    (count, slowest)
}

/// How many migrations there are.
fn all() -> i64 {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations")).unwrap();
    files.count().try_into().unwrap()
}

/// As often as migrations are applied, and partitions are made.
async fn applied(url: &str) -> (i64, i64) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM _sqlx_migrations), (SELECT count(*) FROM partitions)",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn many_who_migrate_at_once_migrate_once() {
    let urls = database().await;
    let migrate = || run(["migrate", "--partitions", "3", "--database-admin-url", &urls.admin]);
    let ran: Vec<Ran> = join_all([migrate(), migrate(), migrate(), migrate()]).await;
    assert!(ran.iter().all(|ran| ran.code == Some(0)), "{ran:?}");
    assert_eq!(applied(&urls.admin).await, (all(), 3));
    PostgresJournal::open(&urls.service, Some(3)).await.unwrap();
}

#[tokio::test]
async fn who_comes_second_waits_for_the_turn() {
    let urls = database().await;
    let mut first = PgConnection::connect(&urls.admin).await.unwrap();
    let turn = "SELECT pg_advisory_lock(hashtext('florin'), hashtext('migrate'))";
    sqlx::raw_sql(turn).execute(&mut first).await.unwrap();
    let mut second = command(["migrate", "--database-admin-url", &urls.admin]).spawn().unwrap();
    let mut looker = PgConnection::connect(&urls.admin).await.unwrap();
    eventually("the second asks for its turn", async || {
        let asked: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock%'
                AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut looker)
        .await
        .unwrap();
        if asked == 1 { Ok(()) } else { Err(asked) }
    })
    .await;
    let there = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    assert!(!sqlx::query_scalar::<_, bool>(there).fetch_one(&mut looker).await.unwrap());
    first.close().await.unwrap();
    assert!(second.wait().await.unwrap().success());
    assert_eq!(applied(&urls.admin).await, (all(), 1));
}

#[tokio::test]
async fn a_ledger_is_migrated_while_a_long_transaction_holds_a_table_and_commands_go_on() {
    let store = Store::postgres(1).await;
    let url = admin_url(&store);
    store.process().submit(request(deposit(&id("alice"), "1"))).await.unwrap();
    // As a program of before the ninth migration left it.
    execute(url, "DROP INDEX events_of_status; DELETE FROM _sqlx_migrations WHERE version = 9")
        .await;
    let mut long = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE events IN ROW EXCLUSIVE MODE")
        .execute(&mut long)
        .await
        .unwrap();
    let mut migrating = command(["migrate", "--database-admin-url", url]).spawn().unwrap();
    let (stop, stopped) = oneshot::channel();
    let meanwhile = async {
        // It has tried, and given way, more than once.
        let mut looker = PgConnection::connect(url).await.unwrap();
        for _ in 0..3 {
            for waits in [true, false] {
                eventually("it tries again", async || {
                    let waiting: bool = sqlx::query_scalar(
                        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted
                                           AND relation = 'events'::regclass AND mode = 'ShareLock')",
                    )
                    .fetch_one(&mut looker)
                    .await
                    .unwrap();
                    if waiting == waits { Ok(()) } else { Err(waiting) }
                })
                .await;
            }
        }
        assert!(migrating.try_wait().unwrap().is_none());
        sqlx::raw_sql("COMMIT").execute(&mut long).await.unwrap();
        assert!(migrating.wait().await.unwrap().success());
        stop.send(()).unwrap();
    };
    let ((count, slowest), ()) = tokio::join!(deposits(&store, stopped), meanwhile);
    assert!(count > 20, "{count} deposits");
    // A machine that is busy with other tests is slow by itself.
    assert!(slowest < LOCK_WAIT + Duration::from_secs(2), "one took {slowest:?}");
    assert_eq!(applied(url).await, (all(), 1));
    store.audit().await;
}

#[tokio::test]
async fn a_migration_that_never_has_its_table_says_who_holds_it() {
    let store = Store::postgres(1).await;
    let mut long = PgConnection::connect(admin_url(&store)).await.unwrap();
    sqlx::raw_sql("SET application_name = 'a report'; BEGIN; SELECT count(*) FROM events")
        .execute(&mut long)
        .await
        .unwrap();
    let mut connection = PgConnection::connect(admin_url(&store)).await.unwrap();
    let add = migration("ALTER TABLE events ADD COLUMN note text", false);
    let patience = Duration::from_secs(1);
    let error = apply(&mut connection, &add, patience).await.unwrap_err().to_string();
    assert!(error.starts_with("migration 9001 was tried for 1s, and a table"), "{error}");
    assert!(
        error.contains("application 'a report'") && error.contains("florin migrate"),
        "{error}"
    );
    // Nothing of it is there, and it can be done once the way is free.
    assert_eq!(applied(admin_url(&store)).await.0, all());
    long.close().await.unwrap();
    apply(&mut connection, &add, DEADLINE).await.unwrap();
    assert_eq!(applied(admin_url(&store)).await.0, all() + 1);
}

#[tokio::test]
async fn an_index_is_built_beside_the_load_and_anew_where_a_build_was_broken_off() {
    let store = Store::postgres(1).await;
    let url = admin_url(&store);
    store.process().submit(request(deposit(&id("alice"), "1"))).await.unwrap();
    // A build that fails leaves its index behind, as one that is killed does.
    let broken =
        "CREATE UNIQUE INDEX CONCURRENTLY of_a_test ON events ((1 / (sequence - sequence)))";
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(broken).execute(&mut connection).await.unwrap_err();
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'of_a_test'::regclass";
    assert!(!sqlx::query_scalar::<_, bool>(valid).fetch_one(&mut connection).await.unwrap());
    let mut long = PgConnection::connect(url).await.unwrap();
    let hold = "BEGIN; LOCK TABLE events IN ROW EXCLUSIVE MODE";
    sqlx::raw_sql(hold).execute(&mut long).await.unwrap();
    let mut looker = PgConnection::connect(url).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let build = async {
        let sql = "-- no-transaction\nCREATE INDEX CONCURRENTLY of_a_test ON events (recorded_at)";
        let of_a_test = migration(sql, true);
        let building = apply(&mut connection, &of_a_test, DEADLINE);
        let release = async {
            eventually("it waits for the transaction that was there before", async || {
                let waits: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                                     WHERE NOT l.granted AND a.datname = current_database()
                                       AND a.query LIKE '%INDEX CONCURRENTLY%')",
                )
                .fetch_one(&mut looker)
                .await
                .unwrap();
                if waits { Ok(()) } else { Err(waits) }
            })
            .await;
            // Longer than any lock is waited for elsewhere: commands go on, and it is not given up.
            tokio::time::sleep(LOCK_WAIT * 3).await;
            long.close().await.unwrap();
        };
        let (built, ()) = tokio::join!(building, release);
        built.unwrap();
        stop.send(()).unwrap();
    };
    let ((count, slowest), ()) = tokio::join!(deposits(&store, stopped), build);
    assert!(count > 5 && slowest < Duration::from_secs(2), "{count} deposits, {slowest:?}");
    assert!(sqlx::query_scalar::<_, bool>(valid).fetch_one(&mut connection).await.unwrap());
    assert_eq!(applied(url).await.0, all() + 1);
}

#[tokio::test]
async fn a_database_that_is_newer_is_refused_by_every_verb() {
    let store = Store::postgres(1).await;
    let Store::Postgres(_, urls) = &store else { panic!("it is in Postgres") };
    let later = "INSERT INTO _sqlx_migrations VALUES (9999, 'later', now(), true, '\\x00', 1)";
    execute(&urls.admin, later).await;
    let (service, admin) = (&*urls.service, &*urls.admin);
    let by_service = ["--database-url", service];
    let by_admin = ["--database-admin-url", admin];
    for verb in [
        [&["serve", "--auth", "off", "--port", "0"][..], &by_service].concat(),
        [&["worker"][..], &by_service].concat(),
        [&["migrate"][..], &by_admin].concat(),
        [&["verify"][..], &by_service].concat(),
        [&["events"][..], &by_service].concat(),
        [&["relay", "status"][..], &by_service].concat(),
        [&["rebuild", "balance"][..], &by_admin].concat(),
        [&["doctor"][..], &by_service].concat(),
    ] {
        let ran = run(&verb).await;
        assert_eq!(ran.code, Some(1), "{verb:?}: {ran:?}");
        let said = ran.out + &ran.err;
        assert!(said.contains("9999") && said.contains("newer"), "{verb:?}: {said}");
    }
    // Nothing was done to it.
    assert_eq!(checkpoint::positions_of_all(pool(&store)).await.unwrap(), []);
    assert_eq!(applied(admin).await, (all() + 1, 1));
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    let store = Store::postgres(1).await;
    execute(admin_url(&store), "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 2")
        .await;
    let ran = run(["migrate", "--database-admin-url", admin_url(&store)]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("migrations [2] are not those of this one"), "{}", ran.err);
}

//! The restore drill: what `deploy/backup/README.md` says, command by command, with a backup that was
//! taken under load.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use florin_adapters::dev::DatabaseUrls;
use florin_adapters::postgres::connect;
use florin_tests::lag::{read_models_behind, relays_behind};
use florin_tests::monkeys::{Effort, calm, expect_clean, expect_verified, monkeys_during, rough};
use florin_tests::nats::OwnNats;
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::pipeline::Pipeline;
use florin_tests::process::{Florin, Ran, free_port, program, run};
use florin_tests::store::eventually;
use sqlx::{Connection, PgConnection, PgPool};
use tempfile::TempDir;
use tokio::process::Command;

const EFFORT: Effort = Effort { requests: 300, concurrency: 8 };

/// Every command that stands alone there, by what its comment calls it.
const DOCUMENTED: [&str; 8] =
    ["base", "to the end", "prove", "republish", "stream", "keep", "to a moment", "anew"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The blocks of the page, with what each is called.
fn blocks() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(root().join("deploy/backup/README.md")).unwrap();
    let block = |text: &str| {
        let (name, rest) = text.split_once(" -->\n```sh\n").unwrap();
        (name.to_owned(), rest.split_once("```").unwrap().0.to_owned())
    };
    page.split("<!-- ").skip(1).map(block).collect()
}

/// Runs what the page says under a name.
async fn documented(name: &str, variables: &[(&str, &str)]) -> Ran {
    let block = blocks().into_iter().find(|(of, _)| of == name).unwrap().1;
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program().parent().unwrap().display());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &block]).current_dir(root());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLORIN_")) {
        shell.env_remove(name);
    }
    shell.env("PATH", path).envs(variables.iter().copied()).stdin(Stdio::null());
    let output = shell.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The same for what must succeed.
async fn done(name: &str, variables: &[(&str, &str)]) -> Ran {
    let ran = documented(name, variables).await;
    assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
    ran
}

/// Where a server's log and backups go.
struct Archive {
    dir: TempDir,
    admin: String,
}

impl Archive {
    /// Lets a server keep its log from now on.
    async fn of(postgres: &OwnPostgres, urls: &DatabaseUrls) -> Self {
        let archive = Self { dir: TempDir::new().unwrap(), admin: urls.admin.clone() };
        let open = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        // The server is another user, who gets to nothing here but these.
        open(archive.dir.path(), 0o711);
        std::fs::create_dir(archive.path("wal")).unwrap();
        postgres.give(&archive.path("wal")).await;
        let script = archive.path("archive-wal");
        std::fs::copy(root().join("deploy/backup/archive-wal"), &script).unwrap();
        open(&script, 0o755);
        let command = format!(r#"{} "%p" "%f" {}"#, script.display(), archive.text("wal"));
        archive.execute("ALTER SYSTEM SET archive_mode = on").await;
        archive.execute(&format!("ALTER SYSTEM SET archive_command = '{command}'")).await;
        postgres.restart().await;
        archive
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    async fn execute(&self, sql: &str) {
        let mut admin = PgConnection::connect(&self.admin).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut admin).await.unwrap();
    }

    /// Takes a base backup.
    async fn back_up(&self) {
        let (role, place) = self.admin.rsplit_once('@').unwrap();
        let password = role.rsplit_once(':').unwrap().1;
        let port = place.split_once(':').unwrap().1.split_once('/').unwrap().0;
        let variables = [
            ("PGHOST", "127.0.0.1"),
            ("PGPORT", port),
            ("PGUSER", "postgres"),
            ("PGPASSWORD", password),
            ("BASE", &self.text("base")),
        ];
        done("base", &variables).await;
    }

    /// Waits until everything so far is in the archive.
    async fn complete(&self) {
        let mut admin = PgConnection::connect(&self.admin).await.unwrap();
        let segment: String = sqlx::query_scalar("SELECT pg_walfile_name(pg_switch_wal())")
            .fetch_one(&mut admin)
            .await
            .unwrap();
        eventually("the log is kept", async || {
            let (last, failed): (Option<String>, i64) =
                sqlx::query_as("SELECT last_archived_wal, failed_count FROM pg_stat_archiver")
                    .fetch_one(&mut admin)
                    .await
                    .unwrap();
            if last.as_ref().is_some_and(|last| *last >= segment) {
                Ok(())
            } else {
                Err((last, failed))
            }
        })
        .await;
    }

    /// A server on another machine, restored by what the page says under a name.
    async fn restored(&self, postgres: &OwnPostgres, name: &str, until: &str) -> Restored {
        let server = postgres
            .elsewhere(async |cluster| {
                let variables = [
                    ("BASE", &*self.text("base")),
                    ("ARCHIVE", &self.text("wal")),
                    ("DATA", cluster.to_str().unwrap()),
                    ("UNTIL", until),
                ];
                done(name, &variables).await;
            })
            .await;
        let urls = server.database("ledger").await;
        let pool = connect(&urls.service).unwrap();
        Restored { _server: server, urls, pool, dir: TempDir::new().unwrap() }
    }
}

/// A ledger that came back.
struct Restored {
    _server: OwnPostgres,
    urls: DatabaseUrls,
    pool: PgPool,
    // Where its processes leave what they say.
    dir: TempDir,
}

impl Restored {
    fn variables<'u>(&'u self, nats_url: &'u str) -> [(&'static str, &'u str); 3] {
        [
            ("DATABASE_URL", &self.urls.service),
            ("DATABASE_ADMIN_URL", &self.urls.admin),
            ("NATS_URL", nats_url),
        ]
    }

    /// Waits until everything is published and folded.
    async fn caught_up(&self) {
        eventually("everything is published and folded", async || {
            let behind =
                [relays_behind(&self.pool).await, read_models_behind(&self.pool).await].concat();
            if behind.is_empty() { Ok(()) } else { Err(behind) }
        })
        .await;
    }

    /// Everything is in the stream, and nothing else.
    async fn expect_published(&self, nats: &OwnNats) {
        done("stream", &self.variables(&nats.url())).await;
        for End { partition, position, .. } in ends(&self.pool).await {
            let head = u64::try_from(position).unwrap();
            let partition = u32::try_from(partition).unwrap();
            assert_eq!(nats.positions(partition).await, (1..=head).collect::<Vec<u64>>());
        }
    }
}

/// Where a partition ends, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    partition: i32,
    position: i64,
    hash: Vec<u8>,
}

async fn ends(pool: &PgPool) -> Vec<End> {
    let ends = "SELECT partition, head_position, head_hash FROM partitions ORDER BY partition";
    let ends = sqlx::query_as(ends).fetch_all(pool).await.unwrap();
    ends.into_iter().map(|(partition, position, hash)| End { partition, position, hash }).collect()
}

/// Now, and where the journal is; nothing is under way.
async fn moment(pipeline: &Pipeline) -> (String, Vec<End>) {
    expect_verified(&pipeline.database().service).await;
    pipeline.caught_up().await;
    let before = ends(pipeline.pool()).await;
    let now = "SELECT clock_timestamp()::text";
    let now: String = sqlx::query_scalar(now).fetch_one(pipeline.pool()).await.unwrap();
    assert_eq!(ends(pipeline.pool()).await, before, "somebody was still at work");
    (now, before)
}

#[tokio::test]
async fn a_backup_under_load_is_restored_to_its_end_and_to_an_earlier_moment() {
    let mut pipeline = Pipeline::start(2, 1).await;
    let archive = Archive::of(&pipeline.postgres, pipeline.database()).await;
    let load = rough(pipeline.url(), "before", EFFORT);
    monkeys_during(&load, async {
        pipeline.in_flow().await;
        archive.back_up().await;
    })
    .await;
    let (then, ends_then) = moment(&pipeline).await;
    expect_clean(&florin_adapters::monkey::run(&calm(pipeline.url(), "after", EFFORT)).await);
    let (_, ends_now) = moment(&pipeline).await;
    archive.complete().await;

    to_the_end(&archive, &pipeline, &ends_now).await;

    let before = archive.text("before.jsonl");
    let keep = [("DATABASE_URL", &*pipeline.database().service), ("BEFORE", &before)];
    done("keep", &keep).await;
    assert!(pipeline.worker(0).terminate().await.success());
    assert!(pipeline.api().terminate().await.success());
    assert_ne!(ends_then, ends_now);
    to_a_moment(&archive, &pipeline, &then, &ends_then).await;
}

/// The machine and NATS are gone.
async fn to_the_end(archive: &Archive, pipeline: &Pipeline, ends_now: &[End]) {
    let restored = archive.restored(&pipeline.postgres, "to the end", "").await;
    assert_eq!(ends(&restored.pool).await, ends_now);
    let nats = OwnNats::start().await;
    let url = nats.url();
    let ran = done("prove", &restored.variables(&url)).await;
    assert!(ran.out.contains("0 transfers are under way."), "{}", ran.out);
    let mut worker = Florin::worker(restored.dir.path(), &restored.urls.service, &url);
    eventually("the worker makes the stream", async || nats.stream_state().await.ok_or(())).await;
    done("republish", &restored.variables(&url)).await;
    restored.caught_up().await;
    restored.expect_published(&nats).await;
    // The stream is not pulled away from under a worker.
    let ran = documented("anew", &restored.variables(&url)).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("stop every `florin worker` first"), "{}", ran.err);
    assert!(worker.terminate().await.success());
    nats.stop().await;
}

/// The database was damaged; NATS has what was published since.
async fn to_a_moment(archive: &Archive, pipeline: &Pipeline, then: &str, ends_then: &[End]) {
    let restored = archive.restored(&pipeline.postgres, "to a moment", then).await;
    assert_eq!(ends(&restored.pool).await, ends_then);
    let url = pipeline.nats.url();
    let variables = restored.variables(&url);
    done("prove", &variables).await;
    let ran = documented("stream", &variables).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!((ran.out + &ran.err).contains("JetStream has an event that the journal has not"));
    done("anew", &variables).await;
    assert_eq!(pipeline.nats.stream_state().await, None);
    let mut worker = Florin::worker(restored.dir.path(), &restored.urls.service, &url);
    restored.caught_up().await;
    restored.expect_published(&pipeline.nats).await;

    // Positions are given again, to other events, and nobody takes them for the old ones.
    let port = free_port();
    let api_url = format!("http://127.0.0.1:{port}");
    let more = ["--nats-url", &url];
    let mut api = Florin::serve(restored.dir.path(), port, &restored.urls.service, &more);
    api.ready(&api_url).await;
    expect_clean(&florin_adapters::monkey::run(&calm(&api_url, "anew", EFFORT)).await);
    expect_verified(&restored.urls.service).await;
    restored.caught_up().await;
    restored.expect_published(&pipeline.nats).await;
    let again =
        run(["rebuild", "all", "--check", "--database-admin-url", &restored.urls.admin]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(api.terminate().await.success());
    assert!(worker.terminate().await.success());
}

#[test]
fn every_command_of_the_page_is_run() {
    let names: BTreeSet<String> = blocks().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, DOCUMENTED.map(ToOwned::to_owned).into());
}

#[tokio::test]
async fn an_archive_never_takes_another_segment_for_one_that_it_has() {
    let dir = TempDir::new().unwrap();
    let (segment, archive) = (dir.path().join("segment"), dir.path().join("wal"));
    std::fs::create_dir(&archive).unwrap();
    let keep = async |content: &str| {
        std::fs::write(&segment, content).unwrap();
        let mut script = Command::new(root().join("deploy/backup/archive-wal"));
        script.arg(&segment).arg("000000010000000000000001").arg(&archive);
        script.stderr(Stdio::null()).status().await.unwrap().success()
    };
    assert!(keep("one").await);
    assert!(keep("one").await, "Postgres sends a segment again");
    assert!(!keep("another").await, "two servers write one archive");
    let kept = std::fs::read_to_string(archive.join("000000010000000000000001")).unwrap();
    assert_eq!(kept, "one");
}

#[tokio::test]
async fn a_backup_that_is_damaged_is_not_restored() {
    let postgres = OwnPostgres::start().await;
    let urls = postgres.ledger(1).await;
    let archive = Archive::of(&postgres, &urls).await;
    archive.back_up().await;
    let version = archive.path("base/PG_VERSION");
    std::fs::write(&version, "14\n").unwrap();
    let variables = [
        ("BASE", &*archive.text("base")),
        ("ARCHIVE", &archive.text("wal")),
        ("DATA", &archive.text("data")),
    ];
    let ran = documented("to the end", &variables).await;
    assert_ne!(ran.code, Some(0));
    assert!(ran.err.contains("PG_VERSION"), "{}", ran.err);
    assert!(!archive.path("data").exists());
    postgres.stop().await;
}

//! The subscribers in TypeScript and Python under `deploy/examples`, against a live Florin.
//!
//! What they need is installed beside the test program, from their lock files, and kept there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use florin_adapters::nats::stream::LEDGER;
use florin_domain::WalletId;
use florin_tests::ask::{deposit, id, request, withdraw};
use florin_tests::guest::Guest;
use florin_tests::nats::pool;
use florin_tests::store::{Store, eventually};
use florin_tests::turmoil::turmoil;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::World;

const PARTITIONS: u32 = 2;

pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy/examples")
}

/// Where what was installed is kept, beside the test program.
fn kept(name: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().with_file_name("e2e-subscribers").join(name)
}

async fn run(directory: &Path, program: impl AsRef<OsStr>, arguments: &[&str]) {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(directory).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{out}{err}", output.status);
}

/// Whether what is kept was made of these files as they are.
fn is_as(kept: &Path, example: &Path, files: &[&str]) -> bool {
    files.iter().all(|file| {
        let same = std::fs::read(kept.join(file)).ok();
        same.is_some() && same == std::fs::read(example.join(file)).ok()
    })
}

/// The program in JavaScript.
pub(crate) async fn typescript() -> PathBuf {
    const FILES: [&str; 4] =
        ["package.json", "tsconfig.json", "subscriber.ts", "package-lock.json"];
    let (example, kept) = (examples().join("typescript"), kept("typescript"));
    let program = kept.join("build/subscriber.js");
    if !is_as(&kept, &example, &FILES) || !program.exists() {
        let _ = std::fs::remove_dir_all(&kept);
        std::fs::create_dir_all(&kept).unwrap();
        // The lock last: with it, everything is there.
        for file in &FILES[..3] {
            std::fs::copy(example.join(file), kept.join(file)).unwrap();
        }
        std::fs::copy(example.join(FILES[3]), kept.join(FILES[3])).unwrap();
        run(&kept, "npm", &["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).await;
        run(&kept, "npm", &["run", "--silent", "build"]).await;
    }
    program
}

/// The Python that has what the requirements say.
pub(crate) async fn python() -> PathBuf {
    // Two tests want it, and one of them makes it.
    static MAKING: Mutex<()> = Mutex::const_new(());
    let _making = MAKING.lock().await;
    let (example, kept) = (examples().join("python"), kept("python"));
    let python = kept.join("bin/python");
    if !is_as(&kept, &example, &["requirements.txt"]) {
        let _ = std::fs::remove_dir_all(&kept);
        std::fs::create_dir_all(&kept).unwrap();
        run(&kept, "python3", &["-m", "venv", "."]).await;
        let requirements = example.join("requirements.txt");
        let install =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        let install = [&install[..], &[requirements.to_str().unwrap()]].concat();
        run(&kept, &python, &install).await;
        std::fs::copy(&requirements, kept.join("requirements.txt")).unwrap();
    }
    python
}

/// The balances that a subscriber keeps.
type Balances = BTreeMap<String, String>;

/// What the ledger has.
async fn truth(world: &World, wallets: &[WalletId]) -> Balances {
    let mut balances = Balances::new();
    for id in wallets {
        let state = world.service.ledger().wallet(id).await.unwrap().unwrap();
        balances.insert(id.to_string(), state.account.balance.to_string());
    }
    balances
}

/// Kills it twice under load, and takes from the stream what it has not had.
async fn survives(
    start: impl Fn(&World) -> Guest,
    balances: impl AsyncFn() -> Result<Balances, String>,
) {
    let world = World::start(PARTITIONS).await;
    let mut wallets = Vec::new();
    let mut running = start(&world);
    for round in 1..4 {
        wallets = turmoil(world.service.ledger(), &mut (round * 23), 150).await;
        sleep(Duration::from_millis(200 * round)).await;
        running.kill_hard().await;
        turmoil(world.service.ledger(), &mut (round * 29), 50).await;
        world.published().await;
        if round == 2 {
            let stream = world.nats.jetstream().await.get_stream(LEDGER.name).await.unwrap();
            stream.purge().await.unwrap();
        }
        running = start(&world);
    }
    let expected = truth(&world, &wallets).await;
    let has_all = async || match balances().await {
        Ok(balances) if balances == expected => Ok(()),
        other => Err(format!("{other:?} and not {expected:?}")),
    };
    eventually("it has every balance", has_all).await;
    // While it runs, too.
    turmoil(world.service.ledger(), &mut 31, 100).await;
    let expected = truth(&world, &wallets).await;
    eventually("it follows", async || match balances().await {
        Ok(balances) if balances == expected => Ok(()),
        other => Err(format!("{other:?} and not {expected:?}")),
    })
    .await;
    running.kill_hard().await;
    world.finish().await;
}

/// Starts one of the programs with its state in a directory.
fn guest(world: &World, program: &OsStr, script: &Path, dir: &TempDir) -> Guest {
    let (state, nats) = (dir.path().join("state"), world.nats.url());
    let environment = [
        ("FLORIN_URL", world.service.url()),
        ("NATS_URL", &nats),
        ("STATE", state.to_str().unwrap()),
    ];
    Guest::start(&dir.path().join("log"), program, &[script.as_os_str()], &environment)
}

#[tokio::test]
async fn the_subscriber_in_typescript_has_every_balance_whatever_happens_to_it() {
    let (program, dir) = (typescript().await, TempDir::new().unwrap());
    let start = |world: &World| guest(world, OsStr::new("node"), &program, &dir);
    let state = dir.path().join("state");
    survives(start, async || {
        let text = std::fs::read_to_string(&state).map_err(|error| error.to_string())?;
        let state: Value = serde_json::from_str(&text).unwrap();
        Ok(serde_json::from_value(state["balances"].clone()).unwrap())
    })
    .await;
}

#[tokio::test]
async fn the_subscriber_in_python_has_every_balance_whatever_happens_to_it() {
    let (python, dir) = (python().await, TempDir::new().unwrap());
    let script = examples().join("python/subscriber.py");
    let start = |world: &World| guest(world, python.as_os_str(), &script, &dir);
    let state = dir.path().join("state");
    // Read by Python as well: nothing else here knows SQLite.
    let dump = "import json, sqlite3, sys; state = sqlite3.connect(sys.argv[1], timeout=20); \
                print(json.dumps(dict(state.execute('SELECT wallet, balance FROM balances'))))";
    survives(start, async || {
        let output = Command::new(&python).args(["-c", dump]).arg(&state).output().await.unwrap();
        match output.status.success() {
            true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    })
    .await;
}

#[tokio::test]
async fn people_are_told_of_alerts_and_dead_letters() {
    let (python, dir) = (python().await, TempDir::new().unwrap());
    let world = World::start(1).await;
    let script = examples().join("python/alerts.py");
    let start = || guest(&world, python.as_os_str(), &script, &dir);
    let mut running = start();
    let (ledger, alice) = (world.service.ledger(), id("alice"));
    ledger.submit(request(deposit(&alice, "20000"))).await.unwrap();
    ledger.submit(request(withdraw(&alice, "15000"))).await.unwrap();
    let told = |running: &Guest, sentence: &str| {
        let log = running.log();
        let is_told = log.lines().any(|line| line.starts_with(sentence));
        if is_told { Ok(()) } else { Err(log) }
    };
    let alert = "ALERT largeOutflow:0-3 wallet alice: ";
    eventually("the alert is told", async || told(&running, alert)).await;
    running.kill_hard().await;
    // One from while nobody looked.
    let Store::Postgres(_, urls) = world.service.store() else { panic!("it is in Postgres") };
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO dead_letters (projection, partition, position, wallet_id, error, attempts)
         VALUES ('stats', 0, 3, 'alice', 'by a test', 3)",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    eventually("the dead letter is published", async || {
        let left = florin_projections::dead_letters::unpublished(pool(world.service.store()), 10);
        let left = left.await.unwrap().len();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    running = start();
    let letter = "DEAD LETTER stats:0:3 wallet alice: by a test";
    eventually("the dead letter is told", async || told(&running, letter)).await;
    let count = running.log().lines().filter(|line| line.starts_with(alert)).count();
    assert_eq!(count, 1, "what was acknowledged is not told again");
    running.kill_hard().await;
    admin.close().await.unwrap();
    world.finish().await;
}

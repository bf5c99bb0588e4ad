//! The program itself: its verbs, what they say, and what they survive.

use std::collections::HashMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use florin_adapters::postgres::PostgresJournal;
use florin_domain::event_metadata::request_id;
use florin_tests::cluster::database;
use florin_tests::process::{Florin, free_port, pid_in, program, run, runs, signal};
use florin_tests::service::{Answer, send, try_send};
use florin_tests::store::{eventually, recorded};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// `florin dev` in a directory of its own.
struct Dev {
    dir: TempDir,
    florin: Florin,
    env: HashMap<String, String>,
    client: reqwest::Client,
}

impl Dev {
    /// Starts it on a free port, and waits until it serves.
    async fn start(more: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let florin = Florin::dev(dir.path(), 0, more);
        let mut dev = Self { dir, florin, env: HashMap::new(), client: reqwest::Client::new() };
        dev.settle().await;
        dev
    }

    /// Starts it again, on another free port.
    async fn start_again(&mut self) {
        self.florin = Florin::dev(self.dir.path(), 0, &[]);
        self.settle().await;
    }

    async fn settle(&mut self) {
        let file = self.data("florin.env");
        self.env = eventually("florin writes its environment", async || {
            let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            Ok::<_, String>(pairs.map(|(key, value)| (key.into(), value.into())).collect())
        })
        .await;
        self.florin.ready(&self.env["FLORIN_URL"]).await;
    }

    fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join("data").join(name)
    }

    fn pid_of_postgres(&self) -> Option<u32> {
        pid_in(&self.data("postgres/postmaster.pid"))
    }

    fn pid_of_nats(&self) -> Option<u32> {
        pid_in(&self.data("nats/nats.pid"))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.env["FLORIN_URL"])
    }

    async fn get(&self, path: &str) -> Answer {
        send(self.client.get(self.url(path))).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.client.post(self.url(path)).json(&body)).await
    }

    /// Sends until it is accepted, as a client under a key may.
    async fn post_until_accepted(&self, path: &str, body: Value) -> Answer {
        eventually("the command is accepted", async || {
            match try_send(self.client.post(self.url(path)).json(&body)).await {
                Ok(answer) if answer.status == 201 => Ok(answer),
                Ok(answer) => Err(answer.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }
}

fn accepts(url: &str) -> bool {
    let address = url.rsplit(['@', '/']).find(|part| part.contains(':')).unwrap();
    TcpStream::connect(address).is_ok()
}

fn money(amount: u32, key: &str) -> Value {
    json!({ "amount": amount, "requestId": key })
}

#[tokio::test]
async fn florin_dev_serves_and_says_where_everything_is() {
    let mut dev = Dev::start(&[]).await;
    let mut names: Vec<_> = dev.env.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["DATABASE_ADMIN_URL", "DATABASE_URL", "FLORIN_URL", "NATS_URL"]);
    assert_eq!(dev.get("/readyz").await.expect(200).text, r#"{"status":"ready","missing":[]}"#);
    let kept = dev.post("/wallets/alice/deposit", money(5, "k")).await;
    kept.expect(201);
    let (postgres, nats) = (dev.pid_of_postgres().unwrap(), dev.pid_of_nats().unwrap());
    assert!(runs(postgres) && runs(nats));

    let ended = dev.florin.terminate().await;
    assert_eq!(ended.code(), Some(0), "{}", dev.florin.log());
    assert!(!runs(postgres) && !runs(nats), "it stops its children");
    for name in ["DATABASE_URL", "NATS_URL", "FLORIN_URL"] {
        assert!(!accepts(&dev.env[name]), "{name} still answers");
    }
    assert!(!dev.data("florin.env").exists(), "nobody is sent to servers that are gone");

    dev.start_again().await;
    let again = dev.post("/wallets/alice/deposit", money(5, "k")).await;
    assert!(again.is_replayed() && again.text == kept.text, "what was kept is there: {again}");
    dev.florin.terminate().await;
}

#[tokio::test]
async fn florin_dev_survives_the_end_of_its_servers_and_its_own() {
    let mut dev = Dev::start(&["--partitions", "4"]).await;
    dev.post("/wallets/alice/deposit", money(1, "1")).await.expect(201);

    let postgres = dev.pid_of_postgres().unwrap();
    signal("KILL", postgres).await;
    eventually("another Postgres runs", async || match dev.pid_of_postgres() {
        Some(pid) if pid != postgres => Ok(()),
        pid => Err(pid),
    })
    .await;
    let second = dev.post_until_accepted("/wallets/alice/deposit", money(2, "2")).await;
    assert_eq!(second.text_of("balance"), "3.00", "with the data of the one before");

    let nats = dev.pid_of_nats().unwrap();
    signal("KILL", nats).await;
    // Commands need no NATS; and it comes back.
    dev.post("/wallets/alice/deposit", money(3, "3")).await.expect(201);
    eventually("NATS is back", async || {
        let ready = dev.get("/readyz").await.expect(200).text.clone();
        let pid = dev.pid_of_nats();
        if pid != Some(nats) && ready.contains("[]") { Ok(()) } else { Err((pid, ready)) }
    })
    .await;

    dev.florin.kill_hard().await;
    eventually("its servers end with it", async || {
        if accepts(&dev.env["DATABASE_URL"]) { Err("Postgres answers") } else { Ok(()) }
    })
    .await;
    std::fs::remove_file(dev.data("florin.env")).unwrap();
    dev.start_again().await;
    let wallet = dev.get("/wallets/alice").await;
    assert_eq!(wallet.expect(200).text_of("balance"), "6.00");
    for (amount, key) in [(1, "1"), (2, "2"), (3, "3")] {
        let again = dev.post("/wallets/alice/deposit", money(amount, key)).await;
        assert!(again.expect(201).is_replayed(), "{key}");
    }
    let verified = run(["verify", "--database-url", &dev.env["DATABASE_URL"]]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    dev.florin.terminate().await;
}

#[tokio::test]
async fn florin_dev_says_so_when_its_port_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = TempDir::new().unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut florin = Florin::dev(dir.path(), port, &[]);
    assert_eq!(florin.ended().await.code(), Some(1));
    assert!(florin.log().contains("florin: Address already in use"), "{}", florin.log());
    assert!(!dir.path().join("data/postgres").exists(), "before any work is done");
}

#[tokio::test]
async fn florin_serve_asks_for_a_migration_that_is_missing() {
    let urls = database().await;
    for verb in [&["serve", "--port", "0", "--auth=off"][..], &["verify"][..]] {
        let ran = run(verb.iter().chain(&["--database-url", &urls.service])).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let sentence =
            "florin: the database is not migrated to this version: run `florin migrate`\n";
        assert_eq!(ran.err, sentence);
    }
}

#[tokio::test]
async fn florin_migrate_creates_a_ledger_once_and_for_ever() {
    let urls = database().await;
    let migrate = async |partitions: Option<&str>| {
        let mut arguments = vec!["migrate", "--database-admin-url", &urls.admin];
        arguments.extend(partitions.map(|count| ["--partitions", count]).into_iter().flatten());
        run(arguments).await
    };
    for partitions in [Some("4"), Some("4"), None] {
        let ran = migrate(partitions).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), "The ledger is up to date.\n"));
    }
    let sentence = "florin: FLORIN_PARTITIONS is 1, but this ledger was created with 4. The number is \
                    fixed for ever, because it decides where each wallet lies: set it to 4, or leave \
                    it out\n";
    let ran = migrate(Some("1")).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), sentence));
    let serve =
        ["serve", "--port=0", "--auth=off", "--partitions=1", "--database-url", &urls.service];
    let ran = run(serve).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), sentence));
    for count in ["0", "65"] {
        let ran = migrate(Some(count)).await;
        let sentence =
            format!("florin: FLORIN_PARTITIONS is {count}; a ledger has 1 to 64 partitions\n");
        assert_eq!((ran.code, ran.err), (Some(1), sentence));
    }
}

#[tokio::test]
async fn florin_serve_stops_when_it_is_asked_to() {
    let urls = database().await;
    run(["migrate", "--database-admin-url", &urls.admin]).await;
    let (dir, port) = (TempDir::new().unwrap(), free_port());
    let mut florin = Florin::serve(dir.path(), port, &urls.service, &["--auto-open", "false"]);
    let url = format!("http://127.0.0.1:{port}");
    florin.ready(&url).await;
    let client = reqwest::Client::new();
    let deposit = client.post(format!("{url}/wallets/alice/deposit")).json(&money(1, "k"));
    send(deposit).await.expect_problem(404, "wallet-not-found");
    assert_eq!(florin.terminate().await.code(), Some(0), "{}", florin.log());
}

/// How many transfers the atomic bulks have, and how many events: of two open wallets.
const TRANSFERS: usize = 20;
const EVENTS: usize = 5 * TRANSFERS;

fn atomic_bulk(key: &str) -> Value {
    let both_ways = [("alice", "bob"), ("bob", "alice")];
    let transfer = |n: usize| {
        let (from, to) = both_ways[n % 2];
        json!({ "type": "transfer", "walletId": from, "toWalletId": to, "amount": "0.01" })
    };
    let commands: Vec<Value> = (0..TRANSFERS).map(transfer).collect();
    json!({ "atomic": true, "requestId": key, "commands": commands })
}

/// Sends bulks until the service is gone; returns the keys: those that were answered, and the last,
/// which nobody knows of.
async fn send_until_it_dies(url: String, name: String) -> (Vec<String>, String) {
    let client = reqwest::Client::new();
    let mut answered = vec![];
    for number in 0.. {
        let key = format!("{name}-{number}");
        let request = client.post(format!("{url}/bulk")).json(&atomic_bulk(&key));
        match try_send(request).await {
            Ok(answer) => drop(answer.expect(200)),
            Err(_) => return (answered, key),
        }
        answered.push(key);
    }
    unreachable!("the service dies")
}

#[tokio::test]
async fn a_killed_service_leaves_every_atomic_bulk_whole_or_undone() {
    let urls = database().await;
    run(["migrate", "--database-admin-url", &urls.admin]).await;
    let journal = PostgresJournal::open(&urls.service, None).await.unwrap();
    let (dir, port, client) = (TempDir::new().unwrap(), free_port(), reqwest::Client::new());
    let url = format!("http://127.0.0.1:{port}");
    let (mut answered, mut unknown) = (vec![], vec![]);
    for round in 0..3_u64 {
        let mut florin = Florin::serve(dir.path(), port, &urls.service, &[]);
        florin.ready(&url).await;
        for wallet in ["alice", "bob"] {
            let deposit = client.post(format!("{url}/wallets/{wallet}/deposit"));
            send(deposit.json(&money(10, "k"))).await.expect(201);
        }
        let mut senders = JoinSet::new();
        for sender in 0..6 {
            senders.spawn(send_until_it_dies(url.clone(), format!("{round}-{sender}")));
        }
        // At another moment of an append each time.
        tokio::time::sleep(Duration::from_millis(300 + 37 * round)).await;
        florin.kill_hard().await;
        for (keys, last) in senders.join_all().await {
            answered.extend(keys);
            unknown.push(last);
        }
    }
    // What Postgres was told before the end it does to its end.
    eventually("the statements of the dead end", async || {
        let under_way = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'",
        );
        match under_way.fetch_one(journal.pool()).await.unwrap() {
            0 => Ok(()),
            more => Err(more),
        }
    })
    .await;
    let mut events: HashMap<String, usize> = HashMap::new();
    for event in recorded(journal.pool()).await {
        if let Some(key) = request_id(&event.metadata) {
            *events.entry(key).or_default() += 1;
        }
    }
    events.remove("k");
    assert!(!answered.is_empty() && unknown.len() == 18);
    for (key, count) in &events {
        assert_eq!(*count, EVENTS, "{key} is there in part");
    }
    for key in &answered {
        assert!(events.contains_key(key), "{key} was answered and is lost");
    }

    let mut florin = Florin::serve(dir.path(), port, &urls.service, &[]);
    florin.ready(&url).await;
    for key in answered.iter().chain(&unknown) {
        let request = client.post(format!("{url}/bulk")).json(&atomic_bulk(key));
        let again = send(request).await;
        assert_eq!(again.expect(200).is_replayed(), events.contains_key(key), "{key}");
    }
    florin.terminate().await;
    let verified = run(["verify", "--database-url", &urls.service]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// A ledger with three deposits, and the URLs of its database.
async fn ledger(dir: &Path) -> florin_adapters::dev::DatabaseUrls {
    let urls = database().await;
    run(["migrate", "--database-admin-url", &urls.admin]).await;
    let port = free_port();
    let mut florin = Florin::serve(dir, port, &urls.service, &[]);
    let url = format!("http://127.0.0.1:{port}");
    florin.ready(&url).await;
    for amount in 1..=3 {
        let deposit = reqwest::Client::new().post(format!("{url}/wallets/alice/deposit"));
        send(deposit.json(&json!({ "amount": amount }))).await.expect(201);
    }
    florin.terminate().await;
    urls
}

#[tokio::test]
async fn florin_verify_proves_the_journal_and_shows_the_sums() {
    let dir = TempDir::new().unwrap();
    let urls = ledger(dir.path()).await;
    let ran = run(["verify", "--database-url", &urls.service]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines[0], "4 events of 1 wallets verify; 0 transfers are under way.");
    let sums: Vec<_> = lines[2].split_whitespace().collect();
    assert_eq!(sums[..4], ["USD", "6.00", "0", "6.00"], "{ran:?}");
}

#[tokio::test]
async fn florin_verify_names_the_position_that_was_tampered_with() {
    let dir = TempDir::new().unwrap();
    let urls = ledger(dir.path()).await;
    let mut superuser = PgConnection::connect(&urls.admin).await.unwrap();
    let richer = r#"UPDATE events SET payload = replace(payload::text, '"1.00"', '"9.00"')::json
                     WHERE position = 2"#;
    for (tampering, complaint) in [
        (richer, "0-2: its hash does not match its content and what is before it"),
        ("UPDATE events SET balance = 9 WHERE position = 3", "0-3: its hash does not match"),
        (
            "UPDATE events SET recorded_at = now() WHERE position = 3",
            "0-3: its hash does not match",
        ),
        ("UPDATE events SET hash = sha256('x') WHERE position = 1", "0-1: its hash does not match"),
        ("DELETE FROM events WHERE position = 2", "0-2: the event is missing"),
        ("DELETE FROM events WHERE position = 4", "0-4: the event is missing"),
        ("DELETE FROM events", "0-1: 4 events are missing, up to position 4"),
        (
            "INSERT INTO events SELECT aggregate_type, aggregate_id, 5, event_type, event_version, \
             payload, metadata, 0, 5, recorded_at, balance, hash FROM events WHERE position = 4",
            "0-5: lies beyond the head of its partition, at 4",
        ),
        (
            "UPDATE partitions SET head_hash = sha256('x')",
            "0-4: its hash is not the one that the head of its partition has",
        ),
        (
            "UPDATE partitions SET head_position = 3",
            "0-4: lies beyond the head of its partition, at 3",
        ),
    ] {
        // What the trigger refuses even a superuser, replication may do; afterwards all is as it was.
        let backup = "CREATE TEMP TABLE e AS TABLE events; CREATE TEMP TABLE p AS TABLE partitions";
        let restore = "TRUNCATE partitions; INSERT INTO partitions TABLE p; DELETE FROM events; \
                       INSERT INTO events TABLE e; DROP TABLE e, p";
        let replica = "SET session_replication_role = replica";
        sqlx::raw_sql(&format!("{replica}; {backup}; {tampering}"))
            .execute(&mut superuser)
            .await
            .unwrap();
        let ran = run(["verify", "--database-url", &urls.service]).await;
        assert_eq!(ran.code, Some(1), "{tampering}: {ran:?}");
        assert!(ran.err.contains(complaint), "{tampering}: {}", ran.err);
        assert!(!ran.out.contains(" verify"), "{tampering}: {}", ran.out);
        sqlx::raw_sql(restore).execute(&mut superuser).await.unwrap();
        let ran = run(["verify", "--database-url", &urls.service]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

#[tokio::test]
async fn florin_verify_says_so_when_there_is_no_postgres() {
    let url = format!("postgres://florin:x@127.0.0.1:{}/florin", free_port());
    let ran = run(["verify", "--database-url", &url]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let expected =
        "florin: it could not be proved, one way or the other: Postgres cannot be reached: ";
    assert!(ran.err.starts_with(expected), "{}", ran.err);
    let ran = run(["verify", "--database-url", "nonsense"]).await;
    assert!(ran.err.starts_with("florin: DATABASE_URL is not a Postgres URL"), "{}", ran.err);
}

#[tokio::test]
async fn the_program_says_what_it_can_do() {
    let ran = run(["--help"]).await;
    for verb in ["dev", "serve", "migrate", "verify", "token", "monkey"] {
        assert!(ran.out.contains(&format!("\n  {verb} ")), "{verb} in {}", ran.out);
    }
    assert!(program().exists());
}

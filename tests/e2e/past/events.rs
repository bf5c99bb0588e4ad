//! `florin events`.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use florin_domain::journal::{EVENT_TYPES, RecordedEvent};
use florin_domain::partition_of;
use florin_tests::ask::{deposit, id, id_in, open, request, transfer, transferred};
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::process::{command, signal};
use florin_tests::store::{DEADLINE, Store, eventually};
use florin_tests::turmoil::turmoil;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use super::{expect_refused, florin, lines};

/// An event as the verb says it.
fn told(event: &RecordedEvent) -> Value {
    json!({
        "partition": event.partition,
        "position": event.position,
        "aggregateType": event.aggregate_type,
        "aggregateId": &*event.aggregate_id,
        "sequence": event.sequence,
        "type": event.event_type,
        "version": event.event_version,
        "payload": serde_json::from_str::<Value>(&event.payload).unwrap(),
        "metadata": serde_json::from_str::<Value>(&event.metadata).unwrap(),
        "balance": event.balance.map(|balance| balance.to_string()),
        "recordedAt": time(event),
        "hash": event.hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
    })
}

fn time(event: &RecordedEvent) -> String {
    event.recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

async fn expect(store: &Store, words: &[&str], expected: impl Fn(&RecordedEvent) -> bool) {
    let events = store.events().await;
    let expected: Vec<Value> = events.iter().filter(|event| expected(event)).map(told).collect();
    let found = lines(store, &[&["events"], words].concat()).await;
    assert!(found == expected, "{words:?}: {} of {}", found.len(), expected.len());
}

#[tokio::test]
async fn every_event_is_printed_with_everything_that_the_journal_has_of_it() {
    for partitions in [1, 4] {
        let store = Store::postgres(partitions).await;
        turmoil(&store.process(), &mut 14, 300).await;
        let events = store.events().await;
        expect(&store, &[], |_| true).await;
        expect(&store, &["--type", "WalletFrozen,FundsRefunded"], |event| {
            ["WalletFrozen", "FundsRefunded"].contains(&&*event.event_type)
        })
        .await;
        expect(&store, &["--from", "0-7", "--to", "0-19"], |event| {
            event.partition == 0 && (7..=19).contains(&event.position)
        })
        .await;
        let (from, to) = (events[20].recorded_at, events[40].recorded_at);
        let (from, to) = (from.min(to), from.max(to));
        let [first, last] = [&from, &to].map(|time| time.to_rfc3339());
        expect(&store, &["--from", &first, "--to", &last], |event| {
            (from..=to).contains(&event.recorded_at)
        })
        .await;
        // Texts as they are stored, and no byte more.
        let text = florin(&store, &["events", "--json", "--to", "0-1"]).await;
        let payload = format!("\"payload\":{},\"metadata\":", events[0].payload);
        assert!(text.out.contains(&payload), "{}", text.out);
    }
}

#[tokio::test]
async fn a_wallet_and_a_transfer_are_read_by_their_own_streams() {
    let store = Store::postgres(4).await;
    let ledger = store.process();
    turmoil(&ledger, &mut 15, 200).await;
    let sender = id_in(1, 4, "sender");
    ledger.submit(request(deposit(&sender, "10"))).await.unwrap();
    let sent = ledger.submit(request(transfer(&sender, &id("w-0"), "1"))).await.unwrap();
    let sent = transferred(sent).transfer_id.to_string();
    expect(&store, &["--transfer", &sent], |event| *event.aggregate_id == *sent).await;
    expect(&store, &["--wallet", "w-3"], |event| &*event.aggregate_id == "w-3").await;
    let partition = partition_of(&id("w-3"), 4);
    let from = format!("{partition}-20");
    expect(&store, &["--wallet", "w-3", "--from", &from, "--type", "FundsDeposited"], |event| {
        &*event.aggregate_id == "w-3"
            && event.position >= 20
            && event.event_type == "FundsDeposited"
    })
    .await;
    let to = format!("{partition}-30");
    expect(&store, &["--wallet", "w-3", "--to", &to], |event| {
        &*event.aggregate_id == "w-3" && event.position <= 30
    })
    .await;
}

#[tokio::test]
async fn people_are_shown_a_table() {
    let store = Store::postgres(1).await;
    store.process().submit(request(deposit(&id("alice"), "5"))).await.unwrap();
    let ran = florin(&store, &["events"]).await;
    let rows: Vec<Vec<&str>> =
        ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let events = store.events().await;
    assert_eq!(rows[0][..3], ["position", "recorded", "event"]);
    assert_eq!(rows[1], ["0-1", &time(&events[0]), "WalletOpened", "alice", "1", "0.00"]);
    assert_eq!(rows[2], ["0-2", &time(&events[1]), "FundsDeposited", "alice", "2", "5.00"]);
    assert_eq!(rows.len(), 3);
}

/// The verb at work, and what it says line by line.
struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    fn start(store: &Store, words: &[&str]) -> Self {
        let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
        let verb = ["events", "--follow", "--json", "--database-url", &urls.service];
        let mut child = command(verb.iter().chain(words)).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn next(&mut self) -> Value {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("a line comes");
        serde_json::from_str(&line.unwrap().expect("it goes on")).unwrap()
    }

    /// The next so many, by where they are.
    async fn places(&mut self, count: usize) -> Vec<(u64, u64)> {
        let mut places = Vec::new();
        for _ in 0..count {
            let event = self.next().await;
            let number = |name: &str| event[name].as_u64().unwrap();
            places.push((number("partition"), number("position")));
        }
        places
    }

    /// Ends it as Ctrl-C does.
    async fn interrupt(mut self) {
        signal("INT", self.child.id().unwrap()).await;
        let ended = timeout(DEADLINE, self.child.wait()).await.expect("it ends").unwrap();
        assert!(!ended.success(), "{ended}");
        let rest = timeout(DEADLINE, self.lines.next_line()).await.unwrap().unwrap();
        assert_eq!(rest, None, "it said more than was appended");
    }
}

#[tokio::test]
async fn who_follows_sees_every_partition_go_on_once_and_in_order() {
    let store = Store::postgres(4).await;
    let ledger = store.process();
    let wallets: Vec<_> = (0..4).map(|partition| id_in(partition, 4, "w")).collect();
    for wallet in &wallets {
        ledger.submit(request(deposit(wallet, "5"))).await.unwrap();
    }
    let mut following = Following::start(&store, &[]);
    let there: Vec<(u64, u64)> = (0..4).flat_map(|of| [(of, 1), (of, 2)]).collect();
    assert_eq!(following.places(8).await, there);
    for round in 3..6 {
        for (partition, wallet) in (0..).zip(&wallets) {
            ledger.submit(request(deposit(wallet, "1"))).await.unwrap();
            assert_eq!(following.places(1).await, [(partition, round)]);
        }
    }
    following.interrupt().await;
}

#[tokio::test]
async fn who_follows_a_wallet_sees_its_events_and_no_others() {
    let store = Store::postgres(1).await;
    let ledger = store.process();
    for wallet in ["alice", "bob"] {
        ledger.submit(request(open(&id(wallet), "USD"))).await.unwrap();
    }
    let mut following = Following::start(&store, &["--wallet", "alice", "--from", "0-2"]);
    for position in [4, 6, 8] {
        ledger.submit(request(deposit(&id("bob"), "1"))).await.unwrap();
        ledger.submit(request(deposit(&id("alice"), "1"))).await.unwrap();
        assert_eq!(following.places(1).await, [(0, position)]);
    }
    following.interrupt().await;
}

#[tokio::test]
async fn who_follows_outlives_postgres_and_misses_nothing() {
    let postgres = OwnPostgres::start().await;
    let store = postgres.store(1).await;
    store.process().submit(request(deposit(&id("alice"), "1"))).await.unwrap();
    let mut following = [&[][..], &["--wallet", "alice"]].map(|of| Following::start(&store, of));
    for one in &mut following {
        assert_eq!(one.places(2).await, [(0, 1), (0, 2)]);
    }
    let is_over = AtomicBool::new(false);
    let depositing = async {
        let ledger = store.process();
        while !is_over.load(Ordering::Relaxed) {
            // While Postgres is away there is no answer but that.
            let _ = ledger.submit(request(deposit(&id("alice"), "1"))).await;
        }
    };
    let killing = async {
        for _ in 0..3 {
            let before = head(&store).await;
            eventually("deposits are appended", async || match head(&store).await {
                now if now > before + 50 => Ok(()),
                now => Err(now),
            })
            .await;
            postgres.kill_hard().await;
            postgres.restart().await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(depositing, killing);
    let all: Vec<(u64, u64)> = (3..=head(&store).await).map(|position| (0, position)).collect();
    for mut one in following {
        assert_eq!(one.places(all.len()).await, all);
        one.interrupt().await;
    }
    postgres.stop().await;
}

/// How far the journal is, by whoever is asked once Postgres is there.
async fn head(store: &Store) -> u64 {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    let head = "SELECT head_position FROM partitions";
    let ask = async || -> Result<i64, sqlx::Error> {
        let mut connection = PgConnection::connect(&urls.service).await?;
        sqlx::query_scalar(head).fetch_one(&mut connection).await
    };
    eventually("Postgres is there", ask).await.try_into().unwrap()
}

#[tokio::test]
async fn who_has_read_enough_may_go() {
    let store = Store::postgres(1).await;
    turmoil(&store.process(), &mut 16, 400).await;
    let Store::Postgres(_, urls) = &store else { unreachable!() };
    let verb = ["events", "--json", "--database-url", &urls.service];
    let mut child = command(verb).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // As `head -n 1` does.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().is_some());
    drop(lines);
    let output = timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn what_there_is_not_is_refused_with_a_sentence() {
    let store = Store::postgres(2).await;
    let wallet = id_in(1, 2, "w");
    store.process().submit(request(deposit(&wallet, "5"))).await.unwrap();
    let nobody = "0192f0c1-2b3c-7d4e-8f90-a1b2c3d4e5f6";
    let no_transfer =
        format!("there is no transfer {nobody}: see `florin events --type TransferInitiated`");
    let elsewhere = format!("{wallet} lies in partition 1: say a position there, such as 1-123");
    for (words, sentence) in [
        (
            &["--wallet", "nobody"][..],
            "there is no wallet nobody: see `florin events --type WalletOpened`",
        ),
        (
            &["--wallet", "nobody", "--follow"],
            "there is no wallet nobody: see `florin events --type WalletOpened`",
        ),
        (&["--transfer", nobody], &no_transfer),
        (&["--wallet", wallet.as_str(), "--from", "0-0"], &elsewhere),
        (&["--to", "1-3"], "partition 1 ends at 2, before 3"),
        (&["--to", "3"], "say the partition, 0 to 1, as in 0-123"),
        (
            &["--from", "2100-01-01T00:00:00Z"],
            "the time lies in the future: nobody knows yet what will have happened by then",
        ),
    ] {
        expect_refused(&store, &[&["events"], words].concat(), sentence).await;
    }
    for (words, expected) in [
        (&["--wallet", "a", "--transfer", nobody][..], "cannot be used with"),
        (&["--follow", "--to", "1-2"], "cannot be used with"),
        (&["--type", "Gift"], EVENT_TYPES[0]),
        (&["--transfer", "x"], "--transfer"),
        (&["--wallet", "a b"], "a wallet id is"),
        (&["--from", "yesterday"], "it is a time"),
    ] {
        let ran = florin(&store, &[&["events"], words].concat()).await;
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains(expected), "{ran:?}");
    }
    for verb in ["events", "balance", "history", "diff"] {
        let ran = florin_tests::process::run([verb, "--help"]).await;
        let example = format!("Example: florin {verb}");
        assert!(ran.code == Some(0) && ran.out.contains(&example), "{ran:?}");
    }
}

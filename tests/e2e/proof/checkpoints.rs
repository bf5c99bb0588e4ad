//! What a checkpoint finds that nothing else does.

use std::path::{Path, PathBuf};

use florin_domain::journal::{GENESIS, Hash, RecordedEvent};
use florin_tests::ask::{deposit, id_in, request};
use florin_tests::process::{Ran, run};
use florin_tests::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{answer, business, ledger, problems, tamper, urls, verify};

/// As `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
    -----END PUBLIC KEY-----\n";

struct Kept {
    dir: TempDir,
}

impl Kept {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("key.pem"), PRIVATE).unwrap();
        std::fs::write(dir.path().join("public.pem"), PUBLIC).unwrap();
        Self { dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Signs a checkpoint of the ledger as it is, for arguments that hold the journal against it.
    async fn checkpoint(&self, store: &Store) -> Vec<String> {
        let (key, file) = (self.at("key.pem"), self.at("checkpoint.json"));
        let ran = checkpoint(store, &["--sign", text(&key), "--out", text(&file)]).await;
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "", ""));
        let public = self.at("public.pem");
        ["--checkpoint", text(&file), "--key", text(&public)].map(ToOwned::to_owned).to_vec()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn checkpoint(store: &Store, words: &[&str]) -> Ran {
    let database = ["--database-url", &urls(store).service];
    run(["checkpoint"].iter().chain(words).chain(&database)).await
}

async fn against(store: &Store, words: &[String]) -> Value {
    answer(store, &words.iter().map(String::as_str).collect::<Vec<_>>()).await
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The last events of the last partition, up to its head.
async fn last(store: &Store) -> (u32, Vec<RecordedEvent>) {
    let partition = store.partitions() - 1;
    let mut events = store.events().await;
    events.retain(|event| event.partition == partition);
    (partition, events)
}

/// A deposit at the end of the last partition, by itself.
async fn pay(store: &Store) {
    let partitions = store.partitions();
    let a = id_in(partitions - 1, partitions, "a");
    store.process().submit(request(deposit(&a, "1.00"))).await.unwrap();
}

#[tokio::test]
async fn a_journal_that_goes_on_extends_its_checkpoint() {
    for partitions in [1, 4] {
        let (store, kept) = (ledger(partitions).await, Kept::new());
        let words = kept.checkpoint(&store).await;
        let document = std::fs::read_to_string(kept.at("checkpoint.json")).unwrap();
        let document: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["partitions"].as_array().unwrap().len(), partitions as usize);
        let found = against(&store, &words).await;
        assert_eq!(found["isInOrder"], true, "{found}");
        business(&store).await;
        let found = against(&store, &words).await;
        assert_eq!(found["isInOrder"], true, "{found}");
        assert_eq!(found["notProved"], json!([]));
        let checkpoint = &found["checkpoint"];
        assert_eq!(checkpoint["isVouchedFor"], true);
        assert_eq!(checkpoint["signedBy"], document["publicKey"]);
        assert_eq!(checkpoint["time"], document["time"]);
    }
}

#[tokio::test]
async fn only_a_checkpoint_finds_that_the_end_was_removed() {
    for partitions in [1, 4] {
        let (store, kept) = (ledger(partitions).await, Kept::new());
        pay(&store).await;
        let words = kept.checkpoint(&store).await;
        let (partition, events) = last(&store).await;
        let [.., before, end] = events.as_slice() else { panic!("there are some") };
        let (head, hash) = (before.position, hex(&before.hash));
        tamper(
            &store,
            &format!(
                "DELETE FROM events WHERE partition = {partition} AND position = {};
                 UPDATE partitions SET head_position = {head}, head_hash = decode('{hash}', 'hex')
                  WHERE partition = {partition}",
                end.position
            ),
        )
        .await;
        assert_eq!(answer(&store, &[]).await["isInOrder"], true, "the chain holds");
        let expected = format!(
            "{partition}-{} the checkpoint has this event; the journal ends at {head}",
            end.position
        );
        assert_eq!(problems(&against(&store, &words).await), [expected]);
        // And so it is when others have taken the places since.
        pay(&store).await;
        pay(&store).await;
        assert_eq!(answer(&store, &[]).await["isInOrder"], true);
        let expected =
            format!("{partition}-{} its hash is not the one that the checkpoint has", end.position);
        assert_eq!(problems(&against(&store, &words).await), [expected]);
    }
}

#[tokio::test]
async fn only_a_checkpoint_finds_that_the_end_was_written_anew() {
    for partitions in [1, 4] {
        let (store, kept) = (ledger(partitions).await, Kept::new());
        pay(&store).await;
        pay(&store).await;
        let words = kept.checkpoint(&store).await;
        let (partition, mut events) = last(&store).await;
        let count = events.len();
        let mut hash = events[count - 3].hash;
        let mut statements = String::new();
        for event in &mut events[count - 2..] {
            event.metadata = r#"{"requestId":"another"}"#.into();
            event.hash = event.chained(&hash);
            hash = event.hash;
            statements += &format!(
                "UPDATE events SET metadata = '{}', hash = decode('{}', 'hex')
                  WHERE partition = {partition} AND position = {};",
                event.metadata,
                hex(&hash),
                event.position
            );
        }
        let head = format!(
            "UPDATE partitions SET head_hash = decode('{}', 'hex') WHERE partition = {partition}",
            hex(&hash)
        );
        tamper(&store, &(statements + &head)).await;
        assert_eq!(answer(&store, &[]).await["isInOrder"], true, "the chain holds");
        let expected =
            format!("{partition}-{count} its hash is not the one that the checkpoint has");
        assert_eq!(problems(&against(&store, &words).await), [expected]);
    }
}

#[tokio::test]
async fn a_checkpoint_is_held_against_a_part_that_begins_no_later() {
    let (store, kept) = (ledger(1).await, Kept::new());
    let words = kept.checkpoint(&store).await;
    let (_, events) = last(&store).await;
    let head = events.len();
    business(&store).await;
    let with = |from: String| [words.clone(), vec!["--from".to_owned(), from]].concat();
    for from in [2, head, head + 1] {
        let found = against(&store, &with(from.to_string())).await;
        assert_eq!(found["isInOrder"], true, "{found}");
    }
    let late = with((head + 2).to_string());
    let ran = verify(&store, &late.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let expected = format!(
        "florin: --from begins at 0-{}, after the checkpoint: what lies between would not be proved. \
         Begin at 0-{}, or leave --from out",
        head + 2,
        head + 1
    );
    assert_eq!((ran.code, ran.err.trim()), (Some(1), &*expected));
    let wrong = format!("UPDATE events SET hash = sha256('x') WHERE position = {head}");
    tamper(&store, &wrong).await;
    let found = problems(&against(&store, &with((head + 1).to_string())).await);
    let expected = [
        format!("0-{head} its hash is not the one that the checkpoint has"),
        format!("0-{} its hash does not match its content and what is before it", head + 1),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn who_vouches_for_a_checkpoint_is_said() {
    let (store, kept) = (ledger(1).await, Kept::new());
    kept.checkpoint(&store).await;
    let file = kept.at("checkpoint.json");
    let ran = verify(&store, &["--checkpoint", text(&file)]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("nobody vouches for that key unless you know it"), "{ran:?}");
    let unsigned = checkpoint(&store, &[]).await;
    assert_eq!(unsigned.code, Some(0), "{unsigned:?}");
    let document: Value = serde_json::from_str(&unsigned.out).unwrap();
    assert_eq!(
        (&document["format"], &document["signature"]),
        (&json!("florin-checkpoint-1"), &Value::Null)
    );
    let plain = kept.at("plain.json");
    std::fs::write(&plain, &unsigned.out).unwrap();
    let ran = verify(&store, &["--checkpoint", text(&plain)]).await;
    assert!(ran.code == Some(0) && ran.out.contains("is signed by nobody"), "{ran:?}");
    let changed =
        std::fs::read_to_string(&file).unwrap().replace("\"position\": ", "\"position\": 1");
    std::fs::write(&plain, changed).unwrap();
    let ran = verify(&store, &["--checkpoint", text(&plain)]).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""), "nothing is proved by it");
    assert!(ran.err.ends_with("its signature is not that of the key, or it was changed since\n"));
    let ran = verify(&store, &["--key", text(&file)]).await;
    assert_eq!(ran.code, Some(2), "a key is for a checkpoint: {ran:?}");
}

#[tokio::test]
async fn an_empty_ledger_has_a_checkpoint_which_what_comes_later_extends() {
    let (store, kept) = (Store::postgres(4).await, Kept::new());
    let words = kept.checkpoint(&store).await;
    let text = std::fs::read_to_string(kept.at("checkpoint.json")).unwrap();
    assert!(text.contains(&hex(&GENESIS)));
    business(&store).await;
    assert_eq!(against(&store, &words).await["isInOrder"], true);
}

#[tokio::test]
async fn no_checkpoint_is_made_of_a_head_that_is_none_and_none_is_written_over() {
    let (store, kept) = (ledger(1).await, Kept::new());
    kept.checkpoint(&store).await;
    let file = kept.at("checkpoint.json");
    let before = std::fs::read(&file).unwrap();
    let ran = checkpoint(&store, &["--out", text(&file)]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.ends_with("a file of that name already, which is not written over\n"),
        "{ran:?}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
    tamper(&store, "UPDATE partitions SET head_hash = sha256('x')").await;
    let ran = checkpoint(&store, &[]).await;
    assert_eq!((ran.code, &*ran.out), (Some(1), ""));
    assert!(ran.err.contains("is not the one that its head says: run `florin verify`"), "{ran:?}");
    let ran = run(["checkpoint", "--help"]).await;
    assert!(ran.out.contains("Example: florin checkpoint"), "{ran:?}");
    let ran = run(["verify", "--help"]).await;
    assert!(ran.out.contains("Example: florin verify"), "{ran:?}");
    assert!(ran.out.contains("What leaves those sums as they are is not seen"), "{ran:?}");
}

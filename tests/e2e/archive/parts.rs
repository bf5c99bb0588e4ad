//! A part of the journal is for other programs, and is no ledger.

use florin_adapters::archive::csv::COLUMNS;
use florin_tests::ask::{deposit, id_in, request};
use florin_tests::process::run;
use florin_tests::store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{empty, export, import, rows, urls};

/// Four events in each of two partitions.
async fn store() -> Store {
    let store = Store::postgres(2).await;
    let ledger = store.process();
    for wallet in [id_in(0, 2, "a"), id_in(1, 2, "b")] {
        for _ in 0..3 {
            ledger.submit(request(deposit(&wallet, "1"))).await.unwrap();
        }
    }
    store
}

fn positions(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| Some(line["event"]["position"].as_str()?.to_owned())).collect()
}

#[tokio::test]
async fn a_range_is_exported_and_says_that_it_is_a_part() {
    let store = store().await;
    let ran = export(urls(&store), &["--from", "0-2,1-4", "--to", "0-3,1-4"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(positions(&ran.out), ["0-2", "0-3", "1-4"]);
    let header: Value = serde_json::from_str(ran.out.lines().next().unwrap()).unwrap();
    let header = &header["journal"];
    assert_eq!((&header["partial"], &header["keys"]), (&json!(true), &json!(false)));
    assert_eq!(header["heads"][0]["position"], "0-3");
    let last: Value = serde_json::from_str(ran.out.lines().nth(2).unwrap()).unwrap();
    assert_eq!(header["heads"][0]["hash"], last["event"]["hash"]);
    assert_eq!(ran.err.trim(), "3 events are exported, as a part that cannot be imported.");
    // By time: all of it, and still no ledger, because nobody knows the keys of then.
    let ran = export(urls(&store), &["--from", "2020-01-01T00:00:00Z"]).await;
    assert_eq!(positions(&ran.out).len(), 8);
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("part.jsonl");
    std::fs::write(&file, &ran.out).unwrap();
    let there = empty(2).await;
    let before = rows(&there).await;
    let ran = import(&there, &file, &[]).await;
    let expected = "florin: line 1: this is a part of a journal (`--from` or `--to`)";
    assert!(ran.code == Some(1) && ran.err.starts_with(expected), "{ran:?}");
    assert_eq!(rows(&there).await, before);
}

#[tokio::test]
async fn csv_is_what_rfc_4180_says() {
    let store = store().await;
    let ran = export(urls(&store), &["--format", "csv", "--from", "1-1", "--to", "1-4"]).await;
    assert!(ran.out.ends_with("\r\n") && ran.out.matches("\r\n").count() == 6, "{}", ran.out);
    let mut rows = csv::Reader::from_reader(ran.out.as_bytes());
    assert_eq!(rows.headers().unwrap(), &COLUMNS[..]);
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(&rows[0][0], "journal");
    let events = store.events().await;
    let events: Vec<_> = events.iter().filter(|event| event.partition == 1).collect();
    assert_eq!(rows.len(), events.len() + 1);
    for (row, event) in rows[1..].iter().zip(events) {
        let position = format!("1-{}", event.position);
        assert_eq!([&row[0], &row[1]], ["event", &*position]);
        assert_eq!([&row[9], &row[10]], [&*event.payload, &*event.metadata]);
        assert_eq!(row[8], event.balance.unwrap().to_string());
    }
}

#[tokio::test]
async fn what_is_asked_for_badly_is_said_so() {
    let store = store().await;
    for (words, code, expected) in [
        (&["--format", "xml"][..], 2, "jsonl, csv"),
        (&["--from", "yesterday"], 2, "it is a time"),
        (&["--from", "0-1", "--to", "0-9"], 1, "partition 0 ends at 4, before 9"),
    ] {
        let ran = export(urls(&store), words).await;
        assert_eq!((ran.code, &*ran.out), (Some(code), ""), "{ran:?}");
        assert!(ran.err.contains(expected), "{ran:?}");
    }
    for verb in ["export", "import"] {
        let ran = run([verb, "--help"]).await;
        assert!(ran.code == Some(0) && ran.out.contains("Example: "), "{ran:?}");
    }
}

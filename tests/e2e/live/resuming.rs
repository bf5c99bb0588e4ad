//! A stream that breaks off, again and again, while the ledger is written.

use florin_domain::WalletId;
use florin_tests::service::Service;
use serde_json::Value;

use super::{beginning, load, received, recorded, wallets};

/// How many commands there are: some hundreds of events.
const COMMANDS: usize = 240;

/// After how many events each connection breaks off, in turn.
const CUTS: [usize; 7] = [1, 2, 1, 5, 3, 1, 13];

/// Reads so many events, and breaks off all the time; the last id as well.
async fn read_in_pieces(
    service: &Service,
    path: &str,
    first: &str,
    events: usize,
) -> (Vec<Value>, String) {
    let (mut last_id, mut all) = (first.to_owned(), Vec::new());
    for cut in CUTS.iter().cycle() {
        let mut stream = service.stream(path, Some(&last_id)).await;
        for _ in 0..(*cut).min(events - all.len()) {
            let (id, data) = stream.event().await;
            assert_eq!(id, stream.last_id);
            all.push(data);
        }
        last_id = stream.last_id.clone();
        if all.len() == events {
            break;
        }
    }
    (all, last_id)
}

/// Three wallets in one partition, or one in each.
fn several(partitions: u32) -> Vec<WalletId> {
    match partitions {
        1 => ["a", "b", "c"].map(|id| id.parse().unwrap()).to_vec(),
        _ => wallets(partitions),
    }
}

#[tokio::test]
async fn whoever_resumes_at_any_cut_sees_every_event_once_and_in_order() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let wallets = several(partitions);
        let (path, first) = ("/events/stream", beginning(partitions));
        let reading = read_in_pieces(&service, path, &first, COMMANDS / 2);
        let ((some, last_id), ()) =
            tokio::join!(reading, load(service.ledger(), &wallets, COMMANDS));
        // What there is more, whose number depends on who had enough for a transfer.
        let expected = recorded(service.store()).await;
        let more = expected.iter().map(Vec::len).sum::<usize>() - some.len();
        let (rest, _) = read_in_pieces(&service, path, &last_id, more).await;
        assert_eq!(received(partitions, &[some, rest].concat()), expected);
        service.finish().await;
    }
}

#[tokio::test]
async fn whoever_resumes_a_wallet_s_stream_at_any_cut_sees_each_of_its_versions() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let wallets = several(partitions);
        // So that there is one to read of.
        load(service.ledger(), &wallets, 1).await;
        let (path, first) = (format!("/wallets/{}/stream", wallets[0]), "0");
        let finished = load(service.ledger(), &wallets, COMMANDS);
        let reading = read_in_pieces(&service, &path, first, COMMANDS / 8);
        let ((some, last_id), ()) = tokio::join!(reading, finished);
        let stream = service.store().stream(wallets[0].as_str()).await;
        let more = stream.len() - some.len();
        let (rest, _) = read_in_pieces(&service, &path, &last_id, more).await;
        let all = [some, rest].concat();
        let versions: Vec<u64> = all.iter().map(|data| data["version"].as_u64().unwrap()).collect();
        assert_eq!(versions, (1..=stream.len() as u64).collect::<Vec<_>>());
        let types: Vec<&str> = all.iter().map(|data| data["type"].as_str().unwrap()).collect();
        assert_eq!(types, stream);
        assert!(all.iter().all(|data| data["walletId"] == wallets[0].as_str()));
        service.finish().await;
    }
}

#[tokio::test]
async fn a_long_history_is_read_from_any_place_while_it_grows() {
    for partitions in [1, 4] {
        let service = Service::start(partitions).await;
        let wallets = wallets(partitions);
        load(service.ledger(), &wallets, 1_000).await;
        let growing = load(service.ledger(), &wallets, 1_000);
        let reading = async {
            let mut stream = service.stream("/events/stream", Some(&beginning(partitions))).await;
            let mut all = Vec::new();
            for _ in 0..1_500 {
                all.push(stream.event().await.1);
            }
            (stream, all)
        };
        let ((mut stream, mut all), ()) = tokio::join!(reading, growing);
        let expected = recorded(service.store()).await;
        while all.len() < expected.iter().map(Vec::len).sum() {
            all.push(stream.event().await.1);
        }
        assert_eq!(received(partitions, &all), expected);
        service.finish().await;
    }
}

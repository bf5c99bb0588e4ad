//! A thousand readers at once, in a process of its own, so that its memory is its own.

use std::time::Instant;

use florin_adapters::live::Bounds;
use florin_domain::WalletId;
use florin_tests::ask::{deposit, id_in, request};
use florin_tests::event_stream::EventStream;
use florin_tests::process::{Florin, free_port};
use florin_tests::store::{DEADLINE, Store};
use futures::StreamExt;
use futures::stream;
use reqwest::{Client, Response};
use tempfile::TempDir;
use tokio::time::timeout;

const READERS: usize = 1_000;

const WALLETS: u32 = 4;

/// How many readers come at once.
const AT_ONCE: usize = 100;

/// How many deposits each wallet is sent.
const DEPOSITS: usize = 100;

/// How much memory a reader may cost the service, in KB: that of a connection, and little more.
const MEMORY_EACH: u64 = 64;

/// The memory of a process, in KB.
fn memory_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The ids of so many events, as they come.
async fn ids(mut response: Response, count: usize) -> Vec<String> {
    let (mut text, mut ids) = (Vec::new(), Vec::new());
    while ids.len() < count {
        let chunk = timeout(DEADLINE, response.chunk()).await.expect("nothing comes");
        text.extend_from_slice(&chunk.unwrap().expect("it goes on"));
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = text.drain(..end + 2).collect();
            let block = std::str::from_utf8(&block).unwrap();
            if block.contains("\ndata: ") {
                let id = block.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
                ids.push(id.to_owned());
            }
        }
    }
    ids
}

#[tokio::test]
async fn a_thousand_readers_of_a_few_wallets_all_see_every_event() {
    const { assert!(Bounds::SERVICE.streams > READERS) };
    let store = Store::postgres(WALLETS).await;
    let Store::Postgres(_, urls) = &store else { unreachable!("it is in Postgres") };
    let (ledger, dir, port) = (store.process(), TempDir::new().unwrap(), free_port());
    let wallets: Vec<WalletId> = (0..WALLETS).map(|p| id_in(p, WALLETS, "w")).collect();
    for wallet in &wallets {
        ledger.submit(request(deposit(wallet, "1"))).await.unwrap();
    }
    let mut florin = Florin::serve(dir.path(), port, &urls.service, &[]);
    let url = format!("http://127.0.0.1:{port}");
    florin.ready(&url).await;
    let (client, pid) = (Client::new(), florin.pid().unwrap());
    let before = memory_of(pid);
    let opening = wallets.iter().cycle().take(READERS).map(|wallet| {
        let request = client.get(format!("{url}/wallets/{wallet}/stream"));
        async { request.send().await.unwrap().error_for_status().unwrap() }
    });
    let streams: Vec<_> = stream::iter(opening).buffered(AT_ONCE).collect().await;
    let each = memory_of(pid).saturating_sub(before) / READERS as u64;
    assert!(each < MEMORY_EACH, "{each} KB a reader");

    let started = Instant::now();
    let reading = streams.into_iter().map(|stream| tokio::spawn(ids(stream, DEPOSITS)));
    let reading: Vec<_> = reading.collect();
    let sent = wallets.iter().cycle().take(wallets.len() * DEPOSITS);
    let sent = sent.map(|wallet| ledger.submit(request(deposit(wallet, "1"))));
    futures::future::try_join_all(sent).await.unwrap();
    let mut received = Vec::new();
    for reading in reading {
        received.push(reading.await.unwrap());
    }
    let took = started.elapsed();
    let events = store.events().await;
    for (reader, ids) in received.iter().enumerate() {
        let wallet = wallets[reader % wallets.len()].as_str();
        let of_wallet = events.iter().filter(|event| *event.aggregate_id == *wallet).skip(2);
        let of_wallet = of_wallet.map(|event| format!("{}-{}", event.partition, event.position));
        assert_eq!(*ids, of_wallet.collect::<Vec<_>>(), "reader {reader}");
    }
    println!("{} events in {took:?}, {each} KB a reader", READERS * DEPOSITS);
    let open = EventStream::open(client.get(format!("{url}/events/stream"))).await;
    let (why, status) = tokio::join!(open.end(), florin.terminate());
    assert_eq!((&*why, status.code()), ("shutting-down", Some(0)));
    store.audit().await;
}

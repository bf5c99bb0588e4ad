//! Postgres away in the middle of a stream.

use florin_adapters::live::{Live, Step, Stream, Types, Wanted};
use florin_tests::event_stream::{Block, EventStream};
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::service::Service;
use florin_tests::store::{DEADLINE, Store, eventually};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{IMPATIENT, beginning, load, received, recorded, wallets};

/// Reads on until so many events are there.
async fn read(stream: &mut EventStream, all: &mut Vec<Value>, count: usize) {
    while all.len() < count {
        all.push(stream.event().await.1);
    }
}

async fn count(service: &Service) -> usize {
    recorded(service.store()).await.iter().map(Vec::len).sum()
}

/// Waits until a stream has been silent twice: it lives, and has nothing.
async fn silent(stream: &mut EventStream) {
    for _ in 0..2 {
        while !matches!(stream.next().await, Some(Block::Comment(_))) {}
    }
}

#[tokio::test]
async fn a_stream_outlives_postgres_and_goes_on_without_loss() {
    for partitions in [1, 4] {
        let postgres = OwnPostgres::start().await;
        let service = Service::streaming(postgres.store(partitions).await, IMPATIENT).await;
        let wallets = wallets(partitions);
        load(service.ledger(), &wallets, 200).await;
        let first = beginning(partitions);
        let mut follows = service.stream("/events/stream", Some(&first)).await;
        let mut all = Vec::new();
        read(&mut follows, &mut all, count(&service).await).await;
        // Still far behind, because it has not been read from.
        let mut behind = service.stream("/events/stream", Some(&first)).await;

        postgres.kill_hard().await;
        silent(&mut follows).await;
        service.get("/events/stream").await.expect_problem(503, "unavailable");

        postgres.restart().await;
        let path = format!("/wallets/{}/deposit", wallets[0]);
        eventually("commands are accepted", async || {
            let body = json!({ "amount": 1, "requestId": "after" });
            let answer = service.post(&path, body).await;
            if answer.status == 201 { Ok(()) } else { Err(answer) }
        })
        .await;
        load(service.ledger(), &wallets, 200).await;
        let expected = recorded(service.store()).await;
        let mut late = Vec::new();
        for (stream, all) in [(&mut follows, &mut all), (&mut behind, &mut late)] {
            read(stream, all, expected.iter().map(Vec::len).sum()).await;
            assert_eq!(received(partitions, all), expected);
        }
        service.finish().await;
        postgres.stop().await;
    }
}

/// The positions of the next events of partition 0.
async fn positions(stream: &mut Stream) -> Vec<u64> {
    loop {
        match timeout(DEADLINE, stream.next()).await.expect("nothing comes") {
            Step::Events(events) => {
                return events.iter().map(|event| event.recorded.position).collect();
            }
            Step::Quiet(_) => {}
            Step::End(end) => panic!("it ends: {end:?}"),
        }
    }
}

#[tokio::test]
async fn a_stream_that_catches_up_goes_on_where_it_was() {
    let postgres = OwnPostgres::start().await;
    let store = postgres.store(1).await;
    let Store::Postgres(_, urls) = &store else { unreachable!("it is in Postgres") };
    let wallets = wallets(1);
    load(&store.process(), &wallets, 300).await;
    let live = Live::start_within(IMPATIENT, &urls.service, 1).unwrap();
    let now = live.now().await.unwrap();
    for wallet in [None, Some(wallets[0].clone())] {
        let wanted = Wanted { wallet, partitions: 0..1, types: Types::default() };
        let mut stream = live.open(wanted, &[0], &now).unwrap();
        let mut all = positions(&mut stream).await;
        postgres.kill_hard().await;
        // It lives, and says no less than it has.
        for _ in 0..2 {
            let next = timeout(DEADLINE, stream.next()).await.unwrap();
            assert!(matches!(&next, Step::Quiet(at) if at[0] == (0, *all.last().unwrap())));
        }
        postgres.restart().await;
        while all.len() < 301 {
            all.extend(positions(&mut stream).await);
        }
        assert_eq!(all, (1..=301).collect::<Vec<_>>());
    }
    store.audit().await;
    postgres.stop().await;
}

//! What is published when nothing is wrong.

use std::time::Duration;

use async_nats::HeaderMap;
use florin_adapters::nats::relay::{PAGE, Relay, RelayState};
use florin_adapters::nats::stream::{LEDGER, StreamSettings};
use florin_adapters::nats::trim::{FULL, STEP};
use florin_adapters::postgres::heads::{Heads, POLL};
use florin_adapters::postgres::relay_cursor;
use florin_application::journal::{Batch, Head};
use florin_tests::ask::{deposit, id, open, request};
use florin_tests::batches::{batch, deposited, opened, wallet_event};
use florin_tests::nats::{OwnNats, all_published, heads, pool};
use florin_tests::projecting::reader;
use florin_tests::store::{DEADLINE, Store, eventually};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::business;

/// More than two pages of events in one partition.
async fn three_pages(store: &Store) {
    let count = 2 * i64::try_from(PAGE).unwrap() + 1;
    let wallet = id("a");
    let mut long: Batch = batch(0, Head::EMPTY);
    wallet_event(&mut long, &wallet, 1, &opened(), 0);
    for cents in 1..count {
        let sequence = u64::try_from(cents).unwrap() + 1;
        wallet_event(&mut long, &wallet, sequence, &deposited(1, cents), cents);
    }
    store.partition(0).append(&long).await.unwrap();
}

/// Longer than any test: what happens before it was not found by looking.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn every_partition_is_published_in_order_and_exactly() {
    for partitions in [1, 4] {
        let (store, nats) = (Store::postgres(partitions).await, OwnNats::start().await);
        let ledger = store.process();
        business(&ledger, &store, 1).await;
        let worker = nats.worker(&store).await;
        all_published(&store, &worker).await;
        business(&ledger, &store, 2).await;
        all_published(&store, &worker).await;
        let mut published = Vec::new();
        for partition in 0..partitions {
            published.extend(nats.events(partition).await);
        }
        assert_eq!(published, store.events().await);
        let header = |headers: &HeaderMap, name: &str| headers.get(name).unwrap().to_string();
        for (message, position) in nats.messages(0).await.iter().zip(1..) {
            let headers = message.headers.as_ref().unwrap();
            assert_eq!(header(headers, "Nats-Msg-Id"), format!("0-{position}"));
            assert_eq!(header(headers, "ce-id"), format!("0-{position}"));
            assert_eq!(header(headers, "content-type"), "application/json");
        }
        for (relay, (partition, head)) in worker.relays().iter().zip(heads(&store).await) {
            let status = relay.status();
            assert_eq!((status.partition, status.state), (partition, RelayState::Publishing));
            assert_eq!((status.cursor, relay.lag(), status.last_error), (head, 0, None));
        }
        worker.stop().await;
        nats.stop().await;
    }
}

#[tokio::test]
async fn a_commit_wakes_the_relay_without_a_look_at_the_table() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let pool = pool(&store).clone();
    let heads = Heads::follow_with(pool.clone(), 1, NEVER);
    let client = nats.client().await;
    let (journal, settings) = (reader(&store), StreamSettings::default());
    let relay = Relay::new(0, pool, journal, client, settings, heads.clone());
    let handle = relay.handle();
    let relaying = tokio::spawn(async move { relay.run().await });
    eventually("the relay waits for events", async || match handle.status().state {
        RelayState::Publishing => Ok(()),
        other @ (RelayState::Standby | RelayState::Waiting) => Err(other),
    })
    .await;
    let ledger = store.process();
    for number in 1..=3 {
        ledger.submit(request(open(&id(&format!("w-{number}")), "USD"))).await.unwrap();
        eventually("the event is published", async || match nats.positions(0).await.last() {
            Some(last) if *last == number => Ok(()),
            last => Err(last.copied()),
        })
        .await;
    }
    relaying.abort();
    nats.stop().await;
}

#[tokio::test]
async fn a_head_that_nobody_notified_is_found_by_looking() {
    let store = Store::postgres(2).await;
    let Store::Postgres(journal, urls) = &store else { unreachable!() };
    let mut heads = Heads::follow(journal.pool().clone(), 2);
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    let silently = "UPDATE partitions SET head_position = 7 WHERE partition = 1";
    sqlx::query(silently).execute(&mut admin).await.unwrap();
    timeout(POLL + DEADLINE, heads.beyond(1, 6)).await.unwrap();
    assert_eq!((heads.head(0), heads.head(1)), (0, 7));
}

#[tokio::test]
async fn a_long_journal_is_published_page_by_page() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    three_pages(&store).await;
    let worker = nats.worker(&store).await;
    all_published(&store, &worker).await;
    assert_eq!(nats.events(0).await, store.events().await);
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn the_oldest_messages_go_in_one_step_before_the_stream_is_full() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    three_pages(&store).await;
    let max_bytes: i64 = 2 << 20;
    let settings = StreamSettings { max_bytes, ..StreamSettings::default() };
    let pool = pool(&store).clone();
    let heads = Heads::follow(pool.clone(), 1);
    let relay = Relay::new(0, pool, reader(&store), nats.client().await, settings, heads);
    let handle = relay.handle();
    let relaying = tokio::spawn(async move { relay.run().await });
    let head = store.events().await.len() as u64;
    eventually("everything is published", async || match handle.status().cursor {
        cursor if cursor == head => Ok(()),
        cursor => Err(cursor),
    })
    .await;
    // The journal is larger than the stream, so that the server itself kept the bound so far.
    let stream = nats.jetstream().await.get_stream(LEDGER.name).await.unwrap();
    let percent = async || {
        let state = stream.get_info().await.unwrap().state;
        state.bytes * 100 / max_bytes.unsigned_abs()
    };
    let left = eventually("there is room in the stream", async || match percent().await {
        left if left < FULL => Ok(left),
        full => Err(full),
    })
    .await;
    assert!(left + STEP + 1 >= FULL, "no more than a step goes: {left} %");
    let positions = nats.positions(0).await;
    assert_eq!(positions.last(), Some(&head), "the newest stay");
    assert_eq!(positions.len() as u64, head + 1 - positions[0], "without a hole");
    relaying.abort();
    nats.stop().await;
}

#[tokio::test]
async fn a_restarted_relay_goes_on_from_its_cursor() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let ledger = store.process();
    business(&ledger, &store, 1).await;
    let worker = nats.worker(&store).await;
    all_published(&store, &worker).await;
    worker.stop().await;
    // Whoever began anew would publish everything into the new stream.
    nats.delete_stream().await;
    let cursor = relay_cursor::load(pool(&store), 0).await.unwrap();
    ledger.submit(request(deposit(&id("a-0"), "1.00"))).await.unwrap();
    let worker = nats.worker(&store).await;
    all_published(&store, &worker).await;
    assert_eq!(nats.positions(0).await.first(), Some(&(cursor + 1)));
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn a_cursor_moves_forward_from_where_its_holder_left_it_and_no_other_way() {
    let store = Store::postgres(1).await;
    let pool = pool(&store);
    assert_eq!(relay_cursor::load(pool, 0).await.unwrap(), 0);
    assert!(relay_cursor::advance(pool, 0, 0, 5).await.unwrap());
    for (from, to) in [(0, 9), (4, 9), (5, 4), (5, 5)] {
        assert!(!relay_cursor::advance(pool, 0, from, to).await.unwrap(), "{from} to {to}");
    }
    assert_eq!(relay_cursor::load(pool, 0).await.unwrap(), 5);
}

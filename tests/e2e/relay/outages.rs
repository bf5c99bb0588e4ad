//! What is published when something dies.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, StorageType};
use florin_adapters::nats::relay::{IN_VAIN, RelayState};
use florin_adapters::nats::stream::LEDGER;
use florin_adapters::postgres::relay_cursor;
use florin_adapters::worker::Worker;
use florin_tests::ask::{deposit, id, keyed, movement, request};
use florin_tests::nats::{OwnNats, all_published, heads, pool};
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::store::{Store, eventually};
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use super::business;

/// Every position of the ledger is in the stream.
async fn expect_complete(store: &Store, nats: &OwnNats) {
    for (partition, head) in heads(store).await {
        let expected: Vec<u64> = (1..=head).collect();
        assert_eq!(nats.positions(partition).await, expected, "partition {partition}");
    }
}

async fn reaches(worker: &Worker, state: RelayState) {
    eventually("the relays get there", async || {
        let all: Vec<_> = worker.relays().iter().map(|relay| relay.status()).collect();
        if all.iter().all(|status| status.state == state) { Ok(()) } else { Err(all) }
    })
    .await;
}

#[tokio::test]
async fn while_nats_is_away_commands_go_on_and_nothing_is_lost() {
    for partitions in [1, 4] {
        let (store, nats) = (Store::postgres(partitions).await, OwnNats::start().await);
        let ledger = store.process();
        let worker = nats.worker(&store).await;
        business(&ledger, &store, 1).await;
        // Killed with messages on their way, or just not.
        nats.kill_hard().await;
        business(&ledger, &store, 2).await;
        reaches(&worker, RelayState::Waiting).await;
        let before = relay_cursor::all(pool(&store)).await.unwrap();
        business(&ledger, &store, 3).await;
        assert_eq!(relay_cursor::all(pool(&store)).await.unwrap(), before, "nothing is published");
        assert!(worker.relays().iter().all(|relay| relay.status().last_error.is_some()));
        eventually("the lag is known", async || {
            let lags: Vec<_> = worker.relays().iter().map(|relay| relay.lag()).collect();
            if lags.iter().all(|lag| *lag > 0) { Ok(()) } else { Err(lags) }
        })
        .await;

        nats.restart().await;
        all_published(&store, &worker).await;
        reaches(&worker, RelayState::Publishing).await;
        expect_complete(&store, &nats).await;
        worker.stop().await;
        nats.stop().await;
    }
}

#[tokio::test]
async fn a_relay_starts_while_nats_is_away() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    nats.kill_hard().await;
    let worker = nats.worker(&store).await;
    business(&store.process(), &store, 1).await;
    reaches(&worker, RelayState::Waiting).await;
    nats.restart().await;
    all_published(&store, &worker).await;
    expect_complete(&store, &nats).await;
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn after_postgres_was_away_the_relay_goes_on() {
    let (postgres, nats) = (OwnPostgres::start().await, OwnNats::start().await);
    let store = postgres.store(1).await;
    let ledger = store.process();
    let worker = nats.worker(&store).await;
    business(&ledger, &store, 1).await;
    all_published(&store, &worker).await;
    postgres.kill_hard().await;
    reaches(&worker, RelayState::Standby).await;
    postgres.restart().await;
    eventually("the ledger takes commands again", async || {
        let again = ledger.submit(keyed("again", deposit(&id("a-0"), "1.00"))).await;
        again.map(drop).map_err(|error| error.to_string())
    })
    .await;
    all_published(&store, &worker).await;
    expect_complete(&store, &nats).await;
    worker.stop().await;
    nats.stop().await;
    postgres.stop().await;
}

#[tokio::test]
async fn when_a_worker_dies_another_one_goes_on_within_five_seconds() {
    for partitions in [1, 4] {
        let (store, nats) = (Store::postgres(partitions).await, OwnNats::start().await);
        let ledger = store.process();
        let (first, second) = (nats.worker(&store).await, nats.worker(&store).await);
        business(&ledger, &store, 1).await;
        all_published(&store, &first).await;
        let publishing = |worker: &Worker| {
            let relays = worker.relays().iter();
            relays.filter(|relay| relay.status().state == RelayState::Publishing).count()
        };
        eventually("each partition has one relay, and each worker its share", async || {
            let shares = (publishing(&first), publishing(&second));
            let is_even = shares.0.abs_diff(shares.1) <= 1;
            let all = partitions as usize;
            if shares.0 + shares.1 == all && is_even { Ok(()) } else { Err(shares) }
        })
        .await;
        let (dying, living) =
            if publishing(&first) > 0 { (first, second) } else { (second, first) };
        drop(dying);
        let died = Instant::now();
        business(&ledger, &store, 2).await;
        all_published(&store, &living).await;
        assert!(died.elapsed() < Duration::from_secs(5), "{:?}", died.elapsed());
        expect_complete(&store, &nats).await;
        living.stop().await;
        nats.stop().await;
    }
}

#[tokio::test]
async fn a_stream_that_was_deleted_is_created_again_and_not_filled() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let ledger = store.process();
    let worker = nats.worker(&store).await;
    business(&ledger, &store, 1).await;
    all_published(&store, &worker).await;
    let [(_, before)] = heads(&store).await[..] else { unreachable!() };
    nats.delete_stream().await;
    business(&ledger, &store, 2).await;
    all_published(&store, &worker).await;
    let [(_, after)] = heads(&store).await[..] else { unreachable!() };
    assert_eq!(nats.positions(0).await, (before + 1..=after).collect::<Vec<_>>());
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn a_stream_that_cannot_be_used_is_created_anew_once_it_is_empty() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    // A stream cannot be moved from memory to a file.
    let jetstream = nats.jetstream().await;
    let subjects = LEDGER.subjects.iter().map(|subject| (*subject).to_owned()).collect();
    let name = LEDGER.name.to_owned();
    let config = Config { name, subjects, storage: StorageType::Memory, ..Config::default() };
    let stream = jetstream.create_stream(config).await.unwrap();
    let kept = jetstream.publish("ledger.kept", "by somebody".into()).await.unwrap();
    kept.await.unwrap();
    let worker = nats.worker(&store).await;
    store.process().submit(request(deposit(&id("a"), "1.00"))).await.unwrap();
    eventually("the relay has tried more often than in vain", async || {
        let logged = worker.relays()[0].status();
        if logged.failures > IN_VAIN { Ok(()) } else { Err(logged) }
    })
    .await;
    assert_eq!(stream.get_info().await.unwrap().state.messages, 1, "what is not empty stays");
    stream.purge().await.unwrap();
    all_published(&store, &worker).await;
    let found = jetstream.get_stream(LEDGER.name).await.unwrap();
    assert_eq!(found.cached_info().config.storage, StorageType::File);
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn the_cursor_stays_before_what_jetstream_refuses() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    // A stream of somebody else's takes the subjects, so the ledger's cannot be had.
    let jetstream = nats.jetstream().await;
    let name = "SOMEBODY".to_owned();
    let subjects = vec!["ledger.*.*.taken.>".to_owned()];
    jetstream.create_stream(Config { name, subjects, ..Config::default() }).await.unwrap();
    let worker = nats.worker(&store).await;
    let answer = store.process().submit(request(deposit(&id("a"), "1.00"))).await.unwrap();
    assert_eq!(movement(answer).balance.to_string(), "1.00", "commands do not need the relay");
    reaches(&worker, RelayState::Waiting).await;
    let error = worker.relays()[0].status().last_error.unwrap();
    assert!(error.contains("subjects overlap"), "{error}");
    assert_eq!(relay_cursor::load(pool(&store), 0).await.unwrap(), 0);
    jetstream.delete_stream("SOMEBODY").await.unwrap();
    all_published(&store, &worker).await;
    expect_complete(&store, &nats).await;
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn a_relay_whose_cursor_was_moved_by_another_goes_on_from_there() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let ledger = store.process();
    let worker = nats.worker(&store).await;
    business(&ledger, &store, 1).await;
    all_published(&store, &worker).await;
    let [(_, head)] = heads(&store).await[..] else { unreachable!() };
    // As a process does that has the lease while this one was frozen.
    assert!(relay_cursor::advance(pool(&store), 0, head, head + 1).await.unwrap());
    for _ in 0..2 {
        ledger.submit(request(deposit(&id("a-0"), "1.00"))).await.unwrap();
    }
    all_published(&store, &worker).await;
    expect_complete(&store, &nats).await;
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn a_cursor_that_a_crash_took_back_moves_on_without_a_new_event() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let Store::Postgres(_, urls) = &store else { unreachable!() };
    let worker = nats.worker(&store).await;
    business(&store.process(), &store, 1).await;
    all_published(&store, &worker).await;
    // As it is when the last moves were not on the disk yet.
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    let back = "UPDATE relay_cursors SET position = position - 3";
    sqlx::query(back).execute(&mut admin).await.unwrap();
    all_published(&store, &worker).await;
    expect_complete(&store, &nats).await;
    worker.stop().await;
    nats.stop().await;
}

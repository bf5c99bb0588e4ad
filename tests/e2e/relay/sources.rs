//! What a projection pulls.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, pull, push};
use florin_adapters::nats::republish::{Range, republish};
use florin_adapters::nats::source::{JetStreamSource, PULL, Share, SourceError};
use florin_adapters::nats::stream::LEDGER;
use florin_application::journal::Head;
use florin_domain::journal::RecordedEvent;
use florin_tests::ask::{deposit, id, request};
use florin_tests::batches::{batch, deposited, opened, wallet_event};
use florin_tests::nats::{OwnNats, all_published, heads, pool};
use florin_tests::store::{DEADLINE, Store, eventually};
use tokio::time::Instant;

use super::business;

/// The only partition.
const ALONE: Share = Share { partition: 0, partitions: 1 };

/// How long a call waits for events that there are.
const WAIT: Duration = Duration::from_millis(500);

/// Pulls and acknowledges until everything from `first` to `last` was there; returns it in the order
/// in which it came, with what was repeated. Outages are waited for.
async fn pull(source: &mut JetStreamSource, first: u64, last: u64) -> Vec<RecordedEvent> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let seen: BTreeSet<u64> = events.iter().map(|event| event.position).collect();
        if (first..=last).all(|position| seen.contains(&position)) {
            return events;
        }
        assert!(Instant::now() < deadline, "only {seen:?}");
        match source.next(100, WAIT).await {
            Ok(batch) => {
                assert!(batch.len() <= 100);
                events.extend(batch);
                source.ack().await.unwrap();
            }
            Err(SourceError::Away | SourceError::Consumer { .. }) => {}
        }
    }
}

async fn source(nats: &OwnNats, store: &Store, partition: u32) -> JetStreamSource {
    let share = Share { partition, partitions: store.partitions() };
    JetStreamSource::new(nats.client().await, "balance", share, None)
}

/// So many events of one wallet.
async fn deposits(store: &Store, count: u64) {
    let mut long = batch(0, Head::EMPTY);
    wallet_event(&mut long, &id("a"), 1, &opened(), 0);
    for number in 1..count {
        let cents = i64::try_from(number).unwrap();
        wallet_event(&mut long, &id("a"), number + 1, &deposited(1, cents), cents);
    }
    store.partition(0).append(&long).await.unwrap();
}

#[tokio::test]
async fn a_source_gives_every_event_of_its_partition_once_and_goes_on_where_it_was() {
    for partitions in [1, 4] {
        let (store, nats) = (Store::postgres(partitions).await, OwnNats::start().await);
        let (ledger, worker) = (store.process(), nats.worker(&store).await);
        for round in 0..3 {
            business(&ledger, &store, round).await;
        }
        all_published(&store, &worker).await;
        let before = heads(&store).await;
        for (partition, head) in &before {
            let mut source = source(&nats, &store, *partition).await;
            let pulled = pull(&mut source, 1, *head).await;
            let expected = store.events().await;
            let expected = expected.into_iter().filter(|event| event.partition == *partition);
            assert_eq!(pulled, expected.collect::<Vec<_>>());
            assert_eq!(source.next(100, WAIT).await.unwrap(), []);
        }
        business(&ledger, &store, 3).await;
        all_published(&store, &worker).await;
        for ((partition, before), (_, head)) in before.into_iter().zip(heads(&store).await) {
            let pulled = pull(&mut source(&nats, &store, partition).await, before + 1, head).await;
            let positions: Vec<u64> = pulled.iter().map(|event| event.position).collect();
            assert_eq!(positions, (before + 1..=head).collect::<Vec<_>>(), "what was acknowledged");
        }
        worker.stop().await;
        nats.stop().await;
    }
}

#[tokio::test]
async fn more_than_a_pull_request_is_pulled_in_batches() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let worker = nats.worker(&store).await;
    let count = u64::try_from(PULL).unwrap() * 3;
    deposits(&store, count).await;
    all_published(&store, &worker).await;
    let pulled = pull(&mut source(&nats, &store, 0).await, 1, count).await;
    assert_eq!(pulled, store.events().await);
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn a_batch_is_all_that_is_there_however_much_it_is() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let worker = nats.worker(&store).await;
    deposits(&store, u64::try_from(PULL).unwrap() * 2).await;
    all_published(&store, &worker).await;
    let mut source = source(&nats, &store, 0).await;
    assert_eq!(source.next(1, DEADLINE).await.unwrap().len(), 1);
    let jetstream = nats.jetstream().await;
    eventually("all that was asked for is under way", async || {
        let consumer = jetstream.get_consumer_from_stream("balance-0", LEDGER.name).await;
        let consumer: Consumer<pull::Config> = consumer.map_err(|error| error.to_string())?;
        match consumer.cached_info().num_ack_pending {
            pending if pending >= PULL => Ok(()),
            pending => Err(pending.to_string()),
        }
    })
    .await;
    let batch = source.next(2 * PULL, WAIT).await.unwrap().len();
    assert!(batch >= PULL / 2, "only {batch} of {PULL}");
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn a_batch_comes_as_soon_as_anything_is_there() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let (ledger, worker) = (store.process(), nats.worker(&store).await);
    ledger.submit(request(deposit(&id("a"), "1.00"))).await.unwrap();
    all_published(&store, &worker).await;
    let mut source = source(&nats, &store, 0).await;
    pull(&mut source, 1, 2).await;
    let started = Instant::now();
    let (batch, answer) = tokio::join!(
        source.next(1_000, DEADLINE),
        ledger.submit(request(deposit(&id("a"), "1.00")))
    );
    answer.unwrap();
    assert_eq!(batch.unwrap().iter().map(|event| event.position).collect::<Vec<_>>(), [3]);
    assert!(started.elapsed() < DEADLINE / 2, "it waited for more: {:?}", started.elapsed());
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn a_consumer_that_is_deleted_under_its_source_is_created_again() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let (ledger, worker) = (store.process(), nats.worker(&store).await);
    business(&ledger, &store, 1).await;
    all_published(&store, &worker).await;
    let [(_, before)] = heads(&store).await[..] else { unreachable!() };
    let mut source = source(&nats, &store, 0).await;
    pull(&mut source, 1, before).await;
    let jetstream = nats.jetstream().await;
    jetstream.delete_consumer_from_stream("balance-0", LEDGER.name).await.unwrap();
    business(&ledger, &store, 2).await;
    all_published(&store, &worker).await;
    let [(_, after)] = heads(&store).await[..] else { unreachable!() };
    pull(&mut source, before + 1, after).await;
    // And with the whole stream.
    nats.delete_stream().await;
    business(&ledger, &store, 3).await;
    all_published(&store, &worker).await;
    let [(_, last)] = heads(&store).await[..] else { unreachable!() };
    pull(&mut source, after + 1, last).await;
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn a_consumer_that_cannot_be_pulled_from_is_created_anew() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let worker = nats.worker(&store).await;
    deposits(&store, 50).await;
    all_published(&store, &worker).await;
    // Of that name there is one that pushes to somebody else.
    let pushing = push::Config {
        durable_name: Some("balance-0".to_owned()),
        deliver_subject: "elsewhere".to_owned(),
        ..push::Config::default()
    };
    let jetstream = nats.jetstream().await;
    jetstream.create_consumer_on_stream(pushing, LEDGER.name).await.unwrap();
    let pulled = pull(&mut source(&nats, &store, 0).await, 1, 50).await;
    assert_eq!(pulled, store.events().await);
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn a_source_survives_the_death_of_nats() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let (ledger, worker) = (store.process(), nats.worker(&store).await);
    business(&ledger, &store, 1).await;
    all_published(&store, &worker).await;
    let [(_, before)] = heads(&store).await[..] else { unreachable!() };
    let mut source = source(&nats, &store, 0).await;
    pull(&mut source, 1, before).await;
    nats.kill_hard().await;
    business(&ledger, &store, 2).await;
    let failed = async { while source.next(100, WAIT).await.is_ok() {} };
    tokio::time::timeout(DEADLINE, failed).await.expect("a source without a server says so");
    source.ack().await.unwrap();
    nats.restart().await;
    let [(_, after)] = heads(&store).await[..] else { unreachable!() };
    pull(&mut source, before + 1, after).await;
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn what_is_published_again_comes_again_and_what_is_not_ours_is_skipped() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let (ledger, worker) = (store.process(), nats.worker(&store).await);
    business(&ledger, &store, 1).await;
    all_published(&store, &worker).await;
    let [(_, head)] = heads(&store).await[..] else { unreachable!() };
    let mut source = source(&nats, &store, 0).await;
    let first = pull(&mut source, 1, head).await;
    let client = nats.client().await;
    let jetstream = nats.jetstream().await;
    let foreign = jetstream.publish("ledger.0.wallet.a.Nonsense", "{}".into()).await.unwrap();
    foreign.await.unwrap();
    // Of a partition that this ledger does not have.
    nats.publish([RecordedEvent { partition: 1, ..first[0].clone() }], "foreign").await;
    let range = Range { partition: 0, from: 1, to: head };
    republish(pool(&store), &client, range, "once", |_| ()).await.unwrap();
    assert_eq!(pull(&mut source, 1, head).await, first, "the same events, and nothing else");
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn a_new_consumer_begins_where_its_projection_is() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let (ledger, worker) = (store.process(), nats.worker(&store).await);
    business(&ledger, &store, 1).await;
    all_published(&store, &worker).await;
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let mut source = JetStreamSource::new(nats.client().await, "stats", ALONE, Some(later));
    assert_eq!(source.next(100, WAIT).await.unwrap(), [], "all of it was before");
    let soon = chrono::Utc::now();
    let mut source = JetStreamSource::new(nats.client().await, "history", ALONE, Some(soon));
    let [(_, head)] = heads(&store).await[..] else { unreachable!() };
    pull(&mut source, 1, head).await;
    worker.stop().await;
    nats.stop().await;
}

#[tokio::test]
async fn what_is_skipped_does_not_come_and_what_follows_does() {
    let (store, nats) = (Store::postgres(1).await, OwnNats::start().await);
    let worker = nats.worker(&store).await;
    deposits(&store, 50).await;
    all_published(&store, &worker).await;
    let mut source = source(&nats, &store, 0).await;
    assert_eq!(source.next(1, DEADLINE).await.unwrap().len(), 1);
    source.skip();
    assert_eq!(
        source.next(100, DEADLINE).await.unwrap(),
        [],
        "it begins anew, and says so at once"
    );
    store.process().submit(request(deposit(&id("b"), "1"))).await.unwrap();
    let pulled = pull(&mut source, 51, 52).await;
    let positions: Vec<u64> = pulled.iter().map(|event| event.position).collect();
    assert_eq!(positions, [51, 52]);
    worker.stop().await;
    nats.stop().await;
}

//! Subscriptions in this process, and what is done to their stream meanwhile.

use florin_adapters::nats::stream::LEDGER;
use florin_client::{
    EventQuery, Fact, LedgerEvent, MAX_PAGE, Positions, SubscribeError, Subscriber, Subscription,
    Wanted, connect_nats, event_of_message,
};
use florin_domain::journal::RecordedEvent;
use florin_tests::store::{DEADLINE, eventually};
use florin_tests::turmoil::turmoil;
use tokio::time::timeout;

use super::{World, read, received_ids, recorded_ids};

const PARTITIONS: u32 = 4;

fn all(_: &RecordedEvent) -> bool {
    true
}

async fn count(world: &World) -> usize {
    world.service.store().events().await.len()
}

/// Everything that is recorded has come, once and in order.
async fn expect_all(world: &World, events: &[LedgerEvent]) {
    assert_eq!(received_ids(events), recorded_ids(&world.service.store().events().await, all));
}

#[tokio::test]
async fn an_event_is_the_same_whether_it_comes_by_the_stream_or_by_a_page() {
    let mut world = World::start(PARTITIONS).await;
    turmoil(world.service.ledger(), &mut 7, 300).await;
    world.published().await;
    let mut count = 0;
    for partition in 0..PARTITIONS {
        let query = EventQuery { wanted: &Wanted::All, partition, after: 0, limit: MAX_PAGE };
        let paged = world.api().events(query).await.unwrap().value.events;
        let messages = world.nats.messages(partition).await;
        let of_messages = messages.iter().map(|message| event_of_message(message).unwrap());
        assert_eq!(of_messages.collect::<Vec<_>>(), paged);
        assert!(paged.iter().all(|event| !matches!(event.fact, Fact::Unknown(_))));
        count += paged.len();
    }
    assert_eq!(count, self::count(&world).await);
    world.service.stop_work().await;
    world.finish().await;
}

#[tokio::test]
async fn subscribers_to_all_to_a_wallet_and_to_a_type_get_theirs_once_and_in_order() {
    let world = World::start(PARTITIONS).await;
    let wallets = turmoil(world.service.ledger(), &mut 1, 200).await;
    let start = Positions::default;
    let mut everything = world.subscribe_to_all(start()).await;
    let of_wallet = Subscription::to_wallet("wallet", wallets[0].clone()).unwrap();
    let mut of_wallet = world.subscribe(of_wallet, start()).await;
    let of_type = Subscription::to_type("type", "FundsDebited").unwrap();
    let mut of_type = world.subscribe(of_type, start()).await;
    let mut seen = [const { Vec::new() }; 3];
    for round in 2..5 {
        let recorded = world.service.store().events().await;
        let wanted: [&dyn Fn(&RecordedEvent) -> bool; 3] =
            [&all, &|event| *event.aggregate_id == *wallets[0].as_str(), &|event| {
                event.event_type == "FundsDebited"
            }];
        let subscribers = [&mut everything, &mut of_wallet, &mut of_type];
        for ((subscriber, seen), wanted) in subscribers.into_iter().zip(&mut seen).zip(wanted) {
            let expected = recorded_ids(&recorded, wanted);
            read(subscriber, seen, expected.values().map(Vec::len).sum()).await;
            assert_eq!(received_ids(seen), expected);
        }
        turmoil(world.service.ledger(), &mut (round * 11), 150).await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_subscription_is_resumed_after_any_position() {
    let world = World::start(2).await;
    turmoil(world.service.ledger(), &mut 3, 200).await;
    let recorded = world.service.store().events().await;
    for after in ["0-0,1-0", "0-17,1-1", "0-1,1-30"] {
        let after: Positions = after.parse().unwrap();
        let is_later = |event: &RecordedEvent| event.position > after.of(event.partition);
        let expected = recorded_ids(&recorded, is_later);
        let mut subscriber = world.subscribe_to_all(after.clone()).await;
        let mut seen = Vec::new();
        read(&mut subscriber, &mut seen, expected.values().map(Vec::len).sum()).await;
        assert_eq!(received_ids(&seen), expected, "after {after}");
    }
    world.finish().await;
}

#[tokio::test]
async fn what_the_stream_no_longer_has_is_read_from_the_journal() {
    let world = World::start(PARTITIONS).await;
    let wallets = turmoil(world.service.ledger(), &mut 5, 300).await;
    world.published().await;
    let stream = world.nats.jetstream().await.get_stream(LEDGER.name).await.unwrap();
    stream.purge().await.unwrap();
    turmoil(world.service.ledger(), &mut 6, 50).await;
    let mut subscriber = world.subscribe_to_all(Positions::default()).await;
    let of_wallet = Subscription::to_wallet("wallet", wallets[1].clone()).unwrap();
    let mut of_wallet = world.subscribe(of_wallet, Positions::default()).await;
    let (mut seen, mut of_it) = (Vec::new(), Vec::new());
    read(&mut subscriber, &mut seen, count(&world).await).await;
    expect_all(&world, &seen).await;

    // And while it follows: what is lost at the very end, after which nothing comes.
    turmoil(world.service.ledger(), &mut 8, 50).await;
    world.published().await;
    stream.purge().await.unwrap();
    read(&mut subscriber, &mut seen, count(&world).await).await;
    expect_all(&world, &seen).await;
    let recorded = world.service.store().events().await;
    let expected = recorded_ids(&recorded, |event| *event.aggregate_id == *wallets[1].as_str());
    read(&mut of_wallet, &mut of_it, expected.values().map(Vec::len).sum()).await;
    assert_eq!(received_ids(&of_it), expected);
    world.finish().await;
}

#[tokio::test]
async fn a_consumer_or_a_stream_that_is_deleted_costs_nothing() {
    let world = World::start(2).await;
    let mut subscriber = world.subscribe_to_all(Positions::default()).await;
    let mut seen = Vec::new();
    for round in 1..4 {
        turmoil(world.service.ledger(), &mut (round * 5), 100).await;
        read(&mut subscriber, &mut seen, count(&world).await).await;
        match round {
            1 => {
                let stream = world.nats.jetstream().await.get_stream(LEDGER.name).await.unwrap();
                stream.delete_consumer("all").await.unwrap();
            }
            _ => world.nats.delete_stream().await,
        }
        turmoil(world.service.ledger(), &mut (round * 7), 100).await;
        read(&mut subscriber, &mut seen, count(&world).await).await;
        expect_all(&world, &seen).await;
    }
    consumes_again(&world, &mut subscriber).await;
    world.finish().await;
}

/// Waits until the consumer is there, and has nothing left to deliver.
async fn consumes_again(world: &World, subscriber: &mut Subscriber) {
    let looks = eventually("the consumer is used again", async || {
        // It goes on while it is asked for more.
        let _ = timeout(std::time::Duration::from_millis(200), subscriber.next()).await;
        subscriber.acknowledge().await;
        let stream = world.nats.jetstream().await.get_stream(LEDGER.name).await;
        let Ok(stream) = stream else { return Err("no stream".to_owned()) };
        match stream.consumer_info("all").await {
            Ok(info) if info.num_pending == 0 => Ok(()),
            Ok(info) => Err(format!("{} pending", info.num_pending)),
            Err(error) => Err(error.to_string()),
        }
    });
    looks.await;
}

#[tokio::test]
async fn while_nats_is_away_the_journal_is_followed() {
    let world = World::start(2).await;
    let of_type = Subscription::to_type("type", "FundsCredited").unwrap();
    let mut of_type = world.subscribe(of_type, Positions::default()).await;
    let mut subscriber = world.subscribe_to_all(Positions::default()).await;
    let (mut seen, mut of_it) = (Vec::new(), Vec::new());
    for round in 1..3 {
        turmoil(world.service.ledger(), &mut (round * 3), 100).await;
        read(&mut subscriber, &mut seen, count(&world).await).await;
        world.nats.kill_hard().await;
        turmoil(world.service.ledger(), &mut (round * 17), 100).await;
        read(&mut subscriber, &mut seen, count(&world).await).await;
        world.nats.restart().await;
        turmoil(world.service.ledger(), &mut (round * 19), 100).await;
        read(&mut subscriber, &mut seen, count(&world).await).await;
        expect_all(&world, &seen).await;
        let recorded = world.service.store().events().await;
        let expected = recorded_ids(&recorded, |event| event.event_type == "FundsCredited");
        read(&mut of_type, &mut of_it, expected.values().map(Vec::len).sum()).await;
        assert_eq!(received_ids(&of_it), expected);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_subscriber_that_begins_while_nats_is_away_begins() {
    let world = World::start(1).await;
    turmoil(world.service.ledger(), &mut 9, 100).await;
    world.nats.kill_hard().await;
    let mut subscriber = world.subscribe_to_all(Positions::default()).await;
    let mut seen = Vec::new();
    read(&mut subscriber, &mut seen, count(&world).await).await;
    world.nats.restart().await;
    turmoil(world.service.ledger(), &mut 10, 100).await;
    read(&mut subscriber, &mut seen, count(&world).await).await;
    expect_all(&world, &seen).await;
    world.finish().await;
}

/// The consumer of the old subscription would deliver none of the new one's events.
#[tokio::test]
async fn a_name_under_which_something_else_was_subscribed_to_delivers_what_is_now() {
    let world = World::start(1).await;
    let deposits = Subscription::to_type("billing", "FundsDeposited").unwrap();
    let opened = world.subscribe(deposits, Positions::default()).await;
    let consumer = async || {
        let stream = world.nats.jetstream().await.get_stream("LEDGER").await.ok()?;
        Some(stream.consumer_info("billing").await.ok()?.config.filter_subject)
    };
    let filters_by = async |subject: &str| {
        eventually("the consumer is there", async || match consumer().await {
            Some(filter) if filter == subject => Ok(()),
            other => Err(other),
        })
        .await;
    };
    let mut opened = opened;
    let mut events = Vec::new();
    turmoil(world.service.ledger(), &mut 3, 50).await;
    read(&mut opened, &mut events, 1).await;
    filters_by("ledger.*.*.*.FundsDeposited").await;
    drop(opened);
    let withdrawals = Subscription::to_type("billing", "FundsWithdrawn").unwrap();
    let mut opened = world.subscribe(withdrawals, Positions::default()).await;
    turmoil(world.service.ledger(), &mut 4, 50).await;
    events.clear();
    read(&mut opened, &mut events, 1).await;
    assert_eq!(&*events[0].event_type, "FundsWithdrawn");
    filters_by("ledger.*.*.*.FundsWithdrawn").await;
    world.finish().await;
}

#[tokio::test]
async fn positions_of_another_ledger_are_refused() {
    let world = World::start(1).await;
    turmoil(world.service.ledger(), &mut 2, 20).await;
    let nats = connect_nats(&world.nats.url()).await.unwrap();
    let subscription = Subscription::to_all("all").unwrap();
    let after = "0-99999".parse().unwrap();
    let opened = Subscriber::open(world.api(), nats, subscription, after);
    let refused = timeout(DEADLINE, opened).await.unwrap();
    match refused {
        Err(SubscribeError::Refused(error)) => {
            assert!(error.to_string().contains("the journal ends at 0-"), "{error}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is opened"),
    }
    world.finish().await;
}

//! All wallets at a position, and the events from there on: nothing missed, nothing doubled, while
//! the ledger is written to all the time.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use florin_application::Settings;
use florin_client::{Florin, LedgerEvent, Positions, Subscription, Wallet, connect_nats};
use florin_domain::WalletId;
use florin_projections::balance::Balance;
use florin_projections::models;
use florin_projections::read_model::Projection;
use florin_tests::ask::{deposit, id, request, transfer};
use florin_tests::flawed::{Flaw, Flawed};
use florin_tests::nats::OwnNats;
use florin_tests::service::Service;
use florin_tests::store::Store;
use futures::future::join_all;
use rust_decimal::Decimal;

use super::World;

/// More than two pages of the list.
const WALLETS: usize = 450;

/// What a new service keeps of a wallet.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    version: u64,
    balance: Decimal,
}

/// What a new service keeps.
#[derive(Default)]
struct Accounts(BTreeMap<WalletId, Wallet>, BTreeMap<WalletId, Kept>);

impl Accounts {
    fn begin(&mut self, wallets: Vec<Wallet>) {
        for wallet in wallets {
            let kept = Kept { version: wallet.version, balance: wallet.balance };
            assert!(self.1.insert(wallet.id.clone(), kept).is_none(), "{} comes once", wallet.id);
            self.0.insert(wallet.id.clone(), wallet);
        }
    }

    /// Applies an event if it is news; the next one must be the next.
    fn apply(&mut self, event: &LedgerEvent) {
        let Some(id) = event.wallet() else { return };
        if self.0.get(id).is_some_and(|wallet| !wallet.lacks(event)) {
            return;
        }
        let kept = self.1.entry(id.clone()).or_insert(Kept { version: 0, balance: Decimal::ZERO });
        assert_eq!(kept.version + 1, event.sequence, "of {id}, at {}", event.id());
        *kept = Kept { version: event.sequence, balance: event.balance.unwrap() };
    }
}

/// Deposits, transfers and new wallets, all over the list, for as long as it is wanted.
async fn load(service: &Service, is_over: &Cell<bool>) -> usize {
    let name = |number: usize| id(&format!("w-{:04}", number * 7919 % 9_973));
    let mut step = 0;
    while !is_over.get() {
        let commands = (step..step + 32).map(|step| {
            let (one, other) = (name(step % (WALLETS + step / 8)), name(step * 31 % WALLETS));
            match step % 3 {
                0 if one != other => transfer(&other, &one, "0.01"),
                _ => deposit(&one, "1"),
            }
        });
        let sent = commands.map(|command| service.ledger().submit(request(command)));
        for answer in join_all(sent).await {
            answer.unwrap();
        }
        step += 32;
    }
    step
}

/// What the write side has of each of these wallets.
async fn truth<'a>(
    service: &Service,
    wallets: impl Iterator<Item = &'a WalletId>,
) -> BTreeMap<WalletId, Kept> {
    let mut truth = BTreeMap::new();
    for id in wallets {
        let state = service.ledger().wallet(id).await.unwrap().unwrap();
        let kept = Kept { version: state.version, balance: state.account.balance };
        truth.insert(id.clone(), kept);
    }
    truth
}

#[tokio::test]
async fn a_new_service_begins_with_every_wallet_and_misses_and_doubles_nothing() {
    for partitions in [1, 4] {
        let world = World::start(partitions).await;
        let opened = (0..WALLETS).map(|number| id(&format!("w-{:04}", number * 7919 % 9_973)));
        let opened: Vec<WalletId> = opened.collect();
        let sent = opened.iter().map(|id| world.service.ledger().submit(request(deposit(id, "5"))));
        join_all(sent).await.into_iter().for_each(|answer| drop(answer.unwrap()));
        let is_over = Cell::new(false);
        let beginning = async {
            let mut accounts = Accounts::default();
            let mut start = world.api().bootstrap().await.unwrap();
            let floor = start.floor().clone();
            let mut pages = 0;
            while let Some(wallets) = start.next().await.unwrap() {
                accounts.begin(wallets);
                pages += 1;
            }
            assert!(pages > 2, "{pages} pages");
            let moved = |wallet: &&Wallet| wallet.position > floor.of(wallet.partition);
            let later = accounts.0.values().filter(moved).count();
            is_over.set(true);
            (accounts, floor, later)
        };
        let (steps, (mut accounts, floor, later)) =
            tokio::join!(load(&world.service, &is_over), beginning);
        assert!(later > 0, "no page was of a later moment than the floor");
        let heads = world.heads().await;
        follow_to(&world, floor, &heads, &mut accounts).await;
        let wallets = world.service.store().events().await;
        let wallets = wallets.iter().filter(|event| event.sequence == 1);
        let wallets = wallets.filter(|event| event.aggregate_type == "Wallet");
        let wallets: Vec<WalletId> = wallets.map(|event| id(&event.aggregate_id)).collect();
        assert_eq!(accounts.1, truth(&world.service, wallets.iter()).await);
        println!("{steps} commands meanwhile, {later} wallets later than the floor");
        world.finish().await;
    }
}

async fn follow_to(world: &World, floor: Positions, heads: &Positions, accounts: &mut Accounts) {
    let mut subscriber = world.subscribe_to_all(floor).await;
    while subscriber.positions() != heads {
        let batch = subscriber.next().await.unwrap();
        batch.events.iter().for_each(|event| accounts.apply(event));
        subscriber.acknowledge().await;
    }
}

#[tokio::test]
async fn a_wallet_that_a_read_model_has_set_aside_is_told_as_the_ledger_has_it() {
    let is_mended = Arc::new(AtomicBool::new(false));
    let flawed = Flawed::new(Balance, Flaw::Apply, 3, &is_mended);
    let others = models::all().into_iter().filter(|model| model.name() != "balance");
    let flawed: Arc<dyn Projection> = Arc::new(flawed);
    let folded = others.chain([flawed]).collect();
    let service = Service::folding(Store::postgres(1).await, &Settings::default(), folded).await;
    let nats = OwnNats::start().await;
    let (alice, bob) = (id("alice"), id("bob"));
    for wallet in [&alice, &alice, &bob, &alice] {
        service.ledger().submit(request(deposit(wallet, "5"))).await.unwrap();
    }
    let florin = Florin::new(service.url()).unwrap();
    let mut start = florin.bootstrap().await.unwrap();
    let wallets = start.next().await.unwrap().unwrap();
    let told: Vec<_> = wallets.iter().map(|wallet| (wallet.id.as_str(), wallet.version)).collect();
    assert_eq!(told, [("alice", 4), ("bob", 2)], "and not as the read model has it");
    assert_eq!(start.next().await.unwrap(), None);
    service.ledger().submit(request(deposit(&alice, "5"))).await.unwrap();
    let mut accounts = Accounts::default();
    accounts.begin(wallets);
    let client = connect_nats(&nats.url()).await.unwrap();
    let subscription = Subscription::to_all("all").unwrap();
    // Nobody publishes: the journal is read.
    let mut subscriber =
        florin_client::Subscriber::open(florin, client, subscription, start.floor().clone())
            .await
            .unwrap();
    let batch = subscriber.next().await.unwrap();
    batch.events.iter().for_each(|event| accounts.apply(event));
    assert_eq!(accounts.1, truth(&service, [&alice, &bob].into_iter()).await);
    service.stop().await;
    nats.stop().await;
}

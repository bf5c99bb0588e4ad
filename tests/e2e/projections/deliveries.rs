use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use florin_domain::journal::RecordedEvent;
use florin_domain::partition_of;
use florin_projections::balance::{self, Balance};
use florin_projections::ports::{Source, SourceError};
use florin_projections::runner::{FAR, Progress, State};
use florin_projections::{history, stats};
use florin_tests::ask::{deposit, id, request};
use florin_tests::feed::{Feed, Manner};
use florin_tests::fresh_fold::equals_fresh_fold;
use florin_tests::projecting::{Running, all_caught_up, every_model, pool, reader};
use florin_tests::store::{Store, eventually};
use futures::future::join_all;
use rust_decimal::Decimal;

use super::{random_ledger, wallets};

/// What clients read is what the journal says, by ways that the folds do not share.
async fn reads_agree_with_the_ledger(store: &Store) {
    let (ledger, pool) = (store.process(), pool(store));
    let mut opened = 0;
    for wallet in wallets(store) {
        let partition = partition_of(&wallet, store.partitions());
        let (row, _) = balance::wallet(&pool, partition, &wallet).await.unwrap();
        let state = ledger.wallet(&wallet).await.unwrap();
        let (Some(row), Some(state)) = (&row, &state) else {
            assert_eq!((row.is_none(), state.is_none()), (true, true), "{wallet}");
            continue;
        };
        opened += 1;
        assert_eq!(row.balance.to_string(), state.account.balance.to_string(), "{wallet}");
        assert_eq!((row.version, row.position), (state.version, state.position), "{wallet}");
        assert_eq!((row.status, row.currency), (state.account.status, state.account.currency));
        let (sums, _) = stats::wallet(&pool, partition, &wallet, stats::Days::NONE).await.unwrap();
        let sums = sums.unwrap();
        let moved = sums.deposited.0 + sums.transferred_in.0;
        assert_eq!(moved - sums.withdrawn.0 - sums.transferred_out.0, row.balance, "{wallet}");
        let all = history::Filter::default();
        let page = history::page(&pool, partition, &wallet, &all, history::Place::Newest, 1)
            .await
            .unwrap();
        let newest = page.entries.first().map_or(Decimal::ZERO, |entry| entry.balance_after);
        assert_eq!(newest, row.balance, "{wallet}");
    }
    assert!(opened > 5, "{opened} wallets were opened");
}

/// Projects while requests come in, and afterwards.
async fn projected(store: &Store, manner: impl Fn(u32) -> Manner) {
    let ledger = store.process();
    let runners = every_model(store, manner);
    for lap in 1..=3 {
        random_ledger(store, &ledger, lap * 7919, 150).await;
    }
    all_caught_up(store, &runners).await;
    equals_fresh_fold(store).await;
    reads_agree_with_the_ledger(store).await;
    store.audit().await;
}

#[tokio::test]
async fn read_models_equal_a_fresh_fold_with_1_partition() {
    projected(&Store::postgres(1).await, |_| Manner::Faithful).await;
}

#[tokio::test]
async fn read_models_equal_a_fresh_fold_with_4_partitions() {
    projected(&Store::postgres(4).await, |_| Manner::Faithful).await;
}

#[tokio::test]
async fn what_is_doubled_reordered_and_lost_changes_nothing_with_1_partition() {
    projected(&Store::postgres(1).await, |_| Manner::Rough(4711)).await;
}

#[tokio::test]
async fn what_is_doubled_reordered_and_lost_changes_nothing_with_4_partitions() {
    projected(&Store::postgres(4).await, |partition| Manner::Rough(99 + u64::from(partition)))
        .await;
}

#[tokio::test]
async fn a_silent_source_delays_but_does_not_stop() {
    projected(&Store::postgres(1).await, |_| Manner::Silent).await;
}

#[tokio::test]
async fn a_source_may_go_and_come_back() {
    let store = Store::postgres(1).await;
    let is_away = Arc::new(AtomicBool::new(true));
    let manner = Manner::Away(Arc::clone(&is_away));
    let running = Running::start(&store, Arc::new(Balance), 0, manner);
    let ledger = store.process();
    random_ledger(&store, &ledger, 1, 50).await;
    running.caught_up(&store).await;
    let error = running.progress.health().last_error;
    assert_eq!(error.as_deref(), Some("the source does not deliver: it is away"));
    is_away.store(false, Ordering::Relaxed);
    random_ledger(&store, &ledger, 2, 50).await;
    running.caught_up(&store).await;
    assert_eq!(running.progress.health().state, State::Following);
}

#[tokio::test]
async fn two_workers_at_once_apply_nothing_twice() {
    let store = Store::postgres(2).await;
    let one = every_model(&store, |_| Manner::Faithful);
    let two = every_model(&store, |_| Manner::Rough(5));
    let ledger = store.process();
    for lap in 1..=6 {
        random_ledger(&store, &ledger, lap * 31, 80).await;
        equals_fresh_fold(&store).await;
    }
    all_caught_up(&store, &one).await;
    all_caught_up(&store, &two).await;
    equals_fresh_fold(&store).await;
    reads_agree_with_the_ledger(&store).await;
}

/// Notes where the projection is when the source is first asked.
struct FirstAsked {
    feed: Feed,
    progress: Arc<std::sync::OnceLock<Arc<Progress>>>,
    position: Arc<AtomicU64>,
}

#[async_trait]
impl Source for FirstAsked {
    async fn next(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<RecordedEvent>, SourceError> {
        let position = self.progress.get().unwrap().position();
        let unasked = u64::MAX;
        let _ =
            self.position.compare_exchange(unasked, position, Ordering::Relaxed, Ordering::Relaxed);
        self.feed.next(max, wait).await
    }

    async fn ack(&mut self) -> Result<(), SourceError> {
        self.feed.ack().await
    }
}

#[tokio::test]
async fn a_projection_that_is_far_behind_reads_the_journal_first() {
    let store = Store::postgres(1).await;
    let ledger = store.process();
    let alice = id("alice");
    let events = FAR + 1_000;
    for _ in 0..events / 1_000 {
        let deposits = (0..1_000).map(|_| ledger.submit(request(deposit(&alice, "1"))));
        for answer in join_all(deposits).await {
            answer.unwrap();
        }
    }
    let (progress, position) =
        (Arc::new(std::sync::OnceLock::new()), Arc::new(AtomicU64::new(u64::MAX)));
    let source = FirstAsked {
        feed: Feed::new(reader(&store), 0, Manner::Faithful),
        progress: Arc::clone(&progress),
        position: Arc::clone(&position),
    };
    let running = Running::on(&store, Arc::new(Balance), 0, Box::new(source));
    progress.set(Arc::clone(&running.progress)).unwrap();
    running.caught_up(&store).await;
    let first_asked =
        eventually("the source is asked", async || match position.load(Ordering::Relaxed) {
            u64::MAX => Err("not yet"),
            position => Ok(position),
        })
        .await;
    assert!(first_asked >= events - FAR, "asked at {first_asked}");
    equals_fresh_fold(&store).await;
}

/// Delivers event by event, hears of all that there are, and counts how often it is left.
struct Slow {
    feed: Feed,
    head: Arc<AtomicU64>,
    skips: Arc<AtomicU64>,
}

#[async_trait]
impl Source for Slow {
    async fn next(&mut self, _: usize, wait: Duration) -> Result<Vec<RecordedEvent>, SourceError> {
        self.feed.next(1, wait).await
    }

    async fn ack(&mut self) -> Result<(), SourceError> {
        self.feed.ack().await
    }

    fn heard(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }

    fn skip(&mut self) {
        self.skips.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_source_that_is_too_slow_is_left_for_the_journal() {
    let store = Store::postgres(1).await;
    let (ledger, alice) = (store.process(), id("alice"));
    let (head, skips) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let feed = Feed::new(reader(&store), 0, Manner::Faithful);
    let source = Slow { feed, head: Arc::clone(&head), skips: Arc::clone(&skips) };
    let running = Running::on(&store, Arc::new(Balance), 0, Box::new(source));
    ledger.submit(request(deposit(&alice, "1"))).await.unwrap();
    running.caught_up(&store).await;
    assert_eq!(skips.load(Ordering::Relaxed), 0, "it was near all the time");
    for _ in 0..=FAR / 1_000 {
        let deposits = (0..1_000).map(|_| ledger.submit(request(deposit(&alice, "1"))));
        for answer in join_all(deposits).await {
            answer.unwrap();
        }
    }
    head.store(reader(&store).head(0).await.unwrap(), Ordering::Relaxed);
    // Event by event, a batch every twentieth of a second, it would take minutes.
    running.caught_up(&store).await;
    assert!(skips.load(Ordering::Relaxed) > 0);
    equals_fresh_fold(&store).await;
}

#[tokio::test]
async fn readers_may_wait_for_a_position() {
    let store = Store::postgres(1).await;
    let running = Running::start(&store, Arc::new(Balance), 0, Manner::Faithful);
    let (ledger, alice) = (store.process(), id("alice"));
    for _ in 0..20 {
        ledger.submit(request(deposit(&alice, "1"))).await.unwrap();
        let written = ledger.wallet(&alice).await.unwrap().unwrap();
        let reached = running.progress.reached(written.position);
        tokio::time::timeout(Duration::from_secs(5), reached).await.unwrap();
        let (row, at) = balance::wallet(&pool(&store), 0, &alice).await.unwrap();
        assert!(at.position >= written.position, "{at:?}");
        assert_eq!(row.unwrap().balance, written.account.balance);
    }
}

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use florin_application::journal::{Batch, Head};
use florin_domain::WalletId;
use florin_projections::balance::{self, Balance};
use florin_projections::checkpoint;
use florin_projections::dead_letters::{self, DeadLetter, LetterId, State};
use florin_projections::history::{self, History, Place};
use florin_projections::read_model::Projection;
use florin_projections::replay::{Outcome, ReplayError, Replays};
use florin_projections::stats::Stats;
use florin_tests::ask::id;
use florin_tests::batches::{batch, departure, deposited, opening, raw_event, wallet_event};
use florin_tests::feed::Manner;
use florin_tests::flawed::{Flaw, Flawed};
use florin_tests::fresh_fold::equals_fresh_fold;
use florin_tests::projecting::{Running, all_caught_up, every_model, pool, reader};
use florin_tests::store::Store;
use sqlx::PgPool;

/// A journal that a test writes, batch by batch.
struct Book {
    store: Store,
    pool: PgPool,
    head: Head,
}

impl Book {
    /// With two wallets of one dollar: alice at positions 1 and 2, bob at 3 and 4.
    async fn open() -> Self {
        let store = Store::postgres(1).await;
        let pool = pool(&store);
        let mut book = Self { store, pool, head: Head::EMPTY };
        book.write(|head| opening(0, head, &id("alice"), 100)).await;
        book.write(|head| opening(0, head, &id("bob"), 100)).await;
        book
    }

    async fn write(&mut self, draft: impl FnOnce(Head) -> Batch) {
        let batch = draft(self.head);
        self.store.partition(0).append(&batch).await.unwrap();
        self.head = batch.head();
    }

    /// A deposit of so many cents, after which the wallet holds as many.
    async fn deposit(&mut self, wallet: &WalletId, sequence: u64, balance: i64) {
        self.write(|head| {
            let mut batch = batch(0, head);
            wallet_event(&mut batch, wallet, sequence, &deposited(100, balance), balance);
            batch
        })
        .await;
    }

    /// An event of alice that no version of the program can read.
    async fn poison(&mut self, sequence: u64, balance: i64) {
        self.write(|head| {
            let mut batch = batch(0, head);
            let stream = ("Wallet", "alice", sequence);
            let payload = r#"{"FundsBlessed":{"amount":"1.00"}}"#;
            raw_event(&mut batch, stream, "FundsBlessed", payload, Some(balance));
            batch
        })
        .await;
    }

    async fn balance_of(&self, wallet: &str) -> (String, u64, bool) {
        let (row, at) = balance::wallet(&self.pool, 0, &id(wallet)).await.unwrap();
        let row = row.unwrap();
        (row.balance.to_string(), row.version, at.stale_since.is_some())
    }

    async fn letters(&self, projection: &str) -> Vec<DeadLetter> {
        let projection = Some(projection.to_owned());
        let filter = dead_letters::Filter { projection, ..dead_letters::Filter::default() };
        dead_letters::list(&self.pool, &filter, None, 200).await.unwrap().letters
    }

    async fn replay(&self, model: &dyn Projection) -> Result<Outcome, ReplayError> {
        let journal = reader(&self.store);
        Replays { pool: &self.pool, model, journal: &*journal }.replay(0, "alice").await
    }

    async fn discard(&self, model: &dyn Projection, at: u64) -> Result<Outcome, ReplayError> {
        let journal = reader(&self.store);
        let replays = Replays { pool: &self.pool, model, journal: &*journal };
        let id = LetterId { projection: model.name().to_owned(), partition: 0, position: at };
        replays.discard(&id, "olga", "written by mistake").await
    }
}

/// Position, attempts and state of letters.
fn summary(letters: &[DeadLetter]) -> Vec<(u64, u32, State)> {
    letters.iter().map(|letter| (letter.id.position, letter.attempts, letter.state)).collect()
}

#[tokio::test]
async fn an_event_that_nobody_can_read_parks_its_wallet_and_the_others_go_on() {
    let mut book = Book::open().await;
    let runners = every_model(&book.store, |_| Manner::Faithful);
    book.poison(3, 200).await;
    book.deposit(&id("alice"), 4, 300).await;
    book.deposit(&id("bob"), 3, 200).await;
    all_caught_up(&book.store, &runners).await;
    assert_eq!(book.balance_of("alice").await, ("1.00".to_owned(), 2, true));
    assert_eq!(book.balance_of("bob").await, ("2.00".to_owned(), 3, false));
    book.deposit(&id("alice"), 5, 400).await;
    all_caught_up(&book.store, &runners).await;
    for projection in ["balance", "history", "stats"] {
        let letters = book.letters(projection).await;
        let open = State::Open;
        assert_eq!(summary(&letters), [(5, 3, open), (6, 0, open), (8, 0, open)], "{projection}");
        assert_eq!(letters[0].event_type, "FundsBlessed");
        assert!(letters[0].error.contains("FundsBlessed"), "{}", letters[0].error);
        assert_eq!(letters[0].payload, r#"{"FundsBlessed":{"amount":"1.00"}}"#);
    }
    let parked: Vec<u32> = runners.iter().map(|running| running.progress.health().parked).collect();
    assert_eq!(parked, vec![1; runners.len()]);
    let (_, at) = balance::wallet(&book.pool, 0, &id("alice")).await.unwrap();
    assert_eq!(at.stale_since, Some(book.letters("balance").await[0].recorded_at));
    equals_fresh_fold(&book.store).await;
}

#[tokio::test]
async fn a_replay_of_what_still_cannot_be_read_leaves_the_wallet_parked() {
    let mut book = Book::open().await;
    let running = Running::start(&book.store, Arc::new(Balance), 0, Manner::Faithful);
    book.poison(3, 200).await;
    running.caught_up(&book.store).await;
    let Outcome::StillParked(fault) = book.replay(&Balance).await.unwrap() else {
        panic!("it cannot be replayed")
    };
    assert_eq!(fault.position, 5);
    assert_eq!(summary(&book.letters("balance").await), [(5, 4, State::Open)]);
    assert_eq!(book.balance_of("alice").await, ("1.00".to_owned(), 2, true));
}

#[tokio::test]
async fn a_wallet_that_is_not_parked_is_not_replayed() {
    let book = Book::open().await;
    let running = Running::start(&book.store, Arc::new(Balance), 0, Manner::Faithful);
    running.caught_up(&book.store).await;
    assert!(matches!(book.replay(&Balance).await, Err(ReplayError::NotParked)));
    assert!(matches!(book.discard(&Balance, 2).await, Err(ReplayError::NotOpen)));
}

/// The flaw is in the program, and the replay comes with the program that mends it.
async fn a_mended_model_brings_the_wallet_back(flaw: Flaw) {
    let mut book = Book::open().await;
    for sequence in 3..6 {
        book.deposit(&id("alice"), sequence, i64::try_from(sequence).unwrap() * 100).await;
        book.deposit(&id("bob"), sequence, i64::try_from(sequence).unwrap() * 100).await;
    }
    let is_mended = Arc::new(AtomicBool::new(false));
    let model: Arc<dyn Projection> = Arc::new(Flawed::new(Balance, flaw, 7, &is_mended));
    let running = Running::start(&book.store, Arc::clone(&model), 0, Manner::Faithful);
    running.caught_up(&book.store).await;
    // Alice stands before position 7, her second deposit here.
    assert_eq!(book.balance_of("alice").await, ("3.00".to_owned(), 3, true));
    assert_eq!(book.balance_of("bob").await, ("5.00".to_owned(), 5, false));
    let open = State::Open;
    assert_eq!(summary(&book.letters("balance").await), [(7, 3, open), (9, 0, open)]);
    is_mended.store(true, Ordering::Relaxed);
    let before = checkpoint::position(&book.pool, "balance", 0).await.unwrap();
    let replayed = book.replay(&*model).await.unwrap();
    assert_eq!(replayed, Outcome::Replayed { events: 5, position: before });
    assert_eq!(checkpoint::position(&book.pool, "balance", 0).await.unwrap(), before);
    let done = State::Replayed;
    assert_eq!(summary(&book.letters("balance").await), [(7, 4, done), (9, 1, done)]);
    book.deposit(&id("alice"), 6, 600).await;
    running.caught_up(&book.store).await;
    assert_eq!(book.balance_of("alice").await, ("6.00".to_owned(), 6, false));
    assert_eq!(running.progress.health().parked, 0);
    equals_fresh_fold(&book.store).await;
}

#[tokio::test]
async fn a_mended_fold_brings_the_wallet_back() {
    a_mended_model_brings_the_wallet_back(Flaw::Apply).await;
}

#[tokio::test]
async fn what_postgres_refused_is_found_among_the_batch_and_comes_back() {
    a_mended_model_brings_the_wallet_back(Flaw::Save).await;
}

#[tokio::test]
async fn a_discarded_event_is_left_out_for_good() {
    let mut book = Book::open().await;
    let runners = every_model(&book.store, |_| Manner::Faithful);
    book.poison(3, 200).await;
    book.deposit(&id("alice"), 4, 300).await;
    all_caught_up(&book.store, &runners).await;
    let outcome = book.discard(&Balance, 5).await.unwrap();
    assert_eq!(outcome, Outcome::Replayed { events: 3, position: 6 });
    let letters = book.letters("balance").await;
    assert_eq!(summary(&letters), [(5, 3, State::Discarded), (6, 1, State::Replayed)]);
    assert_eq!(letters[0].decided_by.as_deref(), Some("olga"));
    assert_eq!(letters[0].reason.as_deref(), Some("written by mistake"));
    assert_eq!(book.balance_of("alice").await, ("3.00".to_owned(), 4, false));
    assert!(matches!(book.discard(&Balance, 5).await, Err(ReplayError::NotOpen)), "once");
    for model in [&History as &dyn Projection, &Stats] {
        let outcome = book.discard(model, 5).await.unwrap();
        assert_eq!(outcome, Outcome::Replayed { events: 3, position: 6 }, "{}", model.name());
    }
    equals_fresh_fold(&book.store).await;
    let all = history::Filter::default();
    let page = history::page(&book.pool, 0, &id("alice"), &all, Place::Newest, 10).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.entry).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test]
async fn an_event_on_which_others_build_cannot_be_discarded_alone() {
    let mut book = Book::open().await;
    book.write(|head| {
        let mut batch = batch(0, head);
        let broken = r#"{"WalletOpened":{"currency":"???"}}"#;
        raw_event(&mut batch, ("Wallet", "carol", 1), "WalletOpened", broken, Some(0));
        wallet_event(&mut batch, &id("carol"), 2, &deposited(100, 100), 100);
        batch
    })
    .await;
    let running = Running::start(&book.store, Arc::new(Balance), 0, Manner::Faithful);
    running.caught_up(&book.store).await;
    let Outcome::StillParked(fault) = book.discard(&Balance, 5).await.unwrap() else {
        panic!("a deposit needs a wallet")
    };
    assert_eq!((fault.position, &*fault.error), (6, "the wallet was never opened"));
    let outcome = book.discard(&Balance, 6).await.unwrap();
    assert_eq!(outcome, Outcome::Replayed { events: 0, position: 6 });
    assert_eq!(dead_letters::parked(&book.pool, Some("balance")).await.unwrap(), []);
    equals_fresh_fold(&book.store).await;
}

#[tokio::test]
async fn a_transfer_that_cannot_be_read_parks_its_source() {
    let mut book = Book::open().await;
    let (alice, bob) = (id("alice"), id("bob"));
    let mut transfer_id = None;
    book.write(|head| {
        let batch = departure(0, head, &alice, &bob, 100);
        transfer_id = batch.started.first().copied();
        batch
    })
    .await;
    let transfer = transfer_id.unwrap().to_string();
    book.write(|head| {
        let mut batch = batch(0, head);
        let broken = r#"{"TransferCompleted":{"balance":"?"}}"#;
        raw_event(&mut batch, ("Transfer", &transfer, 3), "TransferCompleted", broken, None);
        batch
    })
    .await;
    let runners = every_model(&book.store, |_| Manner::Faithful);
    all_caught_up(&book.store, &runners).await;
    assert_eq!(book.letters("balance").await, [], "it does not concern the balance");
    for projection in ["history", "stats"] {
        let letters = book.letters(projection).await;
        assert_eq!(letters[0].wallet_id.as_deref(), Some("alice"), "{projection}");
        assert_eq!((letters[0].aggregate_id.as_str(), letters.len()), (&*transfer, 1));
    }
    assert!(matches!(book.replay(&History).await, Ok(Outcome::StillParked(_))));
    let Outcome::Replayed { .. } = book.discard(&History, 8).await.unwrap() else {
        panic!("without it the transfer is under way")
    };
    let all = history::Filter::default();
    let page = history::page(&book.pool, 0, &alice, &all, Place::Newest, 1).await.unwrap();
    assert_eq!(page.entries[0].status, history::Status::Pending);
    equals_fresh_fold(&book.store).await;
}

#[tokio::test]
async fn many_poisoned_wallets_in_one_batch_are_parked_together() {
    let mut book = Book::open().await;
    let wallets: Vec<WalletId> = (0..300).map(|n| id(&format!("w-{n}"))).collect();
    book.write(|head| {
        let mut batch = batch(0, head);
        for wallet in &wallets {
            wallet_event(&mut batch, wallet, 1, &florin_tests::batches::opened(), 0);
            let payload = r#"{"FundsBlessed":{}}"#;
            raw_event(&mut batch, ("Wallet", wallet.as_str(), 2), "FundsBlessed", payload, Some(0));
        }
        batch
    })
    .await;
    book.deposit(&id("bob"), 3, 200).await;
    let running = Running::start(&book.store, Arc::new(Balance), 0, Manner::Faithful);
    running.caught_up(&book.store).await;
    assert_eq!(running.progress.health().parked, 300);
    assert_eq!(book.balance_of("bob").await, ("2.00".to_owned(), 3, false));
    assert_eq!(book.balance_of("w-299").await, ("0.00".to_owned(), 1, true));
    let told = dead_letters::unpublished(&book.pool, 200).await.unwrap();
    let ids: Vec<LetterId> = told.into_iter().map(|letter| letter.id).collect();
    assert_eq!(ids.len(), 200);
    dead_letters::mark_published(&book.pool, &ids).await.unwrap();
    assert_eq!(dead_letters::unpublished(&book.pool, 200).await.unwrap().len(), 100);
    let all = dead_letters::Filter::default();
    let page = dead_letters::list(&book.pool, &all, None, 200).await.unwrap();
    let last = &page.letters[199].id;
    assert_eq!((page.letters.len(), page.next.as_ref()), (200, Some(last)));
    let rest = dead_letters::list(&book.pool, &all, page.next.as_ref(), 100).await.unwrap();
    assert_eq!((rest.letters.len(), rest.next), (100, None));
    assert!(rest.letters.iter().all(|letter| letter.id > *last));
    let shown = dead_letters::show(&book.pool, &rest.letters[0].id).await.unwrap();
    assert_eq!(shown.as_ref(), Some(&rest.letters[0]));
    equals_fresh_fold(&book.store).await;
}

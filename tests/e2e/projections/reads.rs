use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use florin_application::journal::{Batch, Head};
use florin_domain::WalletId;
use florin_domain::wallet::Status;
use florin_projections::balance;
use florin_projections::checkpoint;
use florin_projections::history::{self, Filter, Kind, NUMBERED_SCAN, Page, Place, SCAN};
use florin_projections::stats::{self, Days};
use florin_tests::ask::{close, deposit, freeze, id, keyed, open, request, transfer, withdraw};
use florin_tests::batches::{batch, departure, deposited, homecoming, opened, wallet_event};
use florin_tests::feed::Manner;
use florin_tests::projecting::{Running, all_caught_up, every_model, pool};
use florin_tests::store::Store;
use sqlx::{Connection, PgConnection, PgPool};

fn noon(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000 + second, 0).unwrap()
}

/// One wallet with thirty deposits, a second apart, the nth of n dollars.
async fn thirty_deposits() -> (Store, PgPool, WalletId) {
    let (store, alice) = (Store::postgres(1).await, id("alice"));
    let (mut head, mut cents) = (Head::EMPTY, 0);
    for number in 0..=30 {
        let mut next: Batch = Batch { recorded_at: noon(number), ..batch(0, head) };
        let sequence = u64::try_from(number).unwrap() + 1;
        cents += number * 100;
        match number {
            0 => wallet_event(&mut next, &alice, 1, &opened(), 0),
            _ => wallet_event(&mut next, &alice, sequence, &deposited(number * 100, cents), cents),
        }
        store.partition(0).append(&next).await.unwrap();
        head = next.head();
    }
    let running = Running::start(&store, Arc::new(history::History), 0, Manner::Faithful);
    running.caught_up(&store).await;
    let pool = pool(&store);
    (store, pool, alice)
}

/// The numbers of the entries, the cursor, and the total.
fn summary(page: &Page) -> (Vec<u64>, Option<u64>, Option<u64>) {
    (page.entries.iter().map(|entry| entry.entry).collect(), page.next, page.total)
}

#[tokio::test]
async fn a_history_is_read_by_cursor_and_by_page_number() {
    let (_store, pool, alice) = thirty_deposits().await;
    let all = Filter::default();
    let page = async |place, limit| {
        summary(&history::page(&pool, 0, &alice, &all, place, limit).await.unwrap())
    };
    assert_eq!(page(Place::Newest, 3).await, (vec![30, 29, 28], Some(28), None));
    assert_eq!(page(Place::Before(28), 3).await, (vec![27, 26, 25], Some(25), None));
    assert_eq!(page(Place::Before(4), 3).await, (vec![3, 2, 1], None, None));
    assert_eq!(page(Place::Before(1), 3).await, (vec![], None, None));
    assert_eq!(page(Place::Numbered(1), 10).await.0[0], 30);
    let last = ((1..=10).rev().collect(), None, Some(30));
    assert_eq!(page(Place::Numbered(3), 10).await, last);
    assert_eq!(page(Place::Numbered(4), 10).await, (vec![], None, Some(30)));
    let skipping = (vec![15, 14], Some(14), Some(30));
    assert_eq!(page(Place::Skipping(15), 2).await, skipping);
    assert_eq!(page(Place::Numbered(u64::MAX), 10).await.0, Vec::<u64>::new());
    assert_eq!(page(Place::Newest, 999).await.0.len(), 30, "the limit has a limit");
}

#[tokio::test]
async fn a_history_is_filtered_by_time_amount_and_kind() {
    let (_store, pool, alice) = thirty_deposits().await;
    let page = async |filter: Filter, place| {
        summary(&history::page(&pool, 0, &alice, &filter, place, 3).await.unwrap())
    };
    let dollars = |n: i64| Some(rust_decimal::Decimal::new(n * 100, 2));
    let times = Filter { from: Some(noon(5)), to: Some(noon(8)), ..Filter::default() };
    assert_eq!(page(times.clone(), Place::Newest).await, (vec![7, 6, 5], None, None));
    assert_eq!(page(times.clone(), Place::Before(6)).await, (vec![5], None, None));
    assert_eq!(page(times, Place::Numbered(1)).await, (vec![7, 6, 5], None, Some(3)));
    let never = Filter { from: Some(noon(31)), ..Filter::default() };
    assert_eq!(page(never, Place::Newest).await, (vec![], None, None));
    let before = Filter { to: Some(noon(1)), ..Filter::default() };
    assert_eq!(page(before, Place::Newest).await, (vec![], None, None));
    let amounts = Filter { min_amount: dollars(10), max_amount: dollars(14), ..Filter::default() };
    assert_eq!(page(amounts.clone(), Place::Newest).await, (vec![14, 13, 12], Some(12), None));
    assert_eq!(page(amounts.clone(), Place::Before(12)).await, (vec![11, 10], None, None));
    assert_eq!(page(amounts, Place::Numbered(2)).await, (vec![11, 10], None, Some(5)));
    let withdrawals = Filter { kinds: vec![Kind::Withdrawal], ..Filter::default() };
    assert_eq!(page(withdrawals, Place::Newest).await, (vec![], None, None));
}

#[tokio::test]
async fn a_history_of_a_wallet_that_is_unknown_is_empty_and_says_as_of_when() {
    let (_store, pool, _) = thirty_deposits().await;
    let all = Filter::default();
    let page = history::page(&pool, 0, &id("bob"), &all, Place::Numbered(1), 3).await.unwrap();
    assert_eq!(summary(&page), (vec![], None, Some(0)));
    assert_eq!((page.at.position, page.at.stale_since), (31, None));
    let nowhere = history::page(&pool, 9, &id("bob"), &all, Place::Newest, 3).await.unwrap();
    assert_eq!(nowhere.at.position, 0, "no projection runs there");
}

#[tokio::test]
async fn a_filter_that_passes_little_ends_its_page_early_and_goes_on() {
    let (store, pool, alice) = thirty_deposits().await;
    let Store::Postgres(_, urls) = &store else { unreachable!() };
    let mut admin = PgConnection::connect(&urls.admin).await.unwrap();
    let many = i64::try_from(NUMBERED_SCAN.max(4 * SCAN)).unwrap() + 30;
    sqlx::query(
        "INSERT INTO movements (wallet_id, entry, partition, position, type, status, amount,
                                currency, balance_after, reference, recorded_at)
         SELECT 'alice', n, 0, n + 1, 'withdrawal', 'completed', 1, 'USD', 0, gen_random_uuid(),
                to_timestamp(1750000000 + n)
           FROM generate_series(31::bigint, $1) AS n",
    )
    .bind(many)
    .execute(&mut admin)
    .await
    .unwrap();
    let deposits = Filter { kinds: vec![Kind::Deposit], ..Filter::default() };
    let (mut place, mut pages, mut found) = (Place::Newest, 0, Vec::new());
    loop {
        let page = history::page(&pool, 0, &alice, &deposits, place, 7).await.unwrap();
        pages += 1;
        found.extend(page.entries.iter().map(|entry| entry.entry));
        let Some(next) = page.next else { break };
        assert!(page.entries.len() == 7 || found.is_empty() || next <= 30, "{next}");
        place = Place::Before(next);
    }
    assert_eq!(found, (1..=30).rev().collect::<Vec<_>>());
    assert!(pages >= 4, "{pages} pages");
    let numbered = history::page(&pool, 0, &alice, &deposits, Place::Numbered(1), 7).await.unwrap();
    assert_eq!(numbered.total, None, "not everything was counted");
    let all = Filter::default();
    let numbered = history::page(&pool, 0, &alice, &all, Place::Numbered(2), 7).await.unwrap();
    assert_eq!(numbered.total, Some(many.unsigned_abs()), "nothing had to be counted");
}

#[tokio::test]
async fn a_transfer_is_seen_from_both_sides() {
    let store = Store::postgres(1).await;
    let (ledger, pool) = (store.process(), pool(&store));
    let (alice, bob) = (id("alice"), id("bob"));
    ledger.submit(keyed("d-1", deposit(&alice, "10"))).await.unwrap();
    ledger.submit(keyed("t-1", transfer(&alice, &bob, "4"))).await.unwrap();
    ledger.submit(keyed("w-1", withdraw(&bob, "1"))).await.unwrap();
    let runners = every_model(&store, |_| Manner::Faithful);
    all_caught_up(&store, &runners).await;
    let filter = Filter { counterparty: Some("bob".to_owned()), ..Filter::default() };
    let page = history::page(&pool, 0, &alice, &filter, Place::Newest, 5).await.unwrap();
    let [out] = &page.entries[..] else { panic!("{page:?}") };
    assert_eq!((out.kind, out.status), (Kind::TransferOut, history::Status::Completed));
    assert_eq!(
        (out.amount.to_string(), out.balance_after.to_string()),
        ("4.00".into(), "6.00".into())
    );
    assert_eq!(out.request_id.as_deref(), Some("t-1"));
    let filter = Filter { kinds: vec![Kind::TransferIn], ..Filter::default() };
    let page = history::page(&pool, 0, &bob, &filter, Place::Newest, 5).await.unwrap();
    let [incoming] = &page.entries[..] else { panic!("{page:?}") };
    assert_eq!(incoming.counterparty.as_deref(), Some("alice"));
    assert_eq!(incoming.reference, out.reference);
    let (sums, at) = stats::wallet(&pool, 0, &bob, Days::NONE).await.unwrap();
    let sums = sums.unwrap();
    assert_eq!((sums.transferred_in.0.to_string(), sums.transferred_in.1), ("4.00".into(), 1));
    assert_eq!((sums.withdrawn.0.to_string(), sums.withdrawn.1), ("1.00".into(), 1));
    assert_eq!((sums.deposited.0.to_string(), sums.deposited.1), ("0.00".into(), 0));
    assert_eq!(at.position, runners[0].progress.position());
    let states = checkpoint::status(&pool).await.unwrap();
    let names: Vec<&str> = states.iter().map(|state| state.projection.as_str()).collect();
    assert_eq!(names, ["balance", "fraud", "history", "stats"]);
    assert!(states.iter().all(|state| state.lag() == 0 && state.behind_since.is_none()));
}

/// The debit, its refund a day later, and every batch between them applied on its own.
#[tokio::test]
async fn a_refunded_transfer_counts_in_neither_direction_on_no_day() {
    let store = Store::postgres(1).await;
    let (alice, bob, pool) = (id("alice"), id("bob"), pool(&store));
    let runners = every_model(&store, |_| Manner::Faithful);
    let at = noon(0);
    let mut opening = Batch { recorded_at: at, ..batch(0, Head::EMPTY) };
    wallet_event(&mut opening, &alice, 1, &opened(), 0);
    wallet_event(&mut opening, &alice, 2, &deposited(500, 500), 500);
    store.partition(0).append(&opening).await.unwrap();
    let mut leaving = departure(0, opening.head(), &alice, &bob, 500);
    leaving.recorded_at = at;
    store.partition(0).append(&leaving).await.unwrap();
    all_caught_up(&store, &runners).await;
    let day = at.date_naive();
    let days = Days { from: Some(day), to: Some(day + TimeDelta::days(2)), limit: 5 };
    let volumes = async || {
        let (stats, _) = stats::wallet(&pool, 0, &alice, days).await?;
        Ok::<_, sqlx::Error>(stats.map(|stats| stats.days).unwrap_or_default())
    };
    let of_day = volumes().await.unwrap();
    assert_eq!((of_day[0].money_out.0.to_string(), of_day[0].money_out.1), ("5.00".into(), 1));
    let all = Filter::default();
    let newest = async || history::page(&pool, 0, &alice, &all, Place::Newest, 2).await.unwrap();
    assert_eq!(newest().await.entries[0].status, history::Status::Pending);
    let ids = (leaving.started[0], &alice, &bob);
    let mut back = homecoming(0, leaving.head(), ids, 500);
    back.recorded_at = at + TimeDelta::days(1);
    store.partition(0).append(&back).await.unwrap();
    all_caught_up(&store, &runners).await;
    let of_days = volumes().await.unwrap();
    assert_eq!((of_days.len(), of_days[0].day), (1, day));
    assert_eq!((of_days[0].money_out.0.to_string(), of_days[0].money_out.1), ("0.00".into(), 0));
    assert_eq!((of_days[0].money_in.0.to_string(), of_days[0].money_in.1), ("5.00".into(), 1));
    let (sums, _) = stats::wallet(&pool, 0, &alice, Days::NONE).await.unwrap();
    let sums = sums.unwrap();
    assert_eq!((sums.transferred_out.0.to_string(), sums.transferred_out.1), ("0.00".into(), 0));
    assert_eq!(sums.last_activity_at, Some(back.recorded_at));
    let page = newest().await;
    assert_eq!(page.entries[0].kind, Kind::TransferRefund);
    assert_eq!(page.entries[1].status, history::Status::Failed);
    assert_eq!(page.entries[1].failure.as_deref(), Some("the wallet is closed"));
    florin_tests::fresh_fold::equals_fresh_fold(&store).await;
}

#[tokio::test]
async fn wallets_are_listed_by_id_with_filters() {
    let store = Store::postgres(2).await;
    let (ledger, pool) = (store.process(), pool(&store));
    for number in 0..9 {
        let wallet = id(&format!("w{number}"));
        let currency = if number % 3 == 0 { "JPY" } else { "USD" };
        ledger.submit(request(open(&wallet, currency))).await.unwrap();
        if number > 0 {
            ledger.submit(request(deposit(&wallet, &number.to_string()))).await.unwrap();
        }
    }
    ledger.submit(request(freeze(&id("w4")))).await.unwrap();
    ledger.submit(request(close(&id("w0")))).await.unwrap();
    let runners = every_model(&store, |_| Manner::Faithful);
    all_caught_up(&store, &runners).await;
    let list = async |filter: balance::Filter, after: Option<&str>, limit| {
        let list = balance::list(&pool, &filter, after, limit).await.unwrap();
        assert_eq!(list.positions.len(), 2);
        let ids: Vec<String> = list.wallets.iter().map(|row| row.wallet_id.to_string()).collect();
        (ids.join(" "), list.next)
    };
    let all = balance::Filter::default;
    assert_eq!(list(all(), None, 4).await, ("w0 w1 w2 w3".into(), Some("w3".into())));
    assert_eq!(list(all(), Some("w3"), 5).await, ("w4 w5 w6 w7 w8".into(), None));
    let yen = balance::Filter { currency: "JPY".parse().ok(), ..all() };
    assert_eq!(list(yen.clone(), None, 2).await, ("w0 w3".into(), Some("w3".into())));
    assert_eq!(list(yen, Some("w3"), 2).await, ("w6".into(), None));
    let frozen = balance::Filter { status: Some(Status::Frozen), ..all() };
    assert_eq!(list(frozen, None, 9).await, ("w4".into(), None));
    let rich = balance::Filter { min_balance: Some(7.into()), ..all() };
    assert_eq!(list(rich, None, 9).await, ("w7 w8".into(), None));
    let poor = balance::Filter { max_balance: Some(1.into()), ..all() };
    assert_eq!(list(poor, None, 9).await, ("w0 w1".into(), None));
    let nobody = balance::Filter { owner: Some("nobody".into()), ..all() };
    assert_eq!(list(nobody, None, 9).await, (String::new(), None));
}

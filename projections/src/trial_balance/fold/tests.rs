use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use florin_domain::TransferId;
use florin_domain::journal::GENESIS;

use super::*;
use crate::ports::{JournalAway, JournalReader};

/// How many wallets there are; each is opened, and then they take turns.
const WALLETS: u64 = 7;
const EVENTS: u64 = 200;

/// A journal of one partition in memory, and how many balances it was asked for.
struct Memory {
    events: Vec<RecordedEvent>,
    asked: Mutex<usize>,
}

impl Memory {
    /// Every event but the first of a wallet is a deposit of so much as its position says.
    fn new() -> Self {
        let events = (1..=EVENTS).map(|position| {
            let (wallet, round) = ((position - 1) % WALLETS, (position - 1) / WALLETS);
            let balance: u64 = (1..=round).map(|round| round * WALLETS + wallet + 1).sum();
            let (name, payload) = match round {
                0 => ("WalletOpened", r#"{"WalletOpened":{"currency":"JPY"}}"#.to_owned()),
                _ => ("FundsDeposited", deposit(position, balance)),
            };
            RecordedEvent {
                partition: 0,
                position,
                aggregate_type: "Wallet",
                aggregate_id: format!("w-{wallet}").into(),
                sequence: round + 1,
                event_type: name.into(),
                event_version: "1.1".to_owned(),
                payload,
                metadata: "{}".into(),
                balance: Some(balance.into()),
                recorded_at: DateTime::UNIX_EPOCH,
                hash: GENESIS,
            }
        });
        Self { events: events.collect(), asked: Mutex::new(0) }
    }

    fn select(
        &self,
        limit: usize,
        is_wanted: impl Fn(&RecordedEvent) -> bool,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        Ok(self.events.iter().filter(|event| is_wanted(event)).take(limit).cloned().collect())
    }

    /// What the events of a range come to, without pages.
    fn sums(&self, range: (u64, u64), wallet: Option<&str>) -> ByCurrency {
        let mut sums = ByCurrency::default();
        for event in &self.events {
            let is_in = range.0 < event.position && event.position <= range.1;
            let is_opening = event.sequence == 1;
            let amount = if is_opening { Decimal::ZERO } else { event.position.into() };
            if is_in && wallet.is_none_or(|wallet| wallet == &*event.aggregate_id) {
                let held = Held { wallets: i64::from(is_opening), balances: amount };
                let moved = Moved { deposited: amount, ..Moved::default() };
                sums.count("JPY".parse().unwrap(), &Sums { held, moved }).unwrap();
            }
        }
        sums
    }
}

fn deposit(amount: u64, balance: u64) -> String {
    let id = "00000000-0000-0000-0000-000000000007";
    format!(
        r#"{{"FundsDeposited":{{"transactionId":"{id}","amount":"{amount}","currency":"JPY",
            "balance":"{balance}"}}}}"#
    )
}

#[async_trait]
impl JournalReader for Memory {
    async fn page(&self, _: u32, _: u64, _: usize) -> Result<Vec<RecordedEvent>, JournalAway> {
        Err(JournalAway("nobody asks".into()))
    }

    async fn head(&self, _: u32) -> Result<u64, JournalAway> {
        Ok(EVENTS)
    }

    async fn wallet(
        &self,
        wallet: &str,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        self.select(limit, |event| {
            *event.aggregate_id == *wallet && event.sequence > after && event.position <= up_to
        })
    }

    async fn transfers(&self, _: &[TransferId], _: u64) -> Result<Vec<RecordedEvent>, JournalAway> {
        Err(JournalAway("nobody asks".into()))
    }
}

#[async_trait]
impl PastReader for Memory {
    async fn of_wallets(
        &self,
        _: u32,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        self.select(limit, |event| event.position > after && event.position <= up_to)
    }

    async fn balances_after(
        &self,
        events: &[(Arc<str>, u64)],
    ) -> Result<Vec<(Arc<str>, Decimal)>, JournalAway> {
        *self.asked.lock().unwrap() += events.len();
        let balance = |(wallet, sequence): &(Arc<str>, u64)| {
            let is_it = |event: &&RecordedEvent| {
                event.aggregate_id == *wallet && event.sequence == *sequence
            };
            let event = self.events.iter().find(is_it).unwrap();
            (Arc::clone(wallet), event.balance.unwrap())
        };
        Ok(events.iter().map(balance).collect())
    }

    async fn positions_at(&self, _: DateTime<Utc>) -> Result<Vec<(u32, u64)>, JournalAway> {
        Err(JournalAway("nobody asks".into()))
    }
}

#[tokio::test]
async fn a_range_comes_to_the_same_however_large_the_pages_and_the_memory_are() {
    let journal = Memory::new();
    let nobody = HashSet::new();
    for bounds in [(1, 0), (1, 3), (3, 0), (10, 4), (50, 100), (1_000, 100)] {
        for range in [(0, EVENTS), (0, 1), (5, 40), (100, 101), (150, EVENTS), (60, 60)] {
            let change = Fold::within(&journal, bounds).range(0, range, &nobody).await.unwrap();
            assert_eq!(change, journal.sums(range, None), "{bounds:?} {range:?}");
        }
    }
}

#[tokio::test]
async fn what_a_wallet_held_is_read_once_while_there_is_memory() {
    let journal = Memory::new();
    let nobody = HashSet::new();
    Fold::within(&journal, (10, 100)).range(0, (0, EVENTS), &nobody).await.unwrap();
    assert_eq!(*journal.asked.lock().unwrap(), 0, "from the beginning everything is met");
    let mut fold = Fold::within(&journal, (10, 100));
    fold.range(0, (50, 120), &nobody).await.unwrap();
    fold.range(0, (120, EVENTS), &nobody).await.unwrap();
    assert_eq!(*journal.asked.lock().unwrap() as u64, WALLETS);
}

#[tokio::test]
async fn a_wallet_apart_is_in_no_range_and_folded_from_its_stream() {
    let journal = Memory::new();
    let wallet: Arc<str> = "w-3".into();
    let without = HashSet::from([Arc::clone(&wallet)]);
    let mut fold = Fold::within(&journal, (9, 3));
    let mut sums = fold.range(0, (0, 150), &without).await.unwrap();
    let stream = fold.stream(&wallet, 150).await.unwrap();
    assert_eq!(stream, journal.sums((0, 150), Some("w-3")));
    sums.add(&stream, [super::super::sums::Way::Forth; 2]).unwrap();
    assert_eq!(sums, journal.sums((0, 150), None));
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_left_out_only_if_it_was_discarded() {
    let mut journal = Memory::new();
    journal.events[99].payload = "{}".to_owned();
    let nobody = HashSet::new();
    let mut fold = Fold::within(&journal, (10, 100));
    let error = fold.range(0, (0, EVENTS), &nobody).await.unwrap_err();
    assert!(matches!(error, TrialBalanceError::Unreadable(event) if event.position == 100));
    let mut fold = Fold::within(&journal, (10, 100));
    fold.leave_out(&[100]);
    let mut change = fold.range(0, (0, EVENTS), &nobody).await.unwrap();
    let left_out = journal.sums((99, 100), None);
    change.add(&left_out, [super::super::sums::Way::Forth; 2]).unwrap();
    assert_eq!(change, journal.sums((0, EVENTS), None), "as if it had never moved anything");
}

//! The invariants of the design, under random histories.
//!
//! A history is a list of acts on a few wallets: what clients ask, and the steps of transfers, each
//! taken whenever the history comes to it. So money is in flight while wallets freeze, close and
//! fill up, credits are refused, and a credit lies committed before its transfer hears of it, as it
//! does between two partitions. The laws are checked after every single event.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::ids::{TransactionId, TransferId, WalletId};
use crate::money::{Currency, MAX_AMOUNT, MAX_BALANCE, RequestedAmount};
use crate::refusal::Refusal;
use crate::transfer::saga::{Step, after_credit, after_debit, next_step};
use crate::transfer::{Initiate, Leg, Phase, Transfer, TransferCommand, TransferEvent};
use crate::wallet::{
    Close, Credit, Debit, Deposit, Freeze, Open, Refund, Status, Unfreeze, Wallet, WalletCommand,
    WalletEvent, Withdraw,
};

/// Few, so that they meet often. The last one is full to the brim from the start.
const WALLETS: usize = 4;
const FULL: usize = WALLETS - 1;

/// Two with different decimals.
const CURRENCIES: [&str; 2] = ["USD", "JPY"];

/// The longest path of a transfer has four events, and takes one more act to fetch its credit.
const MAX_STEPS: usize = 5;

fn currency(index: usize) -> Currency {
    CURRENCIES[index].parse().unwrap()
}

fn wallet_id(index: usize) -> WalletId {
    format!("wallet-{index}").parse().unwrap()
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Open { wallet: usize, currency: usize, initial: Option<RequestedAmount> },
    Deposit { wallet: usize, amount: RequestedAmount, meant: Option<usize>, opens_unknown: bool },
    Withdraw { wallet: usize, amount: Much, meant: Option<usize> },
    Freeze(usize),
    Unfreeze(usize),
    Close(usize),
    Transfer { from: usize, to: usize, amount: Much, meant: Option<usize> },
    Step { transfer: Index, opens_unknown: bool },
}

/// How much leaves a wallet.
#[derive(Debug, Clone, Copy)]
enum Much {
    This(RequestedAmount),
    /// All that it holds, so that it can be closed.
    All,
}

fn much() -> impl Strategy<Value = Much> {
    prop_oneof![2 => amount().prop_map(Much::This), 1 => Just(Much::All)]
}

fn amount() -> impl Strategy<Value = RequestedAmount> {
    let cents = (1..2_000_i64).prop_map(|cents| Decimal::new(cents, 2));
    let whole = (1..20_i64).prop_map(Decimal::from);
    let too_fine = (1..9_i64).prop_map(|thousandths| Decimal::new(thousandths, 3));
    prop_oneof![4 => cents, 4 => whole, 1 => too_fine, 1 => Just(MAX_AMOUNT)]
        .prop_map(|value| value.to_string().parse().unwrap())
}

fn act() -> impl Strategy<Value = Act> {
    let wallet = || 0..WALLETS;
    let meant = || prop_oneof![4 => Just(None), 1 => (0..CURRENCIES.len()).prop_map(Some)];
    prop_oneof![
        2 => (wallet(), 0..CURRENCIES.len(), prop::option::of(amount()))
            .prop_map(|(wallet, currency, initial)| Act::Open { wallet, currency, initial }),
        6 => (wallet(), amount(), meant(), any::<bool>()).prop_map(
            |(wallet, amount, meant, opens_unknown)| Act::Deposit {
                wallet,
                amount,
                meant,
                opens_unknown
            }
        ),
        4 => (wallet(), much(), meant())
            .prop_map(|(wallet, amount, meant)| Act::Withdraw { wallet, amount, meant }),
        1 => wallet().prop_map(Act::Freeze),
        2 => wallet().prop_map(Act::Unfreeze),
        3 => wallet().prop_map(Act::Close),
        8 => (wallet(), wallet(), much(), meant())
            .prop_map(|(from, to, amount, meant)| Act::Transfer { from, to, amount, meant }),
        16 => (any::<Index>(), any::<bool>())
            .prop_map(|(transfer, opens_unknown)| Act::Step { transfer, opens_unknown }),
    ]
}

/// What came from outside, what went there, and what is on its way, of one currency.
#[derive(Debug, Clone, Default)]
struct Totals {
    deposited: Decimal,
    withdrawn: Decimal,
    in_flight: Decimal,
}

/// A transfer on its way.
#[derive(Debug)]
struct Flight {
    transfer: Transfer,
    from: usize,
    to: usize,
    /// What the target has answered, before the transfer has heard of it.
    credit: Option<Result<Leg, Refusal>>,
}

/// An event in the order of the log: of which stream, at which sequence.
#[derive(Debug)]
enum Logged {
    Wallet { wallet: usize, sequence: u64, json: String },
    Transfer { transfer: usize, sequence: u64, json: String },
}

#[derive(Debug)]
struct World {
    wallets: Vec<(Wallet, u64)>,
    flights: Vec<Flight>,
    totals: BTreeMap<Currency, Totals>,
    log: Vec<Logged>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            wallets: vec![(Wallet::default(), 0); WALLETS],
            flights: vec![],
            totals: BTreeMap::new(),
            log: vec![],
        };
        let currency = Currency::USD;
        let mut full = MAX_BALANCE;
        full.rescale(currency.decimals());
        world.record(FULL, &WalletEvent::WalletOpened { currency, owner: None, metadata: None });
        world.record(
            FULL,
            &WalletEvent::FundsDeposited {
                transaction_id: TransactionId(Uuid::nil()),
                amount: full,
                currency,
                balance: full,
                metadata: None,
            },
        );
        world
    }

    fn act(&mut self, act: &Act) {
        let transaction_id = TransactionId(Uuid::from_u128(self.log.len() as u128));
        let refused_is_fine = |_: Result<Leg, Refusal>| {};
        match act.clone() {
            Act::Open { wallet, currency: index, initial } => {
                let initial = initial.map(|amount| (transaction_id, amount));
                let open = Open { currency: currency(index), owner: None, metadata: None, initial };
                refused_is_fine(self.command(wallet, WalletCommand::Open(open)));
            }
            Act::Deposit { wallet, amount, meant, opens_unknown } => {
                let currency = meant.map(currency);
                let deposit = Deposit {
                    transaction_id,
                    amount,
                    currency,
                    metadata: None,
                    opens_unknown,
                    owner: None,
                };
                refused_is_fine(self.command(wallet, WalletCommand::Deposit(deposit)));
            }
            Act::Withdraw { wallet, amount, meant } => {
                let currency = meant.map(currency);
                let Some(amount) = self.how_much(wallet, amount) else { return };
                let withdraw = Withdraw { transaction_id, amount, currency, metadata: None };
                refused_is_fine(self.command(wallet, WalletCommand::Withdraw(withdraw)));
            }
            Act::Freeze(wallet) => {
                let freeze = WalletCommand::Freeze(Freeze { reason: None });
                refused_is_fine(self.command(wallet, freeze));
            }
            Act::Unfreeze(wallet) => {
                let unfreeze = WalletCommand::Unfreeze(Unfreeze { reason: None });
                refused_is_fine(self.command(wallet, unfreeze));
            }
            Act::Close(wallet) => {
                let in_flight = self.flights.iter().any(|flight| {
                    flight.from == wallet && next_step(&flight.transfer) != Step::Done
                });
                let close = WalletCommand::Close(Close { reason: None, in_flight });
                refused_is_fine(self.command(wallet, close));
            }
            Act::Transfer { from, to, amount, meant } => {
                let Some(amount) = self.how_much(from, amount) else { return };
                self.initiate(from, to, amount, meant);
            }
            Act::Step { transfer, opens_unknown } => {
                if !self.flights.is_empty() {
                    self.step(transfer.index(self.flights.len()), opens_unknown);
                }
            }
        }
        self.assert_flights_are_what_is_in_flight();
    }

    /// Nothing when all is nothing, or too much for one command.
    fn how_much(&self, wallet: usize, much: Much) -> Option<RequestedAmount> {
        match much {
            Much::This(amount) => Some(amount),
            Much::All => self.wallets[wallet].0.account()?.balance.to_string().parse().ok(),
        }
    }

    fn initiate(&mut self, from: usize, to: usize, amount: RequestedAmount, meant: Option<usize>) {
        let source = &self.wallets[from].0;
        let Ok(amount) = Initiate::amount_from(source, amount, meant.map(currency)) else {
            return;
        };
        self.flights.push(Flight { transfer: Transfer::default(), from, to, credit: None });
        let (from, to) = (wallet_id(from), wallet_id(to));
        let initiate = Initiate { from, to, amount, metadata: None };
        self.note(self.flights.len() - 1, TransferCommand::Initiate(initiate));
    }

    /// Takes the next step of a transfer, or half of it: the credit is committed by itself.
    fn step(&mut self, index: usize, opens_unknown: bool) {
        let Flight { transfer, from, to, credit } = &self.flights[index];
        let (from, to, credit) = (*from, *to, credit.clone());
        let details = transfer.details().unwrap().clone();
        let (amount, transfer_id) = (details.amount, TransferId(Uuid::from_u128(index as u128)));
        match (next_step(transfer), credit) {
            (Step::Debit, _) => {
                let debit = Debit { transfer_id, to: details.to, amount, metadata: None };
                let debited = self.command(from, WalletCommand::Debit(debit));
                self.note(index, after_debit(debited));
            }
            (Step::Credit, None) => {
                let from = details.from;
                let credit = Credit { transfer_id, from, amount, metadata: None, opens_unknown };
                let credited = self.command(to, WalletCommand::Credit(credit));
                self.flights[index].credit = Some(credited);
            }
            (Step::Credit, Some(credited)) => {
                let command = after_credit(credited);
                if let TransferCommand::Compensate(_) = command {
                    let refund = Refund { transfer_id, to: details.to, amount };
                    let refunded = self.command(from, WalletCommand::Refund(refund));
                    assert!(refunded.is_ok(), "a wallet's own money comes home: {refunded:?}");
                }
                self.note(index, command);
            }
            (Step::Fail(refusal), _) => self.note(index, TransferCommand::Fail(refusal)),
            (Step::Done, _) => {}
        }
    }

    /// Lets a wallet decide, and records what follows.
    fn command(&mut self, index: usize, command: WalletCommand) -> Result<Leg, Refusal> {
        let wallet = &self.wallets[index].0;
        let decided = wallet.decide(command.clone());
        assert_eq!(decided, wallet.clone().decide(command), "the same state decides the same");
        for event in decided? {
            self.record(index, &event);
        }
        let (wallet, version) = &self.wallets[index];
        let balance = wallet.account().unwrap().balance;
        let position = self.log.len() as u64;
        Ok(Leg { balance, version: *version, partition: 0, position })
    }

    /// Lets a transfer decide, and records what follows. The saga never comes to a refusal.
    fn note(&mut self, index: usize, command: TransferCommand) {
        let transfer = &self.flights[index].transfer;
        let decided = transfer.decide(command.clone()).unwrap();
        assert_eq!(decided, transfer.clone().decide(command).unwrap());
        for event in decided {
            self.flights[index].transfer.apply_event(&event);
            let before = self.log.iter().filter(
                |logged| matches!(logged, Logged::Transfer { transfer, .. } if *transfer == index),
            );
            let sequence = before.count() as u64 + 1;
            let json = serde_json::to_string(&event).unwrap();
            self.log.push(Logged::Transfer { transfer: index, sequence, json });
        }
    }

    fn record(&mut self, index: usize, event: &WalletEvent) {
        let (wallet, version) = &mut self.wallets[index];
        wallet.apply_event(event);
        *version += 1;
        let json = serde_json::to_string(event).unwrap();
        self.log.push(Logged::Wallet { wallet: index, sequence: *version, json });
        self.book(event);
        self.assert_money_adds_up();
        self.assert_wallet_is_sound(index);
    }

    /// Books the other side of a wallet's event.
    fn book(&mut self, event: &WalletEvent) {
        let mut totals = |currency: &Currency, book: fn(&mut Totals, Decimal), amount: &Decimal| {
            assert!(*amount > Decimal::ZERO, "{event:?} moves nothing, or backwards");
            book(self.totals.entry(*currency).or_default(), *amount);
        };
        match event {
            WalletEvent::WalletOpened { .. }
            | WalletEvent::WalletFrozen { .. }
            | WalletEvent::WalletUnfrozen { .. }
            | WalletEvent::WalletClosed { .. } => {}
            WalletEvent::FundsDeposited { currency, amount, .. } => {
                totals(currency, |totals, amount| totals.deposited += amount, amount);
            }
            WalletEvent::FundsWithdrawn { currency, amount, .. } => {
                totals(currency, |totals, amount| totals.withdrawn += amount, amount);
            }
            WalletEvent::FundsDebited { currency, amount, .. } => {
                totals(currency, |totals, amount| totals.in_flight += amount, amount);
            }
            WalletEvent::FundsCredited { currency, amount, .. }
            | WalletEvent::FundsRefunded { currency, amount, .. } => {
                totals(currency, |totals, amount| totals.in_flight -= amount, amount);
            }
        }
    }

    fn assert_money_adds_up(&self) {
        for (currency, totals) in &self.totals {
            let accounts = self.wallets.iter().filter_map(|(wallet, _)| wallet.account());
            let own = accounts.filter(|account| account.currency == *currency);
            let in_wallets: Decimal = own.map(|account| account.balance).sum();
            assert_eq!(
                in_wallets + totals.in_flight,
                totals.deposited - totals.withdrawn,
                "{currency}: {in_wallets} in wallets, {totals:?}"
            );
            assert!(totals.in_flight >= Decimal::ZERO, "{currency}: {totals:?}");
        }
    }

    fn assert_wallet_is_sound(&self, index: usize) {
        let account = self.wallets[index].0.account().expect("the first event opens");
        let balance = account.balance;
        assert!(balance >= Decimal::ZERO, "wallet {index} holds {balance}");
        assert_eq!(balance.scale(), account.currency.decimals(), "wallet {index}: {balance}");
        assert!(account.status != Status::Closed || balance.is_zero(), "closed with {balance}");
    }

    /// What left a source and is in no wallet is what the transfers say is on its way.
    fn assert_flights_are_what_is_in_flight(&self) {
        let mut expected: BTreeMap<Currency, Decimal> = BTreeMap::new();
        for flight in &self.flights {
            let details = flight.transfer.details().unwrap();
            if details.phase == Phase::Debited && !matches!(flight.credit, Some(Ok(_))) {
                let amount = details.amount;
                *expected.entry(amount.currency()).or_default() += amount.value();
            }
        }
        for (currency, totals) in &self.totals {
            let expected = expected.get(currency).copied().unwrap_or_default();
            assert_eq!(totals.in_flight, expected, "{currency} in flight");
        }
    }

    /// Every transfer that was begun can be brought to its end, whatever has happened.
    fn finish(&mut self) {
        for index in 0..self.flights.len() {
            for _ in 0..MAX_STEPS {
                self.step(index, true);
            }
            assert_eq!(next_step(&self.flights[index].transfer), Step::Done);
        }
        assert!(self.totals.values().all(|totals| totals.in_flight.is_zero()));
    }

    /// The events alone, as they are stored, lead to the same states; sequences are dense.
    fn assert_log_tells_all(&self) {
        let mut wallets = vec![(Wallet::default(), 0); WALLETS];
        let mut transfers = vec![(Transfer::default(), 0); self.flights.len()];
        for logged in &self.log {
            match logged {
                Logged::Wallet { wallet, sequence, json } => {
                    let (wallet, version) = &mut wallets[*wallet];
                    wallet.apply_event(&serde_json::from_str::<WalletEvent>(json).unwrap());
                    *version += 1;
                    assert_eq!(sequence, version);
                }
                Logged::Transfer { transfer, sequence, json } => {
                    let (transfer, version) = &mut transfers[*transfer];
                    transfer.apply_event(&serde_json::from_str::<TransferEvent>(json).unwrap());
                    *version += 1;
                    assert_eq!(sequence, version);
                }
            }
        }
        assert_eq!(wallets, self.wallets);
        for ((transfer, _), flight) in transfers.iter().zip(&self.flights) {
            assert_eq!(*transfer, flight.transfer);
        }
    }
}

proptest! {
    #[test]
    fn every_history_keeps_the_invariants(acts in prop::collection::vec(act(), 0..80)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        world.assert_log_tells_all();
        world.finish();
        world.assert_log_tells_all();
    }
}

/// The histories are worth something only if they come to the rare ends, too.
#[test]
fn random_histories_come_to_every_end_of_a_transfer() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..300 {
        let acts = prop::collection::vec(act(), 0..80).new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        acts.iter().for_each(|act| world.act(act));
        world.finish();
        for flight in &world.flights {
            let details = flight.transfer.details().unwrap();
            let went_back = details.debit.is_some() && details.phase == Phase::Failed;
            let why = serde_json::to_value(&details.refusal).unwrap()["code"].to_string();
            let end = format!("{:?} {went_back} {why}", details.phase);
            *ends.entry(end).or_default() += 1;
        }
    }
    for end in [
        "Completed false null",
        r#"Failed false "insufficient-funds""#,
        r#"Failed false "wallet-frozen""#,
        r#"Failed false "wallet-closed""#,
        r#"Failed false "currency-mismatch""#,
        r#"Failed false "same-wallet""#,
        r#"Failed true "balance-limit""#,
        r#"Failed true "currency-mismatch""#,
        r#"Failed true "wallet-closed""#,
        r#"Failed true "wallet-not-found""#,
    ] {
        assert!(ends.contains_key(end), "no transfer ended so: {end}; they ended {ends:#?}");
    }
}

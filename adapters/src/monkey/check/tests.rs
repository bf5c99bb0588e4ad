//! Histories that somebody made up, and what is wrong with each.

use super::*;
use crate::monkey::answer::Receipt;
use crate::monkey::plan::Order;

fn cents(cents: i64) -> Decimal {
    Decimal::new(cents, 2)
}

fn key(wallet: &str, id: &str) -> Key {
    Key { wallet: wallet.into(), request_id: id.into() }
}

fn order(wallet: &str, id: &str, kind: Kind, amount: i64) -> Order {
    Order { key: key(wallet, id), kind, amount: cents(amount) }
}

fn transfer(to: &str) -> Kind {
    Kind::Transfer { to: to.into() }
}

/// A ledger of two wallets in memory, right unless a test makes it lie.
struct Ledger {
    wallets: Readings,
    position: u64,
    /// `a` and `b` live in different partitions.
    is_split: bool,
    records: Vec<Record>,
}

impl Ledger {
    fn open() -> Self {
        Self::open_in(false)
    }

    /// `a` with 10.00, `b` with 5.00.
    fn open_in(is_split: bool) -> Self {
        let wallets = Readings::new();
        let mut ledger = Self { wallets, position: 0, is_split, records: Vec::new() };
        ledger.run(&order("a", "open", Kind::Open, 1_000));
        ledger.run(&order("b", "open", Kind::Open, 500));
        ledger
    }

    fn add(&mut self, wallet: &str, delta: Decimal) -> Reading {
        let empty = Reading { balance: Decimal::ZERO, version: 0 };
        let reading = self.wallets.entry(wallet.into()).or_insert(empty);
        *reading = Reading { balance: reading.balance + delta, version: reading.version + 1 };
        *reading
    }

    fn carry_out(&mut self, order: &Order) -> Receipt {
        let wallet = order.key.wallet.as_str();
        self.position += 1;
        let mut receipt = Receipt {
            id: format!("t{}", self.position),
            position: Some(self.position),
            ..Receipt::default()
        };
        let own = match &order.kind {
            Kind::Open | Kind::Deposit => self.add(wallet, order.amount),
            Kind::Withdraw => self.add(wallet, -order.amount),
            Kind::Transfer { to } => {
                let target = self.add(to, order.amount);
                receipt.target_balance = Some(target.balance);
                self.add(wallet, -order.amount)
            }
        };
        receipt.balance = Some(own.balance);
        if !matches!(order.kind, Kind::Transfer { .. }) {
            receipt.version = Some(own.version);
            receipt.partition = Some(u64::from(self.is_split && wallet == "b"));
        }
        receipt
    }

    fn send(&mut self, order: &Order) {
        self.records.push(Record::Sent(order.clone()));
    }

    fn answer(&mut self, key: &Key, answer: Answer, replayed: bool) {
        self.records.push(Record::Answered { key: key.clone(), answer, replayed });
    }

    fn run(&mut self, order: &Order) -> Receipt {
        self.send(order);
        let receipt = self.carry_out(order);
        self.answer(&order.key, Answer::Moved(receipt.clone()), false);
        receipt
    }

    fn refuse(&mut self, order: &Order, code: &str, available: i64) {
        let refusal = Refusal {
            status: 422,
            code: code.into(),
            available: Some(cents(available)),
            requested: Some(order.amount),
            transfer_id: None,
        };
        self.send(order);
        self.answer(&order.key, Answer::Refused(refusal), false);
    }

    /// Some traffic, so that a fault has something before it and after it.
    fn traffic(&mut self, name: &str) {
        self.run(&order("a", &format!("{name}-1"), Kind::Deposit, 111));
        self.run(&order("b", &format!("{name}-2"), transfer("a"), 123));
        self.run(&order("a", &format!("{name}-3"), Kind::Withdraw, 107));
        self.run(&order("a", &format!("{name}-4"), transfer("b"), 119));
        self.run(&order("b", &format!("{name}-5"), Kind::Deposit, 131));
    }

    fn judge(&self) -> Vec<Offence> {
        judge(&self.records, &self.wallets)
    }
}

#[test]
fn a_correct_interleaving_is_clean() {
    let mut ledger = Ledger::open();
    ledger.traffic("before");
    let orders = [
        order("a", "1", Kind::Deposit, 300),
        order("a", "2", transfer("b"), 250),
        order("b", "3", Kind::Withdraw, 200),
        order("c", "4", Kind::Deposit, 150),
        order("b", "5", transfer("c"), 100),
    ];
    orders.iter().for_each(|order| ledger.send(order));
    // Carried out in one order, answered in another.
    let receipts = [3, 1, 4, 0, 2].map(|n| (n, ledger.carry_out(&orders[n])));
    for (n, receipt) in receipts.iter().rev() {
        ledger.answer(&orders[*n].key, Answer::Moved(receipt.clone()), false);
    }
    ledger.refuse(&order("c", "6", Kind::Withdraw, 900), "insufficient-funds", 250);
    ledger.answer(&orders[1].key, Answer::Moved(receipts[1].1.clone()), true);
    ledger.traffic("after");
    assert_eq!(ledger.judge(), []);
}

#[test]
fn a_lost_deposit_is_found_and_named() {
    let mut ledger = Ledger::open();
    ledger.traffic("before");
    let before = ledger.wallets.clone();
    ledger.run(&order("a", "lost", Kind::Deposit, 307));
    ledger.wallets = before;
    ledger.traffic("after");
    let offences = ledger.judge();
    let lost = Suspicion::Lost(key("a", "lost"));
    assert!(offences.iter().any(|offence| matches!(offence,
        Offence::BrokenChain { key, suspicion, .. }
            if key.request_id == "after-1" && *suspicion == lost)));
    assert!(offences.iter().any(|offence| matches!(offence,
        Offence::WrongBalance { wallet, suspicion, .. }
            if wallet == "a" && *suspicion == lost)));
    assert!(offences.iter().any(|it| matches!(it, Offence::WrongSum { .. })));
}

#[test]
fn a_transfer_carried_out_twice_is_found_and_named() {
    let mut ledger = Ledger::open();
    ledger.traffic("before");
    let order = order("a", "twice", transfer("b"), 207);
    let receipt = ledger.run(&order);
    ledger.carry_out(&order);
    ledger.answer(&order.key, Answer::Moved(receipt), true);
    ledger.traffic("after");
    let offences = ledger.judge();
    for one in ["a", "b"] {
        let doubled = Suspicion::Doubled(order.key.clone());
        assert!(offences.iter().any(|offence| matches!(offence,
            Offence::WrongBalance { wallet, suspicion, .. }
                if wallet == one && *suspicion == doubled)));
    }
}

#[test]
fn money_made_by_one_leg_only_shows_in_the_sum() {
    let mut ledger = Ledger::open();
    ledger.run(&order("a", "1", transfer("b"), 200));
    ledger.add("b", cents(200));
    let expected = Offence::WrongSum { expected: cents(1_500), found: cents(1_700) };
    assert!(ledger.judge().contains(&expected));
}

#[test]
fn a_wrong_balance_in_an_answer_breaks_the_chain() {
    let mut ledger = Ledger::open();
    ledger.traffic("before");
    let wrong = order("a", "wrong", Kind::Deposit, 300);
    ledger.send(&wrong);
    let mut receipt = ledger.carry_out(&wrong);
    receipt.balance = receipt.balance.map(|balance| balance + cents(1));
    ledger.answer(&wrong.key, Answer::Moved(receipt), false);
    let offences = ledger.judge();
    let [Offence::BrokenChain { key, expected, found, .. }] = &offences[..] else {
        panic!("{offences:?}")
    };
    assert_eq!((key, *found - *expected), (&wrong.key, cents(1)));
}

#[test]
fn a_negative_balance_is_found() {
    let mut ledger = Ledger::open();
    ledger.run(&order("b", "1", Kind::Withdraw, 600));
    let expected = Offence::Negative { wallet: "b".into(), balance: cents(-100) };
    assert_eq!(ledger.judge(), [expected]);
}

#[test]
fn another_answer_to_the_same_key_is_found() {
    let mut ledger = Ledger::open();
    let order = order("a", "1", Kind::Deposit, 300);
    let receipt = ledger.run(&order);
    let other = Receipt { id: "t-other".into(), ..receipt };
    ledger.answer(&order.key, Answer::Moved(other), true);
    assert!(matches!(&ledger.judge()[..], [Offence::AnswersDiffer { .. }]));
}

#[test]
fn two_answers_that_claim_to_be_the_first_are_found() {
    let mut ledger = Ledger::open();
    let order = order("a", "1", Kind::Deposit, 300);
    let receipt = ledger.run(&order);
    ledger.answer(&order.key, Answer::Moved(receipt), false);
    let expected = Offence::CarriedOutAgain { key: order.key, times: 2 };
    assert_eq!(ledger.judge(), [expected]);
}

#[test]
fn two_keys_with_one_transaction_are_found() {
    let mut ledger = Ledger::open();
    let receipt = ledger.run(&order("a", "1", Kind::Deposit, 300));
    let second = order("a", "2", Kind::Deposit, 300);
    ledger.send(&second);
    ledger.answer(&second.key, Answer::Moved(receipt), false);
    let offences = ledger.judge();
    assert!(offences.iter().any(|it| matches!(it, Offence::SharedId { .. })));
    assert!(offences.iter().any(|it| matches!(it, Offence::SharedPosition { .. })));
    assert!(offences.iter().any(|it| matches!(it, Offence::WrongBalance { .. })));
}

#[test]
fn a_command_recorded_before_one_that_was_answered_when_it_was_sent_is_found() {
    let mut ledger = Ledger::open();
    let (first, second) =
        (order("a", "1", Kind::Deposit, 300), order("a", "2", Kind::Deposit, 200));
    let early = ledger.carry_out(&second);
    ledger.run(&first);
    ledger.send(&second);
    ledger.answer(&second.key, Answer::Moved(early), false);
    let (earlier, later) = (second.key, first.key);
    let expected = Offence::AgainstTime { wallet: "a".into(), earlier, later };
    assert_eq!(ledger.judge(), [expected]);
}

#[test]
fn a_plan_that_was_played_before_says_nothing_about_time() {
    let mut ledger = Ledger::open();
    let orders = [order("a", "1", Kind::Deposit, 300), order("a", "2", Kind::Deposit, 200)];
    let receipts = [0, 1].map(|n| (n, ledger.carry_out(&orders[n])));
    for (n, receipt) in receipts.into_iter().rev() {
        ledger.send(&orders[n]);
        ledger.answer(&orders[n].key, Answer::Moved(receipt), true);
    }
    assert_eq!(ledger.judge(), []);
}

#[test]
fn an_event_that_no_answer_tells_of_is_found_even_if_it_moved_nothing() {
    let mut ledger = Ledger::open();
    ledger.traffic("before");
    ledger.add("a", Decimal::ZERO);
    ledger.traffic("after");
    let offences = ledger.judge();
    assert!(matches!(&offences[..], [Offence::WrongVersion { .. }]), "{offences:?}");
}

#[test]
fn a_refusal_for_funds_that_were_there_is_found() {
    let mut ledger = Ledger::open();
    ledger.refuse(&order("a", "1", Kind::Withdraw, 900), "insufficient-funds", 1_000);
    ledger.refuse(&order("a", "2", Kind::Withdraw, 900), "insufficient-funds", 700);
    ledger.refuse(&order("a", "3", Kind::Deposit, 900), "insufficient-funds", 0);
    ledger.refuse(&order("a", "4", Kind::Deposit, 900), "wallet-frozen", 0);
    let is_right = |it: &Offence| matches!(it, Offence::WronglyRefused { .. });
    let offences = ledger.judge();
    assert!(offences.len() == 4 && offences.iter().all(is_right), "{offences:?}");
}

#[test]
fn a_wallet_may_be_unknown_until_an_answer_told_of_it() {
    let mut ledger = Ledger::open();
    ledger.refuse(&order("c", "1", Kind::Withdraw, 100), "wallet-not-found", 0);
    ledger.run(&order("c", "2", Kind::Deposit, 100));
    assert_eq!(ledger.judge(), []);
    ledger.refuse(&order("c", "3", Kind::Withdraw, 100), "wallet-not-found", 0);
    assert!(matches!(&ledger.judge()[..], [Offence::WronglyRefused { .. }]));
}

#[test]
fn a_wallet_that_is_gone_and_one_that_nobody_opened_are_found() {
    let mut ledger = Ledger::open();
    ledger.refuse(&order("c", "1", Kind::Withdraw, 100), "wallet-not-found", 0);
    ledger.wallets.insert("c".into(), Reading { balance: cents(1), version: 1 });
    ledger.wallets.remove("b");
    let offences = ledger.judge();
    assert!(offences.contains(&Offence::Vanished { wallet: "b".into() }));
    assert!(offences.contains(&Offence::Ghost { wallet: "c".into(), balance: cents(1) }));
}

#[test]
fn between_partitions_some_order_must_exist() {
    let mut ledger = Ledger::open_in(true);
    ledger.traffic("before");
    ledger.traffic("after");
    assert_eq!(ledger.judge(), []);
    let wrong = order("a", "wrong", transfer("b"), 200);
    ledger.send(&wrong);
    let mut receipt = ledger.carry_out(&wrong);
    receipt.target_balance = receipt.target_balance.map(|balance| balance + cents(1));
    ledger.answer(&wrong.key, Answer::Moved(receipt), false);
    let offences = ledger.judge();
    assert!(
        matches!(&offences[..], [Offence::TornChain { wallet, .. }] if wallet == "b"),
        "{offences:?}"
    );
}

#[test]
fn where_an_answer_tells_no_balance_the_holdings_are_checked() {
    let mut ledger = Ledger::open_in(true);
    let slow = order("a", "slow", transfer("b"), 200);
    ledger.send(&slow);
    let Receipt { id, .. } = ledger.carry_out(&slow);
    let receipt = Receipt { id, ..Receipt::default() };
    ledger.answer(&slow.key, Answer::Moved(receipt), false);
    ledger.traffic("after");
    assert_eq!(ledger.judge(), []);
    ledger.add("b", cents(-200));
    let lost = Suspicion::Lost(slow.key);
    assert!(ledger.judge().iter().any(|offence| matches!(offence,
        Offence::WrongBalance { wallet, suspicion, .. }
            if wallet == "b" && *suspicion == lost)));
}

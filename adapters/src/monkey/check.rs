//! The final verification: do the answers make sense together, and are the wallets as they say?
//!
//! In: the history, and what each wallet holds now. Out: what is wrong. Pure, so it is tested with
//! made-up histories.
//!
//! | law | how it shows |
//! |---|---|
//! | one key, one outcome | the answers to a key agree, and one at most claims to be the first |
//! | no two commands are one | ids of transactions and transfers, and positions, are unique |
//! | nothing lost or doubled | a wallet's balances form a chain; it holds opening + Σ effects |
//! | never below zero | no balance in an answer or a wallet is |
//! | a refusal has a reason | less was available than asked, and it is a balance of the chain |
//! | a wallet stays known | none is unknown once an answer told that it exists |
//! | time runs forward | what was answered before another was sent is recorded before it |
//! | money is kept | Σ wallets = Σ deposits − Σ withdrawals |
//!
//! The order of a wallet's commands is read from their answers: by version if all of them tell it,
//! else by position if all of them count in the wallet's partition. If neither will do (transfers
//! between partitions), some order must exist: the balances are the nodes of a graph, each effect
//! is an edge from the balance before it to the one after it, and there must be a walk over all
//! edges from the opening to the balance of now. Where an answer does not tell its balances either
//! (a transfer that took its time), what the wallet holds is checked and its chain is not.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Deserialize;

use super::answer::{Answer, Refusal};
use super::history::Record;
use super::model::{Account, Books, Deed, Effect};
use super::offence::{Offence, Suspicion};
use super::plan::{Key, Kind};

/// What a wallet is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Reading {
    /// Its balance.
    pub balance: Decimal,
    /// Its version.
    pub version: u64,
}

/// The wallets that exist, by id.
pub type Readings = BTreeMap<String, Reading>;

/// Everything that is wrong.
pub fn judge(records: &[Record], readings: &Readings) -> Vec<Offence> {
    let (books, mut offences) = Books::fold(records);
    offences.extend(shared_ids(&books));
    offences.extend(shared_positions(&books));
    offences.extend(books.deeds.values().filter_map(|deed| unjustified(&books, deed)));
    for (wallet, account) in &books.accounts {
        Audit { wallet, account, offences: &mut offences }.run(readings.get(*wallet));
    }
    offences.extend(wrong_sum(&books, readings));
    offences
}

fn shared_ids(books: &Books<'_>) -> Vec<Offence> {
    let ids = books.deeds.values().filter_map(|deed| match deed.outcome?.1 {
        // A wallet's id is its key's already.
        Answer::Moved(_) if deed.order.kind == Kind::Open => None,
        Answer::Moved(receipt) => Some((&receipt.id, deed)),
        Answer::Compensated { id } => Some((id, deed)),
        Answer::Refused(refusal) => Some((refusal.transfer_id.as_ref()?, deed)),
        Answer::Odd { .. } => None,
    });
    shared(ids, |id, one, other| Offence::SharedId { id: id.clone(), one, other })
}

fn shared_positions(books: &Books<'_>) -> Vec<Offence> {
    let positions = books.deeds.values().filter_map(|deed| match deed.outcome?.1 {
        Answer::Moved(receipt) => {
            Some(((books.partition_of(deed.order)?, receipt.position?), deed))
        }
        Answer::Compensated { .. } | Answer::Refused(_) | Answer::Odd { .. } => None,
    });
    shared(positions, |(partition, position), one, other| Offence::SharedPosition {
        partition,
        position,
        one,
        other,
    })
}

fn shared<'a, T: Ord + Clone>(
    all: impl Iterator<Item = (T, &'a Deed<'a>)>,
    offence: impl Fn(T, Key, Key) -> Offence,
) -> Vec<Offence> {
    let mut owners = BTreeMap::new();
    let mut offences = Vec::new();
    for (what, deed) in all {
        match owners.entry(what) {
            Entry::Vacant(free) => {
                free.insert(&deed.order.key);
            }
            Entry::Occupied(taken) => {
                let (one, other) = ((*taken.get()).clone(), deed.order.key.clone());
                offences.push(offence(taken.key().clone(), one, other));
            }
        }
    }
    offences
}

/// A refusal that the model can tell to be wrong.
fn unjustified(books: &Books<'_>, deed: &Deed<'_>) -> Option<Offence> {
    let Some((_, Answer::Refused(refusal))) = deed.outcome else {
        return None;
    };
    let why = match refusal.code.as_str() {
        "wallet-not-found" => known_wallets(books, deed),
        "insufficient-funds" => enough_funds(books, deed, refusal),
        _ => Some("nothing in the run gives cause for it".to_owned()),
    }?;
    let (key, code) = (deed.order.key.clone(), refusal.code.clone());
    Some(Offence::WronglyRefused { key, code, why })
}

fn known_wallets(books: &Books<'_>, deed: &Deed<'_>) -> Option<String> {
    let was_known = |wallet: &str| {
        let since = books.accounts.get(wallet).and_then(|account| account.known_since);
        since.is_some_and(|since| since < deed.not_before())
    };
    let own = was_known(&deed.order.key.wallet);
    let both = match &deed.order.kind {
        Kind::Transfer { to } => own && was_known(to),
        Kind::Open | Kind::Deposit | Kind::Withdraw => own,
    };
    both.then(|| "an earlier answer told that it exists".to_owned())
}

fn enough_funds(books: &Books<'_>, deed: &Deed<'_>, refusal: &Refusal) -> Option<String> {
    let amount = deed.order.amount;
    if matches!(deed.order.kind, Kind::Open | Kind::Deposit) {
        return Some("it takes nothing".to_owned());
    }
    if let Some(requested) = refusal.requested
        && requested != amount
    {
        return Some(format!("{amount} was asked, it says {requested}"));
    }
    let available = refusal.available?;
    if available >= amount {
        return Some(format!("{available} was available, {amount} was asked"));
    }
    let account = books.accounts.get(deed.order.key.wallet.as_str())?;
    let chain = account.effects.iter().map(|effect| effect.after).collect::<Option<Vec<_>>>()?;
    let had_it = account.is_shaken || available == account.opening || chain.contains(&available);
    (!had_it).then(|| format!("{available} was available, the wallet never had that balance"))
}

fn wrong_sum(books: &Books<'_>, readings: &Readings) -> Option<Offence> {
    let moved = books.deeds.values().filter_map(|deed| match deed.outcome?.1 {
        Answer::Moved(_) => Some(match deed.order.kind {
            Kind::Open | Kind::Deposit => deed.order.amount,
            Kind::Withdraw => -deed.order.amount,
            Kind::Transfer { .. } => Decimal::ZERO,
        }),
        Answer::Refused(_) | Answer::Compensated { .. } | Answer::Odd { .. } => None,
    });
    let expected = moved.sum::<Decimal>();
    let held = books.accounts.keys().filter_map(|wallet| readings.get(*wallet));
    let found = held.map(|reading| reading.balance).sum::<Decimal>();
    (expected != found).then_some(Offence::WrongSum { expected, found })
}

/// The check of one wallet.
struct Audit<'a> {
    wallet: &'a str,
    account: &'a Account<'a>,
    offences: &'a mut Vec<Offence>,
}

impl<'a> Audit<'a> {
    fn run(&mut self, reading: Option<&Reading>) {
        self.holdings(reading);
        if self.account.is_shaken {
            return;
        }
        let effects = &self.account.effects;
        let order = sorted_by(effects, |effect| effect.version)
            .or_else(|| sorted_by(effects, |effect| effect.position));
        if let Some(order) = order {
            self.chain(&order);
            self.versions(&order, reading);
            self.time(&order);
        } else {
            self.walk();
            self.versions(&[], reading);
        }
    }

    fn offend(&mut self, offence: impl FnOnce(String) -> Offence) {
        let offence = offence(self.wallet.to_owned());
        self.offences.push(offence);
    }

    fn holdings(&mut self, reading: Option<&Reading>) {
        let expected = self.account.expected();
        let told = self.account.effects.iter().filter_map(|effect| effect.after);
        let lowest = told.chain(reading.map(|reading| reading.balance)).min();
        if let Some(balance) = lowest.filter(|balance| *balance < Decimal::ZERO) {
            self.offend(|wallet| Offence::Negative { wallet, balance });
        }
        match (reading, self.account.known_since) {
            (None, None) => {}
            (None, Some(_)) => self.offend(|wallet| Offence::Vanished { wallet }),
            (Some(reading), None) => {
                let balance = reading.balance;
                self.offend(|wallet| Offence::Ghost { wallet, balance });
            }
            (Some(reading), Some(_)) if reading.balance != expected => {
                let found = reading.balance;
                let suspicion = suspect(self.account.effects.iter(), found - expected);
                self.offend(|wallet| Offence::WrongBalance { wallet, expected, found, suspicion });
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// Each balance is the one before it, more or less the amount.
    fn chain(&mut self, order: &[&'a Effect<'a>]) {
        let mut balance = self.account.opening;
        for (index, effect) in order.iter().enumerate() {
            let expected = balance + effect.delta;
            // From here on by what was answered: one fault is found once.
            balance = effect.after.unwrap_or(expected);
            if balance != expected {
                let before = order[..=index].iter().rev().copied();
                let suspicion = suspect(before, balance - expected);
                let (key, found) = (effect.key.clone(), balance);
                self.offend(|wallet| Offence::BrokenChain {
                    wallet,
                    key,
                    expected,
                    found,
                    suspicion,
                });
            }
        }
    }

    /// Each effect is one event of the wallet, so the versions count the effects: an event that no
    /// answer tells of shows as a gap, even if its money came back. Without an order, the last
    /// version still counts them all.
    fn versions(&mut self, order: &[&Effect<'_>], reading: Option<&Reading>) {
        let opened = (0, self.account.opened_at, "its opening".to_owned());
        let told = (1..).zip(order).map(|(n, it)| (n, it.version, it.key.to_string()));
        let all = u64::try_from(self.account.effects.len()).unwrap_or(u64::MAX);
        let now = (all, reading.map(|reading| reading.version), "the last answer".to_owned());
        let milestones = std::iter::once(opened).chain(told).chain([now]);
        let known = milestones.filter_map(|(n, version, name)| Some((n, version?, name)));
        let known = known.collect::<Vec<(u64, u64, String)>>();
        for (before, after) in known.iter().zip(known.iter().skip(1)) {
            let (expected, found) = (before.1 + (after.0 - before.0), after.1);
            if found != expected {
                let last = before.2.clone();
                self.offend(|wallet| Offence::WrongVersion { wallet, last, expected, found });
            }
        }
    }

    /// No command stands after one that was sent when it had been answered already.
    fn time(&mut self, order: &[&Effect<'_>]) {
        let mut first_answered_of_later: Option<&Effect<'_>> = None;
        for effect in order.iter().rev() {
            if let Some(later) =
                first_answered_of_later.filter(|it| it.answered < effect.not_before)
            {
                let (earlier, later) = (effect.key.clone(), later.key.clone());
                self.offend(|wallet| Offence::AgainstTime { wallet, earlier, later });
            }
            if first_answered_of_later.is_none_or(|it| effect.answered < it.answered) {
                first_answered_of_later = Some(effect);
            }
        }
    }

    /// Some order exists in which the balances form a chain: a walk over all edges does exactly if
    /// every balance is left as often as it is reached (the opening once more, the last once less)
    /// and all edges hang together. <https://en.wikipedia.org/wiki/Eulerian_path>
    fn walk(&mut self) {
        let edge = |effect: &Effect<'_>| effect.after.map(|after| (after - effect.delta, after));
        let edges = self.account.effects.iter().map(edge).collect::<Option<Vec<_>>>();
        let Some(edges) = edges else { return };
        let mut surplus = BTreeMap::<Decimal, i64>::new();
        *surplus.entry(self.account.opening).or_default() -= 1;
        *surplus.entry(self.account.expected()).or_default() += 1;
        for (before, after) in &edges {
            *surplus.entry(*before).or_default() += 1;
            *surplus.entry(*after).or_default() -= 1;
        }
        let reached = reachable(self.account.opening, &edges);
        let torn = surplus.iter().find(|(balance, n)| **n != 0 || !reached.contains(balance));
        if let Some((balance, _)) = torn {
            let balance = *balance;
            self.offend(|wallet| Offence::TornChain { wallet, balance });
        }
    }
}

fn sorted_by<'a, 'b>(
    effects: &'a [Effect<'b>],
    number: impl Fn(&Effect<'_>) -> Option<u64>,
) -> Option<Vec<&'a Effect<'b>>> {
    let numbered = effects.iter().map(|effect| Some((number(effect)?, effect)));
    let mut numbered = numbered.collect::<Option<Vec<_>>>()?;
    numbered.sort_by_key(|(number, _)| *number);
    Some(numbered.into_iter().map(|(_, effect)| effect).collect())
}

/// The balances that hang together with the first one.
fn reachable(from: Decimal, edges: &[(Decimal, Decimal)]) -> BTreeSet<Decimal> {
    let mut neighbours = BTreeMap::<Decimal, Vec<Decimal>>::new();
    for (before, after) in edges {
        neighbours.entry(*before).or_default().push(*after);
        neighbours.entry(*after).or_default().push(*before);
    }
    let mut reached = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(balance) = next.pop() {
        for neighbour in neighbours.get(&balance).into_iter().flatten() {
            if reached.insert(*neighbour) {
                next.push(*neighbour);
            }
        }
    }
    reached
}

/// The first effect whose loss or doubling would make the gap.
fn suspect<'a>(mut effects: impl Iterator<Item = &'a Effect<'a>>, gap: Decimal) -> Suspicion {
    match effects.find(|effect| effect.delta.abs() == gap.abs()) {
        Some(effect) if effect.delta == gap => Suspicion::Doubled(effect.key.clone()),
        Some(effect) => Suspicion::Lost(effect.key.clone()),
        None => Suspicion::Unexplained,
    }
}

#[cfg(test)]
mod tests {
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
}

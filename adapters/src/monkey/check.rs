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
mod tests;

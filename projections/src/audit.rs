//! The audit: reads the whole journal and proves that the money adds up at every position.
//!
//! ```text
//! rows ─Chain::take▶ links and events ─Audit::take▶ balances, transfers, sums ─finish▶ Findings
//!                                                   └─ compare ◀─ rows of the read models
//! ```
//!
//! | invariant | how |
//! |---|---|
//! | positions are dense, the hash chain holds | each event follows the last one of its partition |
//! | sequences are dense | each event follows the last one of its stream |
//! | no wallet below zero, balances are right | balance = balance before ± amount, in the column too |
//! | Σ wallets + in flight = Σ deposits − Σ withdrawals | per currency, after every event |
//! | money is in one place | what a transfer debits is credited or refunded once, as its stream says |
//! | read models are folds of the journal | see [`models`] |
//!
//! A problem does not end it. After a link that does not hold, the chain goes on from the hash that is
//! stored; after an event that is missing or cannot be read, its wallet goes on from the balance that
//! is recorded next. So a change is told where it is, once or twice, and what is behind it is proved.
//!
//! Partitions are read one after the other, so a credit may be met before its debit: what is in
//! flight is then negative for a while, and the sums hold all the same. Memory grows with wallets (some
//! 270 bytes each) and with transfers under way, not with events.
//!
//! An audit of a part ([`Audit::of_a_part`]) takes the first balance that it meets of a wallet as it is
//! recorded, and says nothing of sums, transfers and read models.

mod chain;
pub mod models;
mod problem;
mod transfers;
mod wallets;

pub use chain::{Chain, Checked, Fact, Flaw, Unreadable, Witness};
pub use problem::{MAX_PROBLEMS, Place, Problem, Problems};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::{Currency, TransferEvent, TransferId, WalletEvent};
use rust_decimal::Decimal;

use crate::history::{Kind, Moved, moved};
use transfers::{Path, Transfers};
use wallets::{State, Wallets};

/// The sums of one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// What came from the outside world.
    pub deposited: Decimal,
    /// What went to the outside world.
    pub withdrawn: Decimal,
    /// What all wallets hold.
    pub in_wallets: Decimal,
    /// What has left a source and has not arrived.
    pub in_flight: Decimal,
}

impl Totals {
    /// What there is too much, or too little; zero in a ledger that is in order.
    pub fn difference(&self) -> Decimal {
        let here = self.in_wallets.saturating_add(self.in_flight);
        here.saturating_sub(self.deposited.saturating_sub(self.withdrawn))
    }
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many events there are.
    pub events: u64,
    /// How many wallets.
    pub wallets: usize,
    /// How many transfers have not ended.
    pub unfinished: usize,
    /// The sums, by currency.
    pub totals: BTreeMap<Currency, Totals>,
}

/// What was read, and what is not in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What was read.
    pub summary: Summary,
    /// What is not as it must be.
    pub problems: Problems,
    /// The transfers that have not ended, and where they were last seen.
    pub unfinished: Vec<(TransferId, Place)>,
}

/// The fold. Feed it every event of each partition in order, then [`Audit::finish`].
#[derive(Debug, Default)]
pub struct Audit {
    is_of_a_part: bool,
    events: u64,
    wallets: Wallets,
    transfers: Transfers,
    totals: BTreeMap<Currency, Totals>,
    /// By how much the sums are known to be wrong.
    known: HashMap<Currency, Decimal>,
    problems: Problems,
}

/// Proves a journal that is in memory.
pub fn prove(events: impl IntoIterator<Item = RecordedEvent>) -> Findings {
    let mut audit = Audit::default();
    let mut chains: HashMap<u32, Chain> = HashMap::new();
    for event in events {
        let chain = chains.entry(event.partition);
        let chain = chain.or_insert_with_key(|partition| Chain::whole(*partition, Vec::new()));
        audit.take(chain.take(event));
    }
    audit.finish()
}

impl Audit {
    /// Of events that are not all there are.
    pub fn of_a_part() -> Self {
        Self { is_of_a_part: true, ..Self::default() }
    }

    /// Takes the next event of its partition.
    pub fn take(&mut self, checked: Checked) {
        self.events += 1;
        let Checked { place, flaws, fact } = checked;
        for flaw in &flaws {
            self.problems.add(flaw.place(place), flaw.at(place.1));
        }
        let Some(fact) = fact else { return };
        match &fact.event {
            Some(Event::Wallet(event)) => self.take_wallet(place, &fact, Some(event)),
            Some(Event::Transfer(event)) => self.take_transfer(place, &fact, Some(event)),
            None if fact.is_of_wallet => self.take_wallet(place, &fact, None),
            None => self.take_transfer(place, &fact, None),
        }
    }

    /// A partition was read from a chain's beginning to its end, which is to be where its head says.
    pub fn end(&mut self, partition: u32, last: u64, head: u64) {
        if last < head {
            let what = chain::missing(last + 1, head);
            self.problems.add((partition, last + 1), what);
        }
    }

    /// What is known by now not to be as it must be.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// Notes a problem that was found elsewhere.
    pub fn note(&mut self, place: impl Into<Option<Place>>, what: impl std::fmt::Display) {
        self.problems.add(place, what);
    }

    /// What was found, once every event was taken.
    pub fn finish(mut self) -> Findings {
        let mut unfinished = Vec::new();
        let left = match self.is_of_a_part {
            true => Vec::new(),
            false => std::mem::take(&mut self.transfers).into_left(),
        };
        for (id, path) in left {
            match path.verdict() {
                Ok(true) => {}
                Ok(false) => unfinished.push((id, path.place)),
                // Why is told already.
                Err(_) if path.is_torn => {}
                Err(what) => self.problems.add(path.place, format_args!("transfer {id} {what}")),
            }
        }
        let summary = Summary {
            events: self.events,
            wallets: self.wallets.len(),
            unfinished: unfinished.len(),
            totals: if self.is_of_a_part { BTreeMap::new() } else { self.totals },
        };
        Findings { summary, problems: self.problems, unfinished }
    }

    fn take_wallet(&mut self, place: Place, fact: &Fact, event: Option<&WalletEvent>) {
        let (number, is_known) = self.wallets.meet(Arc::clone(&fact.stream));
        let Some(wallet) = self.wallets.change(number, place) else { return };
        let is_first = !is_known && self.is_of_a_part;
        // What it held is not known where an event is missing, or cannot be read.
        let mut is_torn = is_first || event.is_none();
        if fact.sequence != wallet.version + 1 && !is_first {
            let (given, known) = (fact.sequence, wallet.version);
            self.problems.add(place, format_args!("sequence {given} follows {known}"));
            is_torn = true;
        }
        let before = wallet.balance;
        (wallet.partition, wallet.position) = place;
        wallet.version = fact.sequence;
        wallet.updated_at = fact.recorded_at.timestamp_micros();
        let moved = event.and_then(moved);
        let currency = moved.as_ref().map(|moved| moved.currency);
        if let Some(event) = event {
            let is_opening = matches!(event, WalletEvent::WalletOpened { .. });
            if wallet.currency.is_none() && !is_opening && !is_torn {
                self.problems.add(place, "the wallet was never opened");
            }
            wallet.take_status(event, fact.recorded_at);
            wallet.currency = wallet.currency.or(currency);
        }
        // Of an event that moves nothing, and of one that is the first to be met, the column is believed.
        let recorded = fact.balance.unwrap_or(before);
        wallet.balance = match &moved {
            Some(moved) => moved.balance,
            None if is_torn => recorded,
            None => wallet.balance,
        };
        check_balance(&mut self.problems, place, wallet, fact);
        let after = wallet.balance;
        let change = after.saturating_sub(before);
        if let (Some(moved), Some(own)) = (&moved, wallet.currency) {
            check_movement(&mut self.problems, place, moved, own);
            wallet.count(moved.kind, moved.amount, moved.balance);
            self.book(place, moved);
        }
        let by = moved.as_ref().map_or(Decimal::ZERO, Moved::change);
        if change != by && !is_torn {
            self.problems.add(place, format_args!("balance {after} follows {before} by {by}"));
            is_torn = true;
        }
        self.add_up(place, number, change, is_torn);
    }

    /// Books what a wallet's change adds to the sums. Where it is known why they do not add up any
    /// more, they are not complained of again.
    fn add_up(&mut self, place: Place, number: u32, change: Decimal, is_torn: bool) {
        let wallet = self.wallets.change(number, place);
        let Some(currency) = wallet.and_then(|wallet| wallet.currency) else { return };
        let totals = self.totals.entry(currency).or_default();
        totals.in_wallets = totals.in_wallets.saturating_add(change);
        let difference = totals.difference();
        let known = self.known.entry(currency).or_default();
        if difference != *known {
            if !is_torn && !self.is_of_a_part {
                let what =
                    format_args!("the sums of {currency} are wrong by {difference} from here");
                self.problems.add(place, what);
            }
            *known = difference;
        }
    }

    /// Books the other side of a wallet's movement.
    fn book(&mut self, place: Place, moved: &Moved<'_>) {
        let totals = self.totals.entry(moved.currency).or_default();
        let (id, amount) = (TransferId(moved.reference), moved.amount);
        match moved.kind {
            Kind::Deposit => add(&mut totals.deposited, amount),
            Kind::Withdrawal => add(&mut totals.withdrawn, amount),
            Kind::TransferOut => {
                add(&mut totals.in_flight, amount);
                self.leg(place, id, |path| add(&mut path.debited, amount));
            }
            Kind::TransferIn => {
                add(&mut totals.in_flight, -amount);
                self.leg(place, id, |path| add(&mut path.credited, amount));
            }
            Kind::TransferRefund => {
                add(&mut totals.in_flight, -amount);
                self.leg(place, id, |path| add(&mut path.refunded, amount));
            }
        }
    }

    fn leg(&mut self, place: Place, id: TransferId, note: impl FnOnce(&mut Path)) {
        if self.is_of_a_part {
            return;
        }
        note(self.transfers.at(id, place));
        self.transfers.forget_if_over(id);
    }

    fn take_transfer(&mut self, place: Place, fact: &Fact, event: Option<&TransferEvent>) {
        let Ok(id) = fact.stream.parse().map(TransferId) else {
            return self.problems.add(place, "a transfer's id is a UUID");
        };
        let path = self.transfers.at(id, place);
        let is_first = self.is_of_a_part && path.version == 0;
        if fact.sequence != path.version + 1 && !is_first {
            let (given, known) = (fact.sequence, path.version);
            self.problems.add(place, format_args!("sequence {given} follows {known}"));
            path.is_torn = true;
        }
        path.version = fact.sequence;
        let Some(event) = event else {
            path.is_torn = true;
            return;
        };
        path.transfer.apply_event(event);
        let has_moved = path.debited != Decimal::ZERO;
        let source = path.transfer.details().map(|details| details.from.clone());
        let end = match event {
            TransferEvent::TransferCompleted(_) => Some(0),
            TransferEvent::TransferFailed { .. } => Some(1),
            TransferEvent::TransferInitiated { .. }
            | TransferEvent::TransferDebited(_)
            | TransferEvent::TransferCompensated { .. } => None,
        };
        if let (Some(failed), Some(source), true) = (end, source, has_moved) {
            let number = self.wallets.number(source.as_str());
            if let Some(wallet) = number.and_then(|number| self.wallets.change(number, place)) {
                wallet.pending = wallet.pending.saturating_sub(1);
                wallet.failed += failed;
            }
        }
        match self.is_of_a_part && end.is_some() {
            true => self.transfers.forget(id),
            false => self.transfers.forget_if_over(id),
        }
    }
}

impl Moved<'_> {
    /// By how much the wallet holds more afterwards.
    fn change(&self) -> Decimal {
        if self.kind.is_in() { self.amount } else { -self.amount }
    }
}

/// What somebody wrote into the journal may pass what an amount holds.
fn add(sum: &mut Decimal, amount: Decimal) {
    *sum = sum.saturating_add(amount);
}

/// The column says what the event says.
fn check_balance(problems: &mut Problems, place: Place, wallet: &State, fact: &Fact) {
    let balance = wallet.balance;
    match fact.balance {
        Some(stored) if stored == balance && balance >= Decimal::ZERO => {}
        Some(stored) => problems.add(place, format_args!("balance {balance}, stored {stored}")),
        None => problems.add(place, format_args!("balance {balance}, stored none")),
    }
}

fn check_movement(problems: &mut Problems, place: Place, moved: &Moved<'_>, own: Currency) {
    let (amount, currency) = (moved.amount, moved.currency);
    if currency != own || amount <= Decimal::ZERO {
        problems.add(place, format_args!("moves {amount} {currency} in a wallet of {own}"));
    }
}

#[cfg(test)]
mod tests;

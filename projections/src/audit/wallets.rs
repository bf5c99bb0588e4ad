//! Every wallet as the fold has it, packed: there may be a million of them.
//!
//! A read model is compared with what the fold had at the checkpoint of the model. That is what it has
//! in the end, but for wallets that moved in between: of those a copy is kept for the model when they
//! first do. It costs nothing while the models keep up.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_domain::money::zero;
use florin_domain::wallet::Status;
use florin_domain::{Currency, WalletEvent};
use rust_decimal::Decimal;

use super::problem::Place;
use crate::history::Kind;

/// How many wallets lie in one piece of memory: some hundred kilobytes. Were they all in one, it would
/// have to be copied whenever it grows, and be there twice meanwhile.
const PIECE: usize = 1_024;

/// The headings of `stats`.
pub(super) const HEADINGS: usize = 4;

/// A wallet, and the sums that its rows in the read models must have. Amounts are in its currency.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// None while it was not opened.
    pub(super) currency: Option<Currency>,
    pub(super) status: Status,
    pub(super) partition: u32,
    /// The sequence and the position of its last event, and when that was recorded.
    pub(super) version: u64,
    pub(super) position: u64,
    pub(super) updated_at: i64,
    pub(super) balance: Decimal,
    /// Of what never changes: see [`fingerprint`].
    pub(super) fingerprint: u64,
    /// Deposited, withdrawn, transferred in, and transferred out without what came back.
    pub(super) sums: [Decimal; HEADINGS],
    pub(super) counts: [i32; HEADINGS],
    /// Its movements, and how many of those that went out are under way, and failed.
    pub(super) entries: u32,
    pub(super) pending: u32,
    pub(super) failed: u32,
    /// The sum of [`weight`] times position over its movements, and that of the balances after them.
    pub(super) places: u64,
    pub(super) balances: Decimal,
    /// The sum of what came less what went, each times [`factor`]: a change of two amounts that leaves
    /// the balance as it is changes this.
    pub(super) amounts: Decimal,
    /// The last of them.
    pub(super) moved: u64,
    pub(super) moved_at: i64,
}

impl State {
    const UNOPENED: Self = Self {
        currency: None,
        status: Status::Active,
        partition: 0,
        version: 0,
        position: 0,
        updated_at: 0,
        balance: Decimal::ZERO,
        fingerprint: 0,
        sums: [Decimal::ZERO; HEADINGS],
        counts: [0; HEADINGS],
        entries: 0,
        pending: 0,
        failed: 0,
        places: 0,
        balances: Decimal::ZERO,
        amounts: Decimal::ZERO,
        moved: 0,
        moved_at: 0,
    };

    /// Where its last event is.
    pub(super) fn place(&self) -> Place {
        (self.partition, self.position)
    }

    /// Takes what an event that moves no money changes.
    pub(super) fn take_status(&mut self, event: &WalletEvent, at: DateTime<Utc>) {
        match event {
            WalletEvent::WalletOpened { currency, owner, metadata } => {
                self.currency = Some(*currency);
                self.balance = zero(*currency);
                let owner = owner.as_ref().map(|owner| owner.as_str());
                let metadata = metadata.as_ref().map(ToString::to_string);
                self.fingerprint = fingerprint(owner, metadata.as_deref(), at);
            }
            WalletEvent::WalletFrozen { .. } => self.status = Status::Frozen,
            WalletEvent::WalletUnfrozen { .. } => self.status = Status::Active,
            WalletEvent::WalletClosed { .. } => self.status = Status::Closed,
            WalletEvent::FundsDeposited { .. }
            | WalletEvent::FundsWithdrawn { .. }
            | WalletEvent::FundsDebited { .. }
            | WalletEvent::FundsCredited { .. }
            | WalletEvent::FundsRefunded { .. } => {}
        }
    }

    /// Counts a movement of its money.
    pub(super) fn count(&mut self, kind: Kind, amount: Decimal, balance: Decimal) {
        let signed = if kind.is_in() { amount } else { -amount };
        let weighted = signed.saturating_mul(factor(self.position).into());
        self.amounts = self.amounts.saturating_add(weighted);
        let (heading, amount, one) = match kind {
            Kind::Deposit => (0, amount, 1),
            Kind::Withdrawal => (1, amount, 1),
            Kind::TransferIn => (2, amount, 1),
            Kind::TransferOut => (3, amount, 1),
            Kind::TransferRefund => (3, -amount, -1),
        };
        if let (Some(sum), Some(count)) = (self.sums.get_mut(heading), self.counts.get_mut(heading))
        {
            *sum = sum.saturating_add(amount);
            *count += one;
        }
        self.entries += 1;
        self.places = self.places.wrapping_add(weight(kind).wrapping_mul(self.position));
        self.balances = self.balances.saturating_add(balance);
        self.pending += u32::from(kind == Kind::TransferOut);
        (self.moved, self.moved_at) = (self.position, self.updated_at);
    }
}

/// What a kind of movement counts for in [`State::places`].
pub(super) fn weight(kind: Kind) -> u64 {
    match kind {
        Kind::Deposit => 1,
        Kind::Withdrawal => 2,
        Kind::TransferIn => 3,
        Kind::TransferOut => 4,
        Kind::TransferRefund => 5,
    }
}

/// A prime near a hundred: an amount gets two more digits by it, and rarely the same as another one.
pub(super) const FACTORS: u64 = 97;

/// By what an amount is multiplied in [`State::amounts`].
fn factor(position: u64) -> u64 {
    1 + position % FACTORS
}

/// Of what a wallet is opened with, in 64 bits: beside a row, which somebody may have changed, that is
/// enough to tell whether they did.
pub(super) fn fingerprint(
    owner: Option<&str>,
    metadata: Option<&str>,
    opened_at: DateTime<Utc>,
) -> u64 {
    let mut hasher = DefaultHasher::new();
    (owner, metadata, opened_at.timestamp_micros()).hash(&mut hasher);
    hasher.finish()
}

/// What a read model is compared with.
#[derive(Debug)]
struct Standing {
    name: &'static str,
    /// Its checkpoint in each partition.
    checkpoints: BTreeMap<u32, u64>,
    /// That in the partition that is read.
    checkpoint: u64,
    /// The wallets that have moved since, as they were.
    before: HashMap<u32, Box<State>>,
}

/// Every wallet that was met.
#[derive(Debug, Default)]
pub(super) struct Wallets {
    numbers: HashMap<Arc<str>, u32>,
    pieces: Vec<Vec<State>>,
    standings: Vec<Standing>,
    partition: Option<u32>,
}

impl Wallets {
    /// Keeps what a read model is to be compared with.
    pub(super) fn stand(&mut self, name: &'static str, checkpoints: BTreeMap<u32, u64>) {
        self.standings.push(Standing { name, checkpoints, checkpoint: 0, before: HashMap::new() });
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of a wallet, and whether it was met before.
    pub(super) fn meet(&mut self, id: Arc<str>) -> (u32, bool) {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        match self.numbers.entry(id) {
            Entry::Occupied(known) => (*known.get(), true),
            Entry::Vacant(new) => {
                new.insert(next);
                match self.pieces.last_mut() {
                    Some(piece) if piece.len() < PIECE => piece.push(State::UNOPENED),
                    Some(_) | None => {
                        let mut piece = Vec::with_capacity(PIECE);
                        piece.push(State::UNOPENED);
                        self.pieces.push(piece);
                    }
                }
                (next, false)
            }
        }
    }

    /// The number of a wallet that was met.
    pub(super) fn number(&self, id: &str) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    /// A wallet that an event at that place is about to change; for read models that are not that far
    /// it stays as it is. Only for a number that [`Self::meet`] gave.
    pub(super) fn change(&mut self, number: u32, place: Place) -> Option<&mut State> {
        if self.partition != Some(place.0) {
            self.partition = Some(place.0);
            for standing in &mut self.standings {
                standing.checkpoint = standing.checkpoints.get(&place.0).copied().unwrap_or(0);
            }
        }
        let (piece, index) = split(number);
        let state = self.pieces.get_mut(piece)?.get_mut(index)?;
        for standing in &mut self.standings {
            if place.1 > standing.checkpoint && !standing.before.contains_key(&number) {
                standing.before.insert(number, Box::new(state.clone()));
            }
        }
        Some(state)
    }

    /// The wallet as it was at the checkpoint of a read model.
    pub(super) fn as_of(&self, model: &str, number: u32) -> Option<&State> {
        let standing = self.standings.iter().find(|standing| standing.name == model)?;
        if let Some(state) = standing.before.get(&number) {
            return Some(state);
        }
        let (piece, index) = split(number);
        self.pieces.get(piece)?.get(index)
    }

    /// The wallets and their numbers, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, u32)> {
        self.numbers.iter().map(|(id, number)| (&**id, *number))
    }
}

fn split(number: u32) -> (usize, usize) {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    (number / PIECE, number % PIECE)
}

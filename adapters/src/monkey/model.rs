//! The oracle: what the ledger must look like by its own answers.
//!
//! ```text
//! records ─settle→ deeds (one per key, with its one outcome) ─post→ accounts (one per wallet)
//! ```
//!
//! A pure fold. Settling finds what is wrong with the answers to one key; what is wrong between
//! keys and between answers and wallets is for [`super::check`].

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::answer::{Answer, Receipt};
use super::history::Record;
use super::offence::Offence;
use super::plan::{Key, Kind, Order};

/// A key and what became of it.
#[derive(Debug)]
pub struct Deed<'a> {
    /// What was sent.
    pub order: &'a Order,
    /// When it first was.
    sent: usize,
    /// When it was first answered, and how.
    pub outcome: Option<(usize, &'a Answer)>,
    /// How many of its answers claim to be the first.
    fresh: usize,
}

/// What one deed did to one wallet.
#[derive(Clone, Copy, Debug)]
pub struct Effect<'a> {
    /// By which order.
    pub key: &'a Key,
    /// By how much.
    pub delta: Decimal,
    /// The balance after it, if the answer told.
    pub after: Option<Decimal>,
    /// The wallet's version after it, if the answer told.
    pub version: Option<u64>,
    /// The position in the wallet's own partition, if that is known. A transfer between partitions
    /// has its position in one of them, and does not say for which of its events.
    pub position: Option<u64>,
    /// It was carried out after this.
    pub not_before: usize,
    /// It was carried out before this.
    pub answered: usize,
}

/// A wallet as the answers tell of it.
#[derive(Debug, Default)]
pub struct Account<'a> {
    /// The balance that it was opened with; zero if its first money opened it.
    pub opening: Decimal,
    /// Its version when it was opened, if an order did that.
    pub opened_at: Option<u64>,
    /// When an answer first told that it exists.
    pub known_since: Option<usize>,
    /// In the order of their keys.
    pub effects: Vec<Effect<'a>>,
    /// Money left it and came back in between: its balances cannot be told from the answers.
    pub is_shaken: bool,
}

impl Account<'_> {
    /// What it must hold.
    pub fn expected(&self) -> Decimal {
        self.opening + self.effects.iter().map(|effect| effect.delta).sum::<Decimal>()
    }
}

/// All keys and all wallets of a history.
#[derive(Debug, Default)]
pub struct Books<'a> {
    /// By key.
    pub deeds: BTreeMap<&'a Key, Deed<'a>>,
    /// By wallet: every one that an order names.
    pub accounts: BTreeMap<&'a str, Account<'a>>,
    /// The partition of each wallet whose answers told it.
    pub partitions: BTreeMap<&'a str, u64>,
}

impl<'a> Books<'a> {
    /// Folds a history, and says what is wrong with the answers to single keys.
    pub fn fold(records: &'a [Record]) -> (Self, Vec<Offence>) {
        let mut books = Self::default();
        let offences = books.settle(records);
        books.place();
        books.post();
        (books, offences)
    }

    fn settle(&mut self, records: &'a [Record]) -> Vec<Offence> {
        let mut offences = Vec::new();
        for (index, record) in records.iter().enumerate() {
            match record {
                Record::Sent(order) => {
                    self.deeds.entry(&order.key).or_insert(Deed {
                        order,
                        sent: index,
                        outcome: None,
                        fresh: 0,
                    });
                }
                Record::Answered { key, answer, replayed } => match self.deeds.get_mut(key) {
                    Some(deed) => offences.extend(deed.hear(index, answer, *replayed)),
                    None => offences.push(bad_answer(key, "answered, and never sent")),
                },
            }
        }
        let again = self.deeds.values().filter(|deed| deed.fresh > 1);
        offences.extend(again.map(|deed| Offence::CarriedOutAgain {
            key: deed.order.key.clone(),
            times: deed.fresh,
        }));
        offences
    }

    /// Learns the partition of each wallet from the answers that name one wallet only.
    fn place(&mut self) {
        for deed in self.deeds.values() {
            if let Some((_, Answer::Moved(receipt))) = deed.outcome
                && let Some(partition) = receipt.partition
                && !matches!(deed.order.kind, Kind::Transfer { .. })
            {
                self.partitions.insert(&deed.order.key.wallet, partition);
            }
        }
    }

    /// The partition that a receipt's position counts in, if that is certain.
    pub fn partition_of(&self, order: &Order) -> Option<u64> {
        let own = *self.partitions.get(order.key.wallet.as_str())?;
        let other = match &order.kind {
            Kind::Transfer { to } => *self.partitions.get(to.as_str())?,
            Kind::Open | Kind::Deposit | Kind::Withdraw => own,
        };
        (own == other).then_some(own)
    }

    fn post(&mut self) {
        let mut accounts = BTreeMap::<&str, Account<'_>>::new();
        for deed in self.deeds.values() {
            accounts.entry(&deed.order.key.wallet).or_default();
            if let Kind::Transfer { to } = &deed.order.kind {
                accounts.entry(to).or_default();
            }
            match deed.outcome {
                Some((at, Answer::Moved(receipt))) => {
                    let is_placed = self.partition_of(deed.order).is_some();
                    for (wallet, effect) in deed.effects(at, receipt, is_placed) {
                        accounts.entry(wallet).or_default().take(deed.order, effect);
                    }
                }
                Some((_, Answer::Compensated { .. })) => {
                    accounts.entry(&deed.order.key.wallet).or_default().is_shaken = true;
                }
                Some((_, Answer::Refused(_) | Answer::Odd { .. })) | None => {}
            }
        }
        self.accounts = accounts;
    }
}

impl<'a> Deed<'a> {
    /// It was decided after this. If every answer was a replay, the first one was lost, or given to
    /// an earlier run of the same plan: then it may have been decided at any time before.
    pub fn not_before(&self) -> usize {
        if self.fresh > 0 { self.sent } else { 0 }
    }

    /// The transfer that the answer tells of, and the status that it must have on record.
    pub fn transfer(&self) -> Option<(&'a str, &'static str)> {
        match (self.outcome?.1, &self.order.kind) {
            (Answer::Moved(receipt), Kind::Transfer { .. }) => Some((&receipt.id, "completed")),
            (Answer::Compensated { id }, _) => Some((id, "failed")),
            (Answer::Refused(refusal), _) => Some((refusal.transfer_id.as_deref()?, "failed")),
            (Answer::Moved(_), Kind::Open | Kind::Deposit | Kind::Withdraw)
            | (Answer::Odd { .. }, _) => None,
        }
    }

    fn hear(&mut self, index: usize, answer: &'a Answer, replayed: bool) -> Option<Offence> {
        let key = &self.order.key;
        if let Answer::Odd { why } = answer {
            self.outcome.get_or_insert((index, answer));
            return Some(bad_answer(key, why));
        }
        self.fresh += usize::from(!replayed);
        match self.outcome {
            Some((_, first)) if !first.agrees_with(answer) => Some(Offence::AnswersDiffer {
                key: key.clone(),
                first: first.to_string(),
                later: answer.to_string(),
            }),
            Some((_, Answer::Odd { .. })) | None => {
                self.outcome = Some((index, answer));
                None
            }
            Some(_) => None,
        }
    }

    fn effects(
        &self,
        answered: usize,
        receipt: &Receipt,
        is_placed: bool,
    ) -> Vec<(&'a str, Effect<'a>)> {
        let Order { key, kind, amount } = self.order;
        let own = Effect {
            key,
            delta: *amount,
            after: receipt.balance,
            version: receipt.version,
            position: receipt.position.filter(|_| is_placed),
            not_before: self.not_before(),
            answered,
        };
        match kind {
            Kind::Open | Kind::Deposit => vec![(&key.wallet, own)],
            Kind::Withdraw => vec![(&key.wallet, Effect { delta: -amount, ..own })],
            Kind::Transfer { to } => {
                let target = Effect {
                    after: receipt.target_balance,
                    version: receipt.target_version,
                    ..own
                };
                let source = Effect {
                    delta: -amount,
                    after: receipt.balance,
                    version: receipt.version,
                    ..own
                };
                vec![(&key.wallet, source), (to, target)]
            }
        }
    }
}

impl<'a> Account<'a> {
    fn take(&mut self, order: &Order, effect: Effect<'a>) {
        let known = self.known_since.get_or_insert(effect.answered);
        *known = effect.answered.min(*known);
        match order.kind {
            Kind::Open => {
                self.opening = effect.delta;
                self.opened_at = effect.version;
            }
            Kind::Deposit | Kind::Withdraw | Kind::Transfer { .. } => self.effects.push(effect),
        }
    }
}

fn bad_answer(key: &Key, why: &str) -> Offence {
    Offence::BadAnswer { to: key.to_string(), why: why.to_owned() }
}

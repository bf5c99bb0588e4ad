//! What can be found out of an event and the hash before it alone: whether it is where it must be,
//! whether the chain holds there, and what it says.
//!
//! It needs nothing of the balances, so that it is done beside the fold, a page ahead of it. After a
//! link that does not hold the chain goes on from the hash that is stored: one change is one problem
//! or two, and what is behind it is proved all the same.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_domain::journal::{Event, GENESIS, Hash, RecordedEvent};
use florin_domain::upcast::decode;
use rust_decimal::Decimal;

use super::problem::Place;

/// A row of the journal that is no event of this ledger: a kind of aggregate that there is not, a
/// hash that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it is.
    pub position: u64,
    /// The chain up to it, if it says so.
    pub hash: Option<Hash>,
    /// What is wrong with it.
    pub cause: String,
}

/// What somebody else says of an event: its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Which.
    pub position: u64,
    /// Its hash.
    pub hash: Hash,
    /// Who says so.
    pub who: Arc<str>,
}

/// The chain of one partition, as far as it was read.
#[derive(Debug, Clone)]
pub struct Chain {
    partition: u32,
    position: u64,
    /// That of the last event; not known where that is missing.
    hash: Option<Hash>,
    recorded_at: Option<DateTime<Utc>>,
    /// In the order of their positions, the last one first.
    witnesses: Vec<Witness>,
}

/// An event as the fold takes it, and what is wrong with it by itself.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Where it is.
    pub place: Place,
    /// What is wrong.
    pub flaws: Vec<Flaw>,
    /// What it is; nothing where the row cannot be read.
    pub fact: Option<Fact>,
}

/// What the fold needs of an event.
#[derive(Debug, Clone)]
pub struct Fact {
    /// The wallet or transfer.
    pub stream: Arc<str>,
    /// Whether it is a wallet.
    pub is_of_wallet: bool,
    /// Its number there.
    pub sequence: u64,
    /// What the wallet holds after it, as its column has it.
    pub balance: Option<Decimal>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// What happened; nothing where this version cannot read that.
    pub event: Option<Event>,
}

/// What is wrong with one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// From that position to the one before it there is nothing.
    Missing(u64),
    /// It does not come after that position, which was read before it.
    Follows(u64),
    /// The chain does not hold.
    Broken,
    /// The clock ran backwards.
    Earlier,
    /// It has another hash than somebody says.
    Unlike(Arc<str>),
    /// It cannot be read.
    Unreadable(String),
}

impl Flaw {
    /// Where it is, for an event at a place.
    pub fn place(&self, (partition, position): Place) -> Place {
        match self {
            Self::Missing(from) => (partition, *from),
            Self::Follows(_)
            | Self::Broken
            | Self::Earlier
            | Self::Unlike(_)
            | Self::Unreadable(_) => (partition, position),
        }
    }

    /// What it is, for an event at a position.
    pub fn at(&self, position: u64) -> String {
        match self {
            Self::Missing(from) => missing(*from, position - 1),
            Self::Follows(last) => format!("follows position {last}"),
            Self::Broken => "its hash does not match its content and what is before it".to_owned(),
            Self::Earlier => "it was recorded earlier than the event before it".to_owned(),
            Self::Unlike(who) => format!("its hash is not the one that {who} has"),
            Self::Unreadable(cause) => format!("it cannot be read: {cause}"),
        }
    }
}

/// That there is nothing from one position to another, both included.
pub(super) fn missing(from: u64, to: u64) -> String {
    match to - from {
        0 => "the event is missing".to_owned(),
        more => format!("{} events are missing, up to position {to}", more + 1),
    }
}

impl Chain {
    /// From the first event on.
    pub fn whole(partition: u32, witnesses: Vec<Witness>) -> Self {
        Self::after(partition, 0, Some(GENESIS), witnesses)
    }

    /// From the event after a position on. Without its hash, the first link cannot be proved.
    pub fn after(
        partition: u32,
        position: u64,
        hash: Option<Hash>,
        mut witnesses: Vec<Witness>,
    ) -> Self {
        witnesses.sort_by_key(|witness| std::cmp::Reverse(witness.position));
        Self { partition, position, hash, recorded_at: None, witnesses }
    }

    /// The last position that was read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes the next event.
    pub fn take(&mut self, recorded: RecordedEvent) -> Checked {
        let mut flaws = Vec::new();
        self.step(recorded.position, Some(&recorded.hash), &mut flaws);
        if self.hash.is_some_and(|hash| recorded.chained(&hash) != recorded.hash) {
            flaws.push(Flaw::Broken);
        }
        if self.recorded_at.is_some_and(|before| recorded.recorded_at < before) {
            flaws.push(Flaw::Earlier);
        }
        let event = match decode(&recorded) {
            Ok(event) if event.name() != recorded.event_type => {
                let cause = format!("it says that it is a {}", recorded.event_type);
                flaws.push(Flaw::Unreadable(cause));
                None
            }
            Ok(event) => Some(event),
            Err(error) => {
                let (name, version) = (&recorded.event_type, &recorded.event_version);
                flaws.push(Flaw::Unreadable(format!("{name} {version}: {}", error.cause)));
                None
            }
        };
        (self.position, self.hash) = (recorded.position, Some(recorded.hash));
        self.recorded_at = Some(recorded.recorded_at);
        Checked {
            place: (self.partition, recorded.position),
            flaws,
            fact: Some(Fact {
                is_of_wallet: recorded.aggregate_type == "Wallet",
                stream: recorded.aggregate_id,
                sequence: recorded.sequence,
                balance: recorded.balance,
                recorded_at: recorded.recorded_at,
                event,
            }),
        }
    }

    /// Takes a row that is no event.
    pub fn take_unreadable(&mut self, row: Unreadable) -> Checked {
        let mut flaws = Vec::new();
        self.step(row.position, row.hash.as_ref(), &mut flaws);
        flaws.push(Flaw::Unreadable(row.cause));
        (self.position, self.hash) = (row.position, row.hash);
        Checked { place: (self.partition, row.position), flaws, fact: None }
    }

    /// Whether it is the next one, and what is said of it.
    fn step(&mut self, position: u64, hash: Option<&Hash>, flaws: &mut Vec<Flaw>) {
        if position <= self.position {
            flaws.push(Flaw::Follows(self.position));
        } else if position > self.position + 1 {
            flaws.push(Flaw::Missing(self.position + 1));
            // What is missing would be under the hash.
            self.hash = None;
        }
        while let Some(witness) = self.witnesses.pop_if(|next| next.position <= position) {
            if witness.position == position && hash != Some(&witness.hash) {
                flaws.push(Flaw::Unlike(witness.who));
            }
        }
    }
}

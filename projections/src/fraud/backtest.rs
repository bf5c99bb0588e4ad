//! What other rules would have found in the past, beside what the live ones did find. Nothing is
//! written: events go in, counts and the first differences come out.
//!
//! ```text
//! RecordedEvents ─▶ Movement ─▶ WalletHistory by the candidate ─▶ alerts ─┐
//!                          └──▶ WalletHistory by other rules   ─▶ alerts ─┼─▶ Found
//!                               or: fraud_alerts, as they are ────────────┘
//! ```
//!
//! **The same alerts.** The domain's rules judge the same movements in the same order as the read model
//! does, so an alert has the same id on both sides when both found it. An event that nobody can read is
//! left out, as the read model does once its dead letter is discarded.
//!
//! **Warm.** What is counted begins after a position; what is read begins earlier, because the rules
//! remember. How much earlier cannot be said beforehand: a wallet is known exactly from when it has
//! rested for longer than the longest window ([`Settings::window`]), or from its first event on. One that
//! never rested while the fold warmed up makes it [`Stop::Cold`], and whoever reads begins with the first
//! event then, where nothing is unknown.
//!
//! **Memory.** A wallet is forgotten when it has rested for longer than the window: that loses nothing.
//! What is left grows with the wallets that move within one window. Beyond [`MEMORY`] the fold does not
//! forget more, which would change what it finds: it is [`Stop::Full`], and the wallets are divided into
//! two halves, each with a fold of its own from the beginning. Wallets know nothing of each other, so the
//! halves find together what one fold would have found.

mod found;
mod live;
#[cfg(test)]
mod tests;

pub use found::{Counts, Found, Side};
pub use live::{Live, between};

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use florin_domain::WalletId;
use florin_domain::fraud::{Alert, EventId, MAX_STATE_BYTES, Movement, Settings, WalletHistory};
use florin_domain::journal::{Event, RecordedEvent};
use thiserror::Error;

use super::Fraud;
use crate::fact::Fact;
use crate::read_model::ReadModel as _;

/// How much one fold remembers at most, estimated from above: what is left of 300 MB beside the reading,
/// and room for a hundred thousand wallets that move within one window.
pub const MEMORY: usize = 128 << 20;

/// Until how much is remembered nobody looks for wallets to forget.
const SWEEP: usize = 1 << 20;

/// What a wallet costs: its ids, its place in a map that has just doubled.
const WALLET_BYTES: usize = 512;

/// What a history costs in which nothing is remembered.
const HISTORY_BYTES: usize = 320;

/// What a movement adds to a history at most: a credit is a lot and a sender, a debit an outflow and a
/// receiver.
const MOVEMENT_BYTES: usize = 256;

/// After how many movements a history does not grow any more.
const MAX_MOVEMENTS: usize = MAX_STATE_BYTES / MOVEMENT_BYTES;

/// What it costs to know that a wallet was hit.
const HIT_BYTES: usize = 160;

/// Why a fold ends before its range does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Stop {
    /// Its wallets are too many at once: fold the two halves of its share.
    #[error("more wallets move within a window than one fold may remember")]
    Full,
    /// A wallet is not known exactly: begin with the first event.
    #[error("a wallet has not rested since the fold began")]
    Cold,
}

/// Those wallets of a partition that one fold is about: a half of a half of … all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    halvings: u32,
    number: u64,
}

impl Share {
    /// All wallets.
    pub const ALL: Self = Self { halvings: 0, number: 0 };

    /// This one, divided.
    pub fn halves(self) -> [Self; 2] {
        let halvings = self.halvings + 1;
        [0, 1].map(|bit| Self { halvings, number: self.number << 1 | bit })
    }

    fn holds(self, wallet: &str) -> bool {
        if self.halvings == 0 {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        wallet.hash(&mut hasher);
        hasher.finish() >> u64::BITS.saturating_sub(self.halvings) == self.number
    }
}

/// The rules that are tried, and what they are compared with.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The candidate, and the other rules if it is not compared with what the live ones found.
    rules: Vec<Settings>,
    /// The longest window of all of them.
    window: TimeDelta,
    shown: usize,
    memory: usize,
}

impl Trial {
    /// Of a candidate, beside other rules or, without them, beside the alerts on record. So many
    /// differences of each kind are told one by one.
    pub fn new(candidate: Settings, other: Option<Settings>, shown: usize) -> Self {
        let rules: Vec<Settings> = [candidate].into_iter().chain(other).collect();
        let window = rules.iter().map(Settings::window).max().unwrap_or_default();
        Self { rules, window, shown, memory: MEMORY }
    }

    /// The longest window of any rule.
    pub fn window(&self) -> TimeDelta {
        self.window
    }

    /// Whether it is compared with the alerts on record.
    pub fn is_against_live(&self) -> bool {
        self.rules.len() == 1
    }

    /// Nothing found yet.
    pub fn found(&self) -> Found {
        Found::new(self.shown)
    }

    /// Of a wallet that has rested.
    fn histories(&self) -> Vec<WalletHistory> {
        vec![WalletHistory::default(); self.rules.len()]
    }

    /// What a wallet costs of which so many movements are remembered.
    fn weight(&self, movements: usize) -> usize {
        WALLET_BYTES
            + self.rules.len() * (HISTORY_BYTES + MOVEMENT_BYTES * movements.min(MAX_MOVEMENTS))
    }
}

/// What a fold counts, and what it knows when it begins.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// What it counts begins after this position.
    pub after: u64,
    /// Up to where the alerts on record are complete; what comes later is compared with nothing.
    pub judged: u64,
    /// When it begins: wallets may have moved at that time or earlier. `None` when it begins with the
    /// first event.
    pub since: Option<DateTime<Utc>>,
}

/// What is remembered of a wallet.
struct Wallet {
    id: WalletId,
    /// Its last movement.
    last: DateTime<Utc>,
    /// Whether it is remembered as if everything had been read.
    is_settled: bool,
    /// How many movements since it rested.
    movements: usize,
    histories: Vec<WalletHistory>,
}

/// One fold over a range of a partition.
pub struct Pass<'a> {
    trial: &'a Trial,
    share: Share,
    span: Span,
    is_warm: bool,
    wallets: HashMap<Arc<str>, Wallet>,
    /// What the wallets cost at most, and how much of that makes it look for some to forget.
    held: usize,
    sweep_at: usize,
    /// By whose alerts each wallet was hit.
    hits: HashMap<Arc<str>, u32>,
    found: Found,
}

impl<'a> Pass<'a> {
    /// A fold that has read nothing yet.
    pub fn new(trial: &'a Trial, share: Share, span: Span) -> Self {
        Self {
            trial,
            share,
            span,
            is_warm: span.since.is_none(),
            wallets: HashMap::new(),
            held: 0,
            sweep_at: SWEEP.min(trial.memory),
            hits: HashMap::new(),
            found: trial.found(),
        }
    }

    /// Whether [`Pass::take`] wants what is on record.
    pub fn is_against_live(&self) -> bool {
        self.trial.is_against_live()
    }

    /// Takes the next events in, with what is on record for the counted ones among them, in order.
    ///
    /// # Errors
    /// [`Stop`], and then everything that it has found is to be forgotten.
    pub fn take(&mut self, events: &[RecordedEvent], live: Vec<Live>) -> Result<(), Stop> {
        let mut alerts: Vec<Vec<Alert>> = vec![vec![]; self.trial.rules.len()];
        for event in events {
            self.observe(event, &mut alerts)?;
        }
        let mut alerts = alerts.into_iter();
        let candidate = alerts.next().unwrap_or_default();
        let baseline: Vec<Live> = match alerts.next() {
            Some(others) => others.into_iter().map(Live::undecided).collect(),
            None => {
                let mine = live.into_iter().filter(|live| self.share.holds(live.wallet()));
                mine.collect()
            }
        };
        self.compare(candidate, baseline)
    }

    /// What it has found in its range, which has been read.
    pub fn finish(mut self) -> Found {
        for hits in self.hits.values() {
            self.found.hit(*hits);
        }
        self.found
    }

    fn observe(&mut self, recorded: &RecordedEvent, alerts: &mut [Vec<Alert>]) -> Result<(), Stop> {
        if !Fraud.reads(recorded) || !self.share.holds(&recorded.aggregate_id) {
            return Ok(());
        }
        let (now, is_counted) = (recorded.recorded_at, recorded.position > self.span.after);
        if is_counted && !self.is_warm {
            self.settle(now)?;
        }
        let Ok(Fact { event: Event::Wallet(event), .. }) = Fact::read(recorded) else {
            self.found.unreadable += u64::from(is_counted);
            return Ok(());
        };
        let Some(id) = self.meet(recorded) else { return Ok(()) };
        let place = EventId { partition: recorded.partition, position: recorded.position };
        let Some(movement) = Movement::of(&id, &event, place, now) else { return Ok(()) };
        self.found.movements += u64::from(is_counted);
        let Some(wallet) = self.wallets.get_mut(&recorded.aggregate_id) else { return Ok(()) };
        let before = self.trial.weight(wallet.movements);
        wallet.last = now;
        wallet.movements += 1;
        self.held += self.trial.weight(wallet.movements) - before;
        let sides = self.trial.rules.iter().zip(&mut wallet.histories).zip(alerts);
        for ((rules, history), alerts) in sides {
            let found = history.observe(rules, &movement);
            if is_counted {
                alerts.extend(found);
            }
        }
        self.sweep(now)
    }

    /// The wallet of an event, remembered from now on; `None` when its id is none.
    fn meet(&mut self, recorded: &RecordedEvent) -> Option<WalletId> {
        let (now, window) = (recorded.recorded_at, self.trial.window);
        if let Some(wallet) = self.wallets.get_mut(&recorded.aggregate_id) {
            if now - wallet.last > window {
                self.held -= self.trial.weight(wallet.movements) - self.trial.weight(0);
                wallet.is_settled = true;
                wallet.movements = 0;
                wallet.histories = self.trial.histories();
            }
            return Some(wallet.id.clone());
        }
        let id: WalletId = recorded.aggregate_id.parse().ok()?;
        // Its opening came before this, and nothing between them.
        let is_first = recorded.sequence <= 2;
        let has_rested = self.span.since.is_none_or(|since| now - since > window);
        let wallet = Wallet {
            id: id.clone(),
            last: now,
            is_settled: is_first || has_rested,
            movements: 0,
            histories: self.trial.histories(),
        };
        self.held += self.trial.weight(0);
        self.wallets.insert(Arc::clone(&recorded.aggregate_id), wallet);
        Some(id)
    }

    /// Whether everything is known that the counted events need.
    fn settle(&mut self, now: DateTime<Utc>) -> Result<(), Stop> {
        let window = self.trial.window;
        let is_known = |wallet: &Wallet| wallet.is_settled || now - wallet.last > window;
        self.is_warm = self.wallets.values().all(is_known);
        if self.is_warm { Ok(()) } else { Err(Stop::Cold) }
    }

    /// Forgets the wallets that have rested, when there is something to win.
    fn sweep(&mut self, now: DateTime<Utc>) -> Result<(), Stop> {
        if self.held <= self.sweep_at {
            return Ok(());
        }
        let (window, memory) = (self.trial.window, self.trial.memory);
        self.wallets.retain(|_, wallet| now - wallet.last <= window);
        let weights = self.wallets.values().map(|wallet| self.trial.weight(wallet.movements));
        self.held = weights.sum();
        let hits = self.hits.len() * HIT_BYTES;
        // Nearly full counts as full: a sweep that wins little would soon have to be made again.
        if self.held + hits > memory - memory / 4 {
            return Err(Stop::Full);
        }
        self.sweep_at = (self.held * 2).max(SWEEP).min(memory - hits);
        Ok(())
    }

    /// Counts the alerts of both sides, which are in the order of their events.
    fn compare(&mut self, mut candidate: Vec<Alert>, mut baseline: Vec<Live>) -> Result<(), Stop> {
        let order = |alert: &Alert| (alert.event.position, alert.rule);
        candidate.sort_by_key(order);
        baseline.sort_by_key(|live| order(&live.alert));
        let mut baseline = baseline.into_iter().peekable();
        for alert in candidate {
            while let Some(gone) = baseline.next_if(|live| order(&live.alert) < order(&alert)) {
                self.hit(&gone.alert, Found::BASELINE);
                self.found.gone(gone);
            }
            let same = baseline.next_if(|live| order(&live.alert) == order(&alert));
            self.hit(&alert, Found::CANDIDATE);
            match same {
                Some(live) => {
                    self.hit(&live.alert, Found::BASELINE);
                    self.found.unchanged(&live);
                }
                None if self.trial.is_against_live() && alert.event.position > self.span.judged => {
                    self.found.later(&alert);
                }
                None => self.found.added(alert),
            }
        }
        for gone in baseline {
            self.hit(&gone.alert, Found::BASELINE);
            self.found.gone(gone);
        }
        match self.hits.len() * HIT_BYTES > self.trial.memory / 2 {
            true => Err(Stop::Full),
            false => Ok(()),
        }
    }

    fn hit(&mut self, alert: &Alert, side: u32) {
        let bit = Found::bit(alert.rule, side);
        match self.hits.get_mut(alert.wallet.as_str()) {
            Some(hits) => *hits |= bit,
            None => {
                self.hits.insert(Arc::from(alert.wallet.as_str()), bit);
            }
        }
    }
}

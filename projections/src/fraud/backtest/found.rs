//! What came out: counts by rule, and the first differences one by one.

use std::collections::BTreeMap;

use florin_domain::fraud::{Alert, Rule};

use super::live::Live;

/// What one side found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Side {
    /// How many alerts.
    pub alerts: u64,
    /// How many wallets have one.
    pub wallets: u64,
}

/// What became of one rule's alerts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of the candidate: new, unchanged and later ones.
    pub candidate: Side,
    /// Of what it is compared with: unchanged and gone ones.
    pub baseline: Side,
    /// Both found them, at the same event.
    pub unchanged: u64,
    /// Those of them of which somebody decided that they were no fraud.
    pub unchanged_dismissed: u64,
    /// Only the candidate found them.
    pub new: u64,
    /// The candidate does not find them.
    pub gone: u64,
    /// Those of them of which somebody decided that they were no fraud.
    pub gone_dismissed: u64,
    /// The candidate found them where the live rules have not judged yet.
    pub later: u64,
}

/// What was found in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// How many movements were judged.
    pub movements: u64,
    /// How many events could not be read, and were left out.
    pub unreadable: u64,
    /// By rule: every one there is.
    pub rules: BTreeMap<Rule, Counts>,
    /// How many wallets have an alert of any rule of the candidate.
    pub candidate_wallets: u64,
    /// How many have one of what it is compared with.
    pub baseline_wallets: u64,
    /// The first new ones, in the order of time.
    pub new: Vec<Alert>,
    /// The first that are gone.
    pub gone: Vec<Live>,
    shown: usize,
}

impl Found {
    /// The two sides of a [`bit`](Self::bit).
    pub(super) const CANDIDATE: u32 = 0;
    pub(super) const BASELINE: u32 = 1;

    pub(super) fn new(shown: usize) -> Self {
        Self {
            movements: 0,
            unreadable: 0,
            rules: Rule::ALL.iter().map(|rule| (*rule, Counts::default())).collect(),
            candidate_wallets: 0,
            baseline_wallets: 0,
            new: vec![],
            gone: vec![],
            shown,
        }
    }

    /// What other wallets, or another partition, add.
    pub fn merge(&mut self, other: Self) {
        self.movements += other.movements;
        self.unreadable += other.unreadable;
        self.candidate_wallets += other.candidate_wallets;
        self.baseline_wallets += other.baseline_wallets;
        for (rule, counts) in other.rules {
            self.of(rule).add(counts);
        }
        self.new.extend(other.new);
        self.new.sort_by_key(order);
        self.new.truncate(self.shown);
        self.gone.extend(other.gone);
        self.gone.sort_by_key(|live| order(&live.alert));
        self.gone.truncate(self.shown);
    }

    /// What marks a wallet that a rule of one side hit.
    pub(super) fn bit(rule: Rule, side: u32) -> u32 {
        let index = Rule::ALL.iter().zip(0_u32..).find(|(of, _)| **of == rule);
        1 << (2 * index.map_or(0, |(_, index)| index) + side)
    }

    /// Counts a wallet with these marks.
    pub(super) fn hit(&mut self, hits: u32) {
        let (mut by_candidate, mut by_baseline) = (false, false);
        for rule in Rule::ALL {
            let is_hit = |side| hits & Self::bit(*rule, side) != 0;
            let (candidate, baseline) = (is_hit(Self::CANDIDATE), is_hit(Self::BASELINE));
            let counts = self.of(*rule);
            counts.candidate.wallets += u64::from(candidate);
            counts.baseline.wallets += u64::from(baseline);
            by_candidate |= candidate;
            by_baseline |= baseline;
        }
        self.candidate_wallets += u64::from(by_candidate);
        self.baseline_wallets += u64::from(by_baseline);
    }

    pub(super) fn unchanged(&mut self, live: &Live) {
        let counts = self.of(live.alert.rule);
        counts.candidate.alerts += 1;
        counts.baseline.alerts += 1;
        counts.unchanged += 1;
        counts.unchanged_dismissed += u64::from(live.is_dismissed);
    }

    pub(super) fn later(&mut self, alert: &Alert) {
        let counts = self.of(alert.rule);
        counts.candidate.alerts += 1;
        counts.later += 1;
    }

    pub(super) fn added(&mut self, alert: Alert) {
        let counts = self.of(alert.rule);
        counts.candidate.alerts += 1;
        counts.new += 1;
        if self.new.len() < self.shown {
            self.new.push(alert);
        }
    }

    pub(super) fn gone(&mut self, live: Live) {
        let counts = self.of(live.alert.rule);
        counts.baseline.alerts += 1;
        counts.gone += 1;
        counts.gone_dismissed += u64::from(live.is_dismissed);
        if self.gone.len() < self.shown {
            self.gone.push(live);
        }
    }

    fn of(&mut self, rule: Rule) -> &mut Counts {
        self.rules.entry(rule).or_default()
    }
}

impl Counts {
    /// What another count adds: of other wallets.
    pub fn add(&mut self, other: Self) {
        self.candidate.add(other.candidate);
        self.baseline.add(other.baseline);
        self.unchanged += other.unchanged;
        self.unchanged_dismissed += other.unchanged_dismissed;
        self.new += other.new;
        self.gone += other.gone;
        self.gone_dismissed += other.gone_dismissed;
        self.later += other.later;
    }
}

impl Side {
    fn add(&mut self, other: Self) {
        self.alerts += other.alerts;
        self.wallets += other.wallets;
    }
}

fn order(alert: &Alert) -> (chrono::DateTime<chrono::Utc>, u32, u64, Rule) {
    (alert.at, alert.event.partition, alert.event.position, alert.rule)
}

//! What was found, as a document and as a table.

use chrono::{DateTime, SecondsFormat, Utc};
use florin_domain::fraud::{Alert, EventId, Rule};
use florin_projections::fraud::backtest::{Counts, Found, Live, Side};
use serde::Serialize;

use super::BacktestArgs;
use crate::postgres::scan::Range;

/// A partition, and up to where the live rules have judged it.
pub(super) struct Judged {
    pub(super) range: Range,
    pub(super) up_to: u64,
}

/// The document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    candidate: String,
    /// What it is compared with: the alerts on record, or other rules.
    baseline: String,
    partitions: Vec<Part>,
    events: u64,
    movements: u64,
    unreadable: u64,
    rules: Vec<OfRule>,
    wallets: BothWallets,
    new: Vec<Alert>,
    gone: Vec<Gone>,
}

/// What was judged of a partition.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    from: EventId,
    to: EventId,
    /// Up to where the live rules have judged it, where it is compared with them.
    judged_to: Option<EventId>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfRule {
    rule: Rule,
    candidate: OneSide,
    baseline: OneSide,
    unchanged: u64,
    unchanged_dismissed: u64,
    new: u64,
    gone: u64,
    gone_dismissed: u64,
    not_judged_yet: u64,
}

#[derive(Serialize)]
struct OneSide {
    alerts: u64,
    wallets: u64,
}

#[derive(Serialize)]
struct BothWallets {
    candidate: u64,
    baseline: u64,
}

#[derive(Serialize)]
struct Gone {
    #[serde(flatten)]
    alert: Alert,
    dismissed: bool,
}

impl Answer {
    pub(super) fn new(args: &BacktestArgs, found: &Found, judged: &[Judged]) -> Self {
        let is_live = args.against.is_none();
        let other = args.against.as_ref().map(|path| path.display().to_string());
        Self {
            candidate: args.rules.display().to_string(),
            baseline: other.unwrap_or_else(|| "live".to_owned()),
            partitions: judged.iter().map(|judged| Part::of(judged, is_live)).collect(),
            events: judged.iter().map(|judged| judged.range.events()).sum(),
            movements: found.movements,
            unreadable: found.unreadable,
            rules: found.rules.iter().map(|(rule, counts)| OfRule::of(*rule, counts)).collect(),
            wallets: BothWallets {
                candidate: found.candidate_wallets,
                baseline: found.baseline_wallets,
            },
            new: found.new.clone(),
            gone: found.gone.iter().map(Gone::of).collect(),
        }
    }

    /// For people.
    pub(super) fn print(&self, found: &Found) {
        println!(
            "{} movements in {} events of {}.",
            self.movements,
            self.events,
            self.partitions.iter().map(Part::said).collect::<Vec<_>>().join(", ")
        );
        if self.unreadable > 0 {
            println!("{} events cannot be read, and were left out.", self.unreadable);
        }
        let (baseline, all) = (short(&self.baseline), all_of(found));
        println!(
            "\n{:<20} {:>10} {:>10} {baseline:>14} {:>10} {:>10} {:>10} {:>10}",
            "rule", "candidate", "wallets", "wallets", "unchanged", "new", "gone"
        );
        for (rule, counts) in &found.rules {
            line(rule.as_str(), counts);
        }
        line("all", &all);
        if all.later > 0 {
            println!(
                "\n{} alerts of the candidate are of events that the live rules have not judged yet.",
                all.later
            );
        }
        let dismissed = all.gone_dismissed + all.unchanged_dismissed;
        if dismissed > 0 {
            println!(
                "\nOf {dismissed} alerts that were dismissed as no fraud, {} are gone.",
                all.gone_dismissed
            );
        }
        told("new", all.new, &self.new, |alert| alert, |_| "");
        let note = |gone: &Gone| if gone.dismissed { " (dismissed)" } else { "" };
        told("gone", all.gone, &self.gone, |gone| &gone.alert, note);
    }
}

impl Part {
    fn of(judged: &Judged, is_live: bool) -> Self {
        let Range { partition, after, up_to } = judged.range;
        let at = |position| EventId { partition, position };
        Self { from: at(after + 1), to: at(up_to), judged_to: is_live.then(|| at(judged.up_to)) }
    }

    fn said(&self) -> String {
        let (from, to) = (self.from, self.to);
        match self.judged_to {
            Some(judged) if judged.position < to.position => {
                format!("{from} to {to} (judged live up to {judged})")
            }
            Some(_) | None => format!("{from} to {to}"),
        }
    }
}

impl OfRule {
    fn of(rule: Rule, counts: &Counts) -> Self {
        let side = |Side { alerts, wallets }| OneSide { alerts, wallets };
        Self {
            rule,
            candidate: side(counts.candidate),
            baseline: side(counts.baseline),
            unchanged: counts.unchanged,
            unchanged_dismissed: counts.unchanged_dismissed,
            new: counts.new,
            gone: counts.gone,
            gone_dismissed: counts.gone_dismissed,
            not_judged_yet: counts.later,
        }
    }
}

impl Gone {
    fn of(live: &Live) -> Self {
        Self { alert: live.alert.clone(), dismissed: live.is_dismissed }
    }
}

/// The sum of all rules; a wallet that several have found counts once.
fn all_of(found: &Found) -> Counts {
    let mut all = Counts::default();
    for counts in found.rules.values() {
        all.add(*counts);
    }
    all.candidate.wallets = found.candidate_wallets;
    all.baseline.wallets = found.baseline_wallets;
    all
}

fn line(name: &str, counts: &Counts) {
    let (candidate, baseline) = (counts.candidate, counts.baseline);
    println!(
        "{name:<20} {:>10} {:>10} {:>14} {:>10} {:>10} {:>10} {:>10}",
        candidate.alerts,
        candidate.wallets,
        baseline.alerts,
        baseline.wallets,
        counts.unchanged,
        counts.new,
        counts.gone
    );
}

/// The first alerts of a kind, one by one.
fn told<'a, T>(
    kind: &str,
    count: u64,
    some: &'a [T],
    alert_of: impl Fn(&'a T) -> &'a Alert,
    note: impl Fn(&T) -> &'static str,
) {
    if some.is_empty() {
        return;
    }
    println!("\n{kind}: {} of {count}", some.len());
    for one in some {
        let alert = alert_of(one);
        println!(
            "  {} {:>12}  {:<20} {}: {}{}",
            seconds(alert.at),
            alert.event.to_string(),
            alert.wallet.as_str(),
            alert.rule,
            alert.reason,
            note(one)
        );
    }
}

fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The name of a file, as far as a column has room.
fn short(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.chars().take(14).collect()
}

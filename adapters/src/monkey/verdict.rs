//! The report: what was sent, what was answered, how long it took, what was wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;

use super::answer::Answer;
use super::args::MonkeyArgs;
use super::check::Readings;
use super::model::Books;
use super::offence::Offence;
use super::plan::{CURRENCY, Kind};
use super::tally::{Counts, Sheet};

/// A screen of offences; `--json` has more.
const MAX_OFFENCES_SHOWN: usize = 20;

/// What a run has come to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The service.
    pub url: String,
    /// To play the same plan again; none if there was no plan.
    pub seed: Option<u64>,
    /// To find the run's wallets; none if there was no plan.
    pub prefix: Option<String>,
    /// From start to end, checks included.
    pub elapsed_ms: u128,
    /// Wallets that exist.
    pub wallets: usize,
    /// What they hold together.
    pub held: Decimal,
    /// What was answered.
    pub outcomes: Outcomes,
    /// How often what happened.
    pub counts: Counts,
    /// How long definite replies took.
    pub latency: Latency,
    /// How many offences there were; the list may be shorter.
    pub offences_met: u64,
    /// What was wrong.
    pub offences: Vec<Offence>,
    #[serde(skip)]
    as_json: bool,
}

/// Outcomes of keys: each counts once, however often it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcomes {
    /// Wallets opened.
    pub opened: u64,
    /// Deposits accepted.
    pub deposits: u64,
    /// Withdrawals accepted.
    pub withdrawals: u64,
    /// Transfers completed.
    pub transfers: u64,
    /// Transfers that went back.
    pub compensated: u64,
    /// Refusals by their code.
    pub refused: BTreeMap<String, u64>,
}

/// Percentiles of the latency, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

/// Which run it was.
pub struct Title {
    /// The service.
    pub url: String,
    /// Seed and prefix of the plan, if there was one.
    pub plan: Option<(u64, String)>,
    /// From start to end.
    pub elapsed: Duration,
    /// Print as JSON.
    pub as_json: bool,
}

impl Title {
    /// The title of a run that ends now.
    pub fn of(args: &MonkeyArgs, plan: Option<(u64, String)>, started: Instant) -> Self {
        Self { url: args.url.clone(), plan, elapsed: started.elapsed(), as_json: args.json }
    }
}

impl Verdict {
    /// A run that could not even begin.
    pub fn not_begun(title: Title, why: String) -> Self {
        let offences = vec![Offence::Setup { why }];
        let sheet = Sheet { offences, offences_met: 1, ..Sheet::default() };
        Self::new(title, &Books::default(), &Readings::new(), sheet)
    }

    /// Sums up.
    pub fn new(title: Title, books: &Books<'_>, readings: &Readings, sheet: Sheet) -> Self {
        let (seed, prefix) = title.plan.unzip();
        Self {
            url: title.url,
            seed,
            prefix,
            elapsed_ms: title.elapsed.as_millis(),
            wallets: readings.len(),
            held: readings.values().map(|reading| reading.balance).sum(),
            outcomes: Outcomes::of(books),
            counts: sheet.counts,
            latency: Latency::of(sheet.latencies),
            offences_met: sheet.offences_met,
            offences: sheet.offences,
            as_json: title.as_json,
        }
    }

    /// Nothing was wrong.
    pub fn is_clean(&self) -> bool {
        self.offences_met == 0
    }

    /// 1 when anything is off.
    pub fn exit_code(&self) -> ExitCode {
        if self.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// To standard output, as a table or as one JSON document. A reader that has gone is no
    /// failure.
    pub fn print(&self) {
        let text = if self.as_json { self.json().to_string() } else { self.to_string() };
        let _gone = writeln!(std::io::stdout(), "{text}");
    }

    /// The verdict as JSON, each offence with its sentence.
    pub fn json(&self) -> serde_json::Value {
        let mut verdict = json!(self);
        verdict["clean"] = json!(self.is_clean());
        let told = self.offences.iter().map(|offence| {
            let mut value = json!(offence);
            value["message"] = json!(offence.to_string());
            value
        });
        verdict["offences"] = told.collect();
        verdict
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let (outcomes, counts) = (&self.outcomes, &self.counts);
        let refused = outcomes.refused.iter().map(|(code, n)| format!("{n} {code}"));
        let refused = refused.collect::<Vec<_>>().join(", ");
        let Latency { p50_us, p95_us, p99_us, max_us } = self.latency;
        vec![
            ("opened", outcomes.opened.to_string()),
            ("deposits", outcomes.deposits.to_string()),
            ("withdrawals", outcomes.withdrawals.to_string()),
            ("transfers", outcomes.transfers.to_string()),
            ("went back", outcomes.compensated.to_string()),
            ("refused", if refused.is_empty() { "0".to_owned() } else { refused }),
            ("copies at once", counts.copies_at_once.to_string()),
            ("late retries", counts.late_retries.to_string()),
            ("mismatches", counts.mismatches.to_string()),
            ("bad input", counts.bad_input.to_string()),
            ("keys replayed", counts.replayed_keys.to_string()),
            (
                "sent again",
                format!(
                    "{} in progress, {} throttled, {} away, {} 5xx, {} broken connections",
                    counts.in_progress,
                    counts.throttled,
                    counts.away,
                    counts.server_errors,
                    counts.broken_connections
                ),
            ),
            ("replies", format!("{} in {} ms", counts.replies, self.elapsed_ms)),
            ("latency", format!("p50 {p50_us} µs, p95 {p95_us}, p99 {p99_us}, max {max_us}")),
            ("held", format!("{} {CURRENCY} in {} wallets", self.held, self.wallets)),
        ]
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "florin monkey on {}", self.url)?;
        if let (Some(seed), Some(prefix)) = (self.seed, &self.prefix) {
            write!(f, ", --seed {seed} --prefix {prefix}")?;
        }
        writeln!(f, "\n")?;
        for (label, value) in self.rows() {
            writeln!(f, "  {label:<16}{value}")?;
        }
        writeln!(f)?;
        for offence in self.offences.iter().take(MAX_OFFENCES_SHOWN) {
            writeln!(f, "  OFF  {offence}")?;
        }
        match self.offences_met {
            0 => write!(f, "CLEAN: every answer, every balance and the sums agree"),
            n => write!(f, "OFF: {n} offences"),
        }
    }
}

impl Outcomes {
    fn of(books: &Books<'_>) -> Self {
        let mut outcomes = Self::default();
        for deed in books.deeds.values() {
            match deed.outcome {
                Some((_, Answer::Moved(_))) => *outcomes.accepted(&deed.order.kind) += 1,
                Some((_, Answer::Compensated { .. })) => outcomes.compensated += 1,
                Some((_, Answer::Refused(refusal))) => {
                    *outcomes.refused.entry(refusal.code.clone()).or_default() += 1;
                }
                Some((_, Answer::Odd { .. })) | None => {}
            }
        }
        outcomes
    }

    fn accepted(&mut self, kind: &Kind) -> &mut u64 {
        match kind {
            Kind::Open => &mut self.opened,
            Kind::Deposit => &mut self.deposits,
            Kind::Withdraw => &mut self.withdrawals,
            Kind::Transfer { .. } => &mut self.transfers,
        }
    }
}

impl Latency {
    fn of(mut latencies: Vec<u64>) -> Self {
        latencies.sort_unstable();
        let at = |percent: usize| {
            let index = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
            latencies.get(index).copied().unwrap_or_default()
        };
        Self { p50_us: at(50), p95_us: at(95), p99_us: at(99), max_us: at(100) }
    }
}

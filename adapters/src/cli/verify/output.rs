//! What `florin verify` says. What it found goes to standard output, and what is not in order to
//! standard error too, where that is for people.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use florin_projections::audit::models::Compared;
use florin_projections::audit::{Findings, Place, Totals};
use serde::Serialize;

use crate::cli::Failure;
use crate::cli::output::{OutputArgs, document};
use crate::moment::{listed, place};
use crate::proof::checkpoint::{Checkpoint, Voucher};
use crate::proof::stream::Held;

/// How many missing ranges of a stream are told: the first ones, and that there are more.
const MAX_LACKS: usize = 10;

/// All that is known now.
pub(super) struct Proved {
    /// Where it began in each partition; none if with the first event.
    pub(super) from: Option<Vec<Place>>,
    pub(super) heads: Vec<Place>,
    pub(super) findings: Findings,
    pub(super) compared: Vec<Compared>,
    pub(super) held: Option<Held>,
    pub(super) checkpoint: Option<(Checkpoint, Voucher)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    is_in_order: bool,
    events: u64,
    wallets: usize,
    /// None where that is not known.
    unfinished_transfers: Option<usize>,
    from: Option<Vec<String>>,
    heads: Vec<String>,
    totals: Vec<TotalsAnswer>,
    read_models: Vec<ModelAnswer<'a>>,
    stream: Option<StreamAnswer>,
    checkpoint: Option<CheckpointAnswer<'a>>,
    not_proved: Vec<&'static str>,
    problems: Vec<ProblemAnswer<'a>>,
    more_problems: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TotalsAnswer {
    currency: String,
    deposited: String,
    withdrawn: String,
    in_wallets: String,
    in_flight: String,
    difference: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelAnswer<'a> {
    model: &'a str,
    checkpoints: Vec<String>,
    wallets: u64,
    left_out: Vec<&'a str>,
    left_out_count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamAnswer {
    is_there: bool,
    messages: u64,
    lacks: Vec<LacksAnswer>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LacksAnswer {
    partition: u32,
    events: u64,
    /// The first of them.
    ranges: Vec<RangeAnswer>,
    /// Whether some more are missing that were not counted.
    is_at_least: bool,
}

#[derive(Serialize)]
struct RangeAnswer {
    from: String,
    to: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckpointAnswer<'a> {
    time: String,
    positions: Vec<String>,
    /// The key by which its signature was checked.
    signed_by: Option<&'a str>,
    /// Whether that is the key that was given.
    is_vouched_for: bool,
}

#[derive(Serialize)]
struct ProblemAnswer<'a> {
    position: Option<String>,
    what: &'a str,
}

fn places<'a>(places: impl IntoIterator<Item = (&'a u32, &'a u64)>) -> Vec<String> {
    places.into_iter().map(|(partition, position)| place(*partition, *position)).collect()
}

impl Proved {
    pub(super) fn print(&self, output: OutputArgs) -> Result<(), Failure> {
        if output.json {
            return document(&self.answer());
        }
        self.print_summary();
        if self.from.is_none() {
            self.print_totals();
        }
        self.print_models();
        self.print_stream();
        self.print_checkpoint();
        for what in self.not_proved() {
            println!("Not proved: {what}.");
        }
        for problem in self.findings.problems.named() {
            eprintln!("florin: {problem}");
        }
        match self.findings.problems.more() {
            0 => {}
            more => eprintln!("florin: and {more} more problems"),
        }
        Ok(())
    }

    fn print_summary(&self) {
        let summary = &self.findings.summary;
        let (events, wallets) = (summary.events, summary.wallets);
        let from = self
            .from
            .as_ref()
            .map_or_else(String::new, |from| format!(" from {} on", listed(from)));
        match self.findings.problems.count() {
            0 => print!("{events} events{from} of {wallets} wallets verify"),
            1 => print!("{events} events{from} of {wallets} wallets were read; there is 1 problem"),
            count => {
                print!("{events} events{from} of {wallets} wallets were read; {count} problems");
            }
        }
        match self.from {
            Some(_) => println!("."),
            None => println!("; {} transfers are under way.", summary.unfinished),
        }
    }

    fn print_totals(&self) {
        println!("currency        deposited         withdrawn        in wallets         in flight");
        for (currency, totals) in &self.findings.summary.totals {
            let Totals { deposited, withdrawn, in_wallets, in_flight } = totals;
            print!(
                "{currency:<8} {deposited:>17} {withdrawn:>17} {in_wallets:>17} {in_flight:>17}"
            );
            match totals.difference() {
                zero if zero.is_zero() => println!(),
                difference => println!("  wrong by {difference}"),
            }
        }
    }

    fn print_models(&self) {
        for compared in &self.compared {
            let at = places(&compared.checkpoints).join(",");
            let (model, wallets) = (compared.model, compared.wallets);
            print!("{model}: {wallets} wallets compared as of {at}");
            match compared.left_out_count {
                0 => println!("."),
                count => {
                    let names: Vec<&str> = compared.left_out.iter().map(String::as_str).collect();
                    let more = if count > names.len() { ", …" } else { "" };
                    println!(
                        "; {count} left out, parked or discarded: {}{more}.",
                        names.join(", ")
                    );
                }
            }
        }
    }

    fn print_stream(&self) {
        let Some(held) = &self.held else { return };
        if !held.is_there {
            return println!("JetStream: there is no stream.");
        }
        println!("JetStream: {} messages compared.", held.messages);
        for lacks in self.lacks(held) {
            let ranges = lacks.ranges.iter();
            let ranges: Vec<String> = ranges
                .map(|range| match range.from == range.to {
                    true => range.from.clone(),
                    false => format!("{} to {}", range.from, range.to),
                })
                .collect();
            let least = if lacks.is_at_least { "at least " } else { "" };
            let more = if lacks.ranges.len() == MAX_LACKS { ", …" } else { "" };
            let (partition, events) = (lacks.partition, lacks.events);
            let ranges = ranges.join(", ");
            println!("  of partition {partition} it lacks {least}{events} events: {ranges}{more}");
        }
    }

    fn print_checkpoint(&self) {
        let Some((checkpoint, voucher)) = &self.checkpoint else { return };
        let time = checkpoint.time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let by = match voucher {
            Voucher::Key(key) => format!("signed by the key that was given ({key})"),
            Voucher::OwnKey(key) => format!(
                "signed by the key that it carries ({key}): nobody vouches for that key unless you \
                 know it; say --key"
            ),
            Voucher::Nobody => {
                "signed by nobody: whoever could write the file could change it".into()
            }
        };
        println!("The checkpoint of {time} is {by}.");
    }

    fn not_proved(&self) -> Vec<&'static str> {
        let mut not_proved = Vec::new();
        if self.from.is_some() {
            not_proved.push("what lies before --from, and the balances that it led to");
            not_proved.push("the sums, the transfers, and the read models");
        }
        if self.checkpoint.is_none() {
            not_proved.push(
                "that the end of the journal was not removed or written anew (see --checkpoint)",
            );
        }
        not_proved
    }

    fn lacks(&self, held: &Held) -> Vec<LacksAnswer> {
        let heads: BTreeMap<u32, u64> = self.heads.iter().copied().collect();
        let mut all = Vec::new();
        for (partition, ranges) in &held.ranges {
            let lacks = ranges.lacks(heads.get(partition).copied().unwrap_or(0));
            let events = lacks.iter().map(|(first, last)| last - first + 1).sum();
            if events > 0 {
                let range = |(first, last): &(u64, u64)| RangeAnswer {
                    from: place(*partition, *first),
                    to: place(*partition, *last),
                };
                all.push(LacksAnswer {
                    partition: *partition,
                    events,
                    ranges: lacks.iter().take(MAX_LACKS).map(range).collect(),
                    is_at_least: ranges.is_coarse,
                });
            }
        }
        all
    }

    fn answer(&self) -> Answer<'_> {
        let Findings { summary, problems, .. } = &self.findings;
        Answer {
            is_in_order: problems.is_empty(),
            events: summary.events,
            wallets: summary.wallets,
            unfinished_transfers: self.from.is_none().then_some(summary.unfinished),
            from: self.from.as_ref().map(|from| places(from.iter().map(|(of, at)| (of, at)))),
            heads: places(self.heads.iter().map(|(of, at)| (of, at))),
            totals: self.totals_answer(),
            read_models: self.compared.iter().map(ModelAnswer::of).collect(),
            stream: self.held.as_ref().map(|held| StreamAnswer {
                is_there: held.is_there,
                messages: held.messages,
                lacks: self.lacks(held),
            }),
            checkpoint: self.checkpoint.as_ref().map(CheckpointAnswer::of),
            not_proved: self.not_proved(),
            problems: problems
                .named()
                .iter()
                .map(|problem| ProblemAnswer {
                    position: problem.place.map(|(partition, at)| place(partition, at)),
                    what: &problem.what,
                })
                .collect(),
            more_problems: problems.more(),
        }
    }

    fn totals_answer(&self) -> Vec<TotalsAnswer> {
        let totals = self.findings.summary.totals.iter();
        totals
            .map(|(currency, totals)| TotalsAnswer {
                currency: currency.to_string(),
                deposited: totals.deposited.to_string(),
                withdrawn: totals.withdrawn.to_string(),
                in_wallets: totals.in_wallets.to_string(),
                in_flight: totals.in_flight.to_string(),
                difference: totals.difference().to_string(),
            })
            .collect()
    }
}

impl<'a> ModelAnswer<'a> {
    fn of(compared: &'a Compared) -> Self {
        Self {
            model: compared.model,
            checkpoints: places(&compared.checkpoints),
            wallets: compared.wallets,
            left_out: compared.left_out.iter().map(String::as_str).collect(),
            left_out_count: compared.left_out_count,
        }
    }
}

impl<'a> CheckpointAnswer<'a> {
    fn of((checkpoint, voucher): &'a (Checkpoint, Voucher)) -> Self {
        let (signed_by, is_vouched_for) = match voucher {
            Voucher::Key(key) => (Some(key.as_str()), true),
            Voucher::OwnKey(key) => (Some(key.as_str()), false),
            Voucher::Nobody => (None, false),
        };
        let anchors = checkpoint.anchors.iter();
        Self {
            time: checkpoint.time.to_rfc3339_opts(SecondsFormat::Micros, true),
            positions: anchors.map(|anchor| place(anchor.partition, anchor.position)).collect(),
            signed_by,
            is_vouched_for,
        }
    }
}

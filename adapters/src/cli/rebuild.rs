use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use clap::builder::PossibleValuesParser;
use florin_projections::generation::compare::{Comparison, NAMED, Table};
use florin_projections::models;
use florin_projections::read_model::Projection;
use serde::Serialize;

use super::Failure;
use super::output::{OutputArgs, document};
use super::progress::Progress;
use crate::config::AdminArgs;
use crate::generations::Workshop;
use crate::generations::rebuild::{Manner, Rebuilt, Told};
use crate::moment::{listed, place};
use crate::postgres::PostgresJournal;

/// What stands for every read model.
const ALL: &str = "all";

#[derive(Debug, Args)]
#[command(after_help = "Example: florin rebuild balance --throttle 20000\n\n\
    The next generation is filled beside the live one, which is read and kept up to date meanwhile. \
    One that differs is not switched to, and ends with 1. An interrupted rebuild is gone on with by \
    the next one.")]
pub(super) struct RebuildArgs {
    /// Which read model, or `all`.
    #[arg(value_parser = PossibleValuesParser::new(names()))]
    projection: String,
    /// Switch to the next generation though it differs from the live one.
    #[arg(long, conflicts_with_all = ["rollback", "check"])]
    force: bool,
    /// Go back to the generation that was live before the last switch.
    #[arg(long, conflicts_with_all = ["check", "clean"])]
    rollback: bool,
    /// Compare the next generation with the live one, and switch to nothing.
    #[arg(long)]
    check: bool,
    /// Begin anew, whatever an interrupted rebuild has left.
    #[arg(long)]
    clean: bool,
    #[command(flatten)]
    workshop: WorkshopArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Where generations are made, and how fast.
#[derive(Debug, Args)]
pub(super) struct WorkshopArgs {
    /// How many events a second are folded at most, so that the service keeps its share of the machine.
    #[arg(long, value_name = "N")]
    throttle: Option<NonZeroU64>,
    #[command(flatten)]
    admin: AdminArgs,
}

impl WorkshopArgs {
    pub(super) async fn open(&self) -> Result<Workshop, Failure> {
        let journal = PostgresJournal::open(&self.admin.database_admin_url, None).await?;
        Ok(Workshop::new(journal, self.throttle))
    }
}

fn names() -> Vec<&'static str> {
    models::all().iter().map(|model| model.name()).chain([ALL]).collect()
}

pub(super) async fn run(args: &RebuildArgs) -> Result<ExitCode, Failure> {
    let mut models = models::all();
    models.retain(|model| args.projection == ALL || model.name() == args.projection);
    let workshop = args.workshop.open().await?;
    let mut bar = Bar::default();
    let mut told = |what| bar.shows(what);
    let rebuilt = match args.rollback {
        true => go_back(&workshop, &models, &mut told).await?,
        false => {
            let manner =
                Manner { is_clean: args.clean, is_forced: args.force, only_compares: args.check };
            workshop.rebuild(&models, manner, &mut told).await?
        }
    };
    drop(bar);
    match args.output.json {
        true => document(&rebuilt.iter().map(RebuiltAnswer::from).collect::<Vec<_>>())?,
        false => rebuilt.iter().for_each(print),
    }
    let is_right = |one: &Rebuilt| one.switched || (args.check && differences(one) == 0);
    Ok(match rebuilt.iter().all(is_right) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn go_back(
    workshop: &Workshop,
    models: &[Arc<dyn Projection>],
    told: &mut (dyn FnMut(Told) + Send),
) -> Result<Vec<Rebuilt>, Failure> {
    let mut rebuilt = Vec::new();
    for model in models {
        rebuilt.push(workshop.go_back(model, told).await?);
    }
    Ok(rebuilt)
}

/// What is shown of it on a terminal.
#[derive(Default)]
pub(super) struct Bar(Option<Progress>);

impl Bar {
    /// Moves on.
    pub(super) fn shows(&mut self, told: Told) {
        match told {
            Told::Begins(events) => self.0 = Some(Progress::of("fold", events)),
            Told::Folded(events) => {
                if let Some(progress) = &self.0 {
                    progress.add(events);
                }
            }
            Told::Indexes => self.says("index"),
            Told::Compares => self.says("compare"),
            Told::Switches => self.says("switch"),
        }
    }

    fn says(&self, what: &'static str) {
        if let Some(progress) = &self.0 {
            progress.says(what);
        }
    }
}

fn differences(one: &Rebuilt) -> u64 {
    let tables = one.comparison.iter().flat_map(|comparison| &comparison.tables);
    tables.map(|table| table.different).sum()
}

fn print(one: &Rebuilt) {
    let Rebuilt { model, resumed, positions, comparison, switched } = one;
    let resumed = if *resumed { ", gone on with" } else { "" };
    println!("{model} at {}{resumed}:", listed(positions));
    if let Some(comparison) = comparison {
        print_comparison(comparison);
    }
    match (switched, comparison) {
        (true, Some(_)) => println!(
            "  The next generation is live. `florin rebuild {model} --rollback` goes back."
        ),
        (true, None) => println!("  The last generation is live again."),
        (false, _) if differences(one) == 0 => println!("  They are the same."),
        (false, _) => println!("  They differ: nothing was switched. See --force."),
    }
}

fn print_comparison(comparison: &Comparison) {
    println!(
        "  {:<20} {:>14} {:>14} {:>18}",
        "table", "rows, live", "rows, next", "wallets different"
    );
    for Table { name, live_rows, other_rows, different, wallets } in &comparison.tables {
        println!("  {name:<20} {live_rows:>14} {other_rows:>14} {different:>18}");
        if !wallets.is_empty() {
            let more = if *different > NAMED as u64 { ", …" } else { "" };
            println!("    {}{more}", wallets.join(", "));
        }
    }
    if !comparison.parked.is_empty() {
        println!("  left out, because they are parked: {}", comparison.parked.join(", "));
    }
}

/// The outcome, for machines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RebuiltAnswer<'a> {
    projection: &'a str,
    resumed: bool,
    switched: bool,
    positions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<ComparisonAnswer<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ComparisonAnswer<'a> {
    equal: bool,
    tables: Vec<TableAnswer<'a>>,
    parked: &'a [String],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TableAnswer<'a> {
    table: &'a str,
    live_rows: u64,
    next_rows: u64,
    wallets_different: u64,
    /// The first of them.
    wallets: &'a [String],
}

impl<'a> From<&'a Rebuilt> for RebuiltAnswer<'a> {
    fn from(one: &'a Rebuilt) -> Self {
        let position = |(partition, at): &(u32, u64)| place(*partition, *at);
        Self {
            projection: one.model,
            resumed: one.resumed,
            switched: one.switched,
            positions: one.positions.iter().map(position).collect(),
            comparison: one.comparison.as_ref().map(ComparisonAnswer::from),
        }
    }
}

impl<'a> From<&'a Comparison> for ComparisonAnswer<'a> {
    fn from(comparison: &'a Comparison) -> Self {
        let table = |table: &'a Table| TableAnswer {
            table: table.name,
            live_rows: table.live_rows,
            next_rows: table.other_rows,
            wallets_different: table.different,
            wallets: &table.wallets,
        };
        Self {
            equal: comparison.is_equal(),
            tables: comparison.tables.iter().map(table).collect(),
            parked: &comparison.parked,
        }
    }
}

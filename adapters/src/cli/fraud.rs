mod answer;
mod backtest;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Failure;
use super::output::OutputArgs;
use super::range::RangeArgs;
use crate::config::DatabaseArgs;

/// How many differences of each kind are told one by one unless said: a screen of them.
const DEFAULT_SHOWN: u32 = 10;

/// How many at most: they are held in memory, and more than these nobody reads.
const MAX_SHOWN: u32 = 10_000;

#[derive(Debug, Args)]
#[command(after_help = "Example: florin fraud backtest --rules candidate.toml")]
pub(super) struct FraudArgs {
    #[command(subcommand)]
    verb: FraudVerb,
}

#[derive(Debug, Subcommand)]
enum FraudVerb {
    /// Judge the past by other rules, and see which alerts would be new and which would be gone. It
    /// reads and writes nothing, so it may run beside a service.
    #[command(after_help = "Example: florin fraud backtest --rules candidate.toml --from \
                      2026-01-01T00:00:00Z --show 100 --json")]
    Backtest(BacktestArgs),
}

/// Which rules, over which part of the past.
#[derive(Debug, Args)]
struct BacktestArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The rules to be tried (TOML, as `FLORIN_FRAUD_RULES` names them).
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,
    /// Compare with these rules instead of the alerts on record; an empty file has the defaults.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    #[command(flatten)]
    range: RangeArgs,
    /// How many new alerts, and how many that are gone, are told one by one.
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_SHOWN,
        value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_SHOWN))
    )]
    show: u32,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: &FraudArgs) -> Result<ExitCode, Failure> {
    match &args.verb {
        FraudVerb::Backtest(args) => backtest::run(args).await,
    }
}

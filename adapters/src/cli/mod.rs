//! The command line: one verb, one file.
//!
//! | exit code | says |
//! |---|---|
//! | 0 | it was done, or what was asked is so |
//! | 1 | it was not done, or what was asked is not so: the reason is on standard error |
//! | 2 | the arguments are not understood, or the variables, or the file of settings |
//! | 130 | Ctrl-C ended it: every verb may be ended at any moment, and what it has not committed has not
//!   happened |
//!
//! Answers go to standard output, as a table or with `--json` for machines; progress and complaints go
//! to standard error.

mod arguments;
mod as_of;
mod asyncapi;
mod balance;
mod checkpoint;
mod config;
mod dev;
mod diff;
mod dlq;
mod doctor;
mod events;
mod export;
mod fraud;
mod health;
mod history;
mod import;
mod migrate;
mod monkey;
mod openapi;
mod operator;
mod output;
mod past;
mod progress;
mod range;
mod rebuild;
mod relay;
mod serve;
mod service;
mod snapshot;
mod token;
mod verify;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::arguments::{NotUnderstood, Told};
use crate::config::environment;

/// Florin: an event-sourced wallet ledger.
#[derive(Debug, Parser)]
#[command(name = "florin")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run everything on this machine: a private Postgres and NATS, and the service.
    Dev(dev::DevArgs),
    /// Run the API against the Postgres and NATS that it is given.
    Serve(serve::ServeArgs),
    /// Run what is behind the API without it: the relay to NATS, unfinished transfers.
    Worker(worker::WorkerArgs),
    /// Create a ledger, or upgrade its schema.
    Migrate(migrate::MigrateArgs),
    /// Prove the ledger: positions, hash chain, balances, sums, read models, the stream.
    Verify(verify::VerifyArgs),
    /// Fold a read model anew beside the live one, compare, and switch to it.
    Rebuild(rebuild::RebuildArgs),
    /// Fill a schema with every read model as it was at a moment.
    AsOf(as_of::AsOfArgs),
    /// Read the journal, or one stream of it, and follow it.
    Events(events::EventsArgs),
    /// A wallet as it is, or as it was at any moment.
    Balance(balance::BalanceArgs),
    /// What moved a wallet's money, as it was told at any moment.
    History(history::HistoryArgs),
    /// Which events made the difference between a wallet at two moments.
    Diff(diff::DiffArgs),
    /// Write down where the journal is, and sign it, to be held against the journal later.
    Checkpoint(checkpoint::CheckpointArgs),
    /// See how far the events are published, or publish some again.
    Relay(relay::RelayArgs),
    /// See the events that read models could not apply; replay or discard them.
    Dlq(dlq::DlqArgs),
    /// Try other fraud rules on the past.
    Fraud(fraud::FraudArgs),
    /// Write the whole ledger, or a part of its journal, to a file.
    Export(export::ExportArgs),
    /// Make a ledger of such a file: all of it, or nothing if a line is not right.
    Import(import::ImportArgs),
    /// Write the snapshots of wallets anew from the journal.
    Snapshot(snapshot::SnapshotArgs),
    /// Look for what is wrong with a deployment, and say how it is mended.
    Doctor(doctor::DoctorArgs),
    /// Ask a running service whether it is ready, as a probe does.
    Health(health::HealthArgs),
    /// Show what a verb goes by: each setting, and where its value is from.
    Config(config::ConfigArgs),
    /// Print the OpenAPI document of the routes.
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApiArgs),
    /// Print the AsyncAPI document of the messages on NATS.
    #[command(name = "asyncapi")]
    AsyncApi(asyncapi::AsyncApiArgs),
    /// Print a token for development, signed with the secret of a service.
    Token(token::MintArgs),
    /// Stress a deployment with random money and check every answer.
    Monkey(monkey::MonkeyVerb),
}

/// What went wrong, said on standard error in one line; the exit code is then 1.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How the process ends where it is not understood what is asked for.
const NOT_UNDERSTOOD: u8 = 2;

/// Runs the verb that the arguments name.
pub async fn run() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let ended = match arguments::read(&arguments, environment::names()) {
        Ok(told) => done(told).await,
        // Which is how help is printed, too.
        Err(NotUnderstood::Arguments(error)) => error.exit(),
        Err(error @ (NotUnderstood::File(_) | NotUnderstood::Variable(_))) => {
            eprintln!("florin: {error}");
            return ExitCode::from(NOT_UNDERSTOOD);
        }
    };
    ended.unwrap_or_else(|error| {
        eprintln!("florin: {error}");
        ExitCode::FAILURE
    })
}

async fn done(told: Told) -> Result<ExitCode, Failure> {
    match told.cli.verb {
        Verb::Dev(args) => dev::run(args).await,
        Verb::Serve(args) => serve::run(args).await,
        Verb::Worker(args) => worker::run(args).await,
        Verb::Rebuild(args) => rebuild::run(&args).await,
        Verb::AsOf(args) => as_of::run(&args).await,
        Verb::Relay(args) => relay::run(&args).await,
        Verb::Dlq(args) => dlq::run(&args).await,
        Verb::Fraud(args) => fraud::run(&args).await,
        Verb::Migrate(args) => migrate::run(&args).await,
        Verb::Verify(args) => verify::run(&args).await,
        Verb::Events(args) => events::run(&args).await,
        Verb::Balance(args) => balance::run(&args).await,
        Verb::History(args) => history::run(&args).await,
        Verb::Diff(args) => diff::run(&args).await,
        Verb::Checkpoint(args) => checkpoint::run(&args).await,
        Verb::Export(args) => export::run(&args).await,
        Verb::Import(args) => import::run(&args).await,
        Verb::Snapshot(args) => snapshot::run(&args).await,
        Verb::Doctor(args) => doctor::run(&args).await,
        Verb::Health(args) => health::run(&args).await,
        Verb::Config(args) => config::run(&args, &told.matches, told.file.as_ref()),
        Verb::OpenApi(args) => openapi::run(&args),
        Verb::AsyncApi(args) => asyncapi::run(&args),
        Verb::Token(args) => token::run(args),
        Verb::Monkey(args) => monkey::run(&args).await,
    }
}

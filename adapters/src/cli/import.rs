use std::fs::File;
use std::io::{BufReader, IsTerminal as _, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::HumanCount;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc;

use super::Failure;
use super::output::{OutputArgs, document};
use super::progress::Progress;
use crate::archive::read::{End, Fault, Part, read};
use crate::config::AdminArgs;
use crate::postgres::import::import;

/// How many parts wait for Postgres, besides the one that is read and the one that is written.
const AHEAD: usize = 2;

/// How many bytes are read at once.
const BUFFER: usize = 1 << 20;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: FLORIN_PARTITIONS=4 florin migrate && florin import ledger.jsonl\n\
                  \n\
                  The ledger must be empty, with as many partitions as the file says. The chain, every \
                  invariant of `florin verify`, the end of each partition and the digest of the keys \
                  are checked line by line; what is wrong is named with its line, and then nothing is \
                  imported. Keys come with their outcomes, so that a request that is sent again has \
                  no second effect. Transfers whose money is in flight are carried on by the next \
                  worker. What is not in the file (see `florin export --help`) is not there."
)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// What `florin export` wrote, JSON lines or CSV; standard input if it is left out, or `-`.
    file: Option<PathBuf>,
}

/// Why there is nothing to read.
#[derive(Debug, Error)]
enum NoInput {
    #[error("{0} cannot be read: {1}")]
    File(PathBuf, std::io::Error),
    #[error("say which file, or give one to standard input: florin import < ledger.jsonl")]
    Terminal,
}

/// What there is now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Imported {
    events: u64,
    wallets: usize,
    /// None where the file has none.
    keys: Option<u64>,
    transfers_under_way: usize,
    /// The end of each partition.
    positions: Vec<String>,
}

impl From<&End> for Imported {
    fn from(end: &End) -> Self {
        let position =
            |((position, _), partition): (&(u64, _), u32)| format!("{partition}-{position}");
        Self {
            events: end.summary.events,
            wallets: end.summary.wallets,
            keys: end.keys,
            transfers_under_way: end.unfinished.len(),
            positions: end.heads.iter().zip(0..).map(position).collect(),
        }
    }
}

pub(super) async fn run(args: &ImportArgs) -> Result<ExitCode, Failure> {
    let input = input(args)?;
    let (sender, mut parts) = mpsc::channel(AHEAD);
    // A thread that nobody waits for: it may stand still in a pipe when Postgres has said no.
    std::thread::Builder::new()
        .name("import".to_owned())
        .spawn(move || read_all(input, &sender))?;
    let mut progress = None;
    let end = import(&args.admin.database_admin_url, &mut parts, |part| match part {
        Part::Header(header) => {
            let heads = header.heads.iter().filter_map(|head| head.parts());
            let events = heads.map(|(_, position, _)| position).sum();
            progress = Some(Progress::of("import", events));
        }
        Part::Events(events) => {
            if let Some(progress) = &progress {
                progress.add(events.len() as u64);
            }
        }
        Part::Keys(_) | Part::End(_) => {}
    })
    .await?;
    drop(progress);
    print(args, &Imported::from(&end))
}

fn input(args: &ImportArgs) -> Result<Box<dyn Read + Send>, NoInput> {
    match &args.file {
        Some(path) if path.as_os_str() != "-" => {
            let file = File::open(path).map_err(|error| NoInput::File(path.clone(), error))?;
            Ok(Box::new(file))
        }
        Some(_) | None if std::io::stdin().is_terminal() => Err(NoInput::Terminal),
        Some(_) | None => Ok(Box::new(std::io::stdin())),
    }
}

fn read_all(input: Box<dyn Read + Send>, sender: &mpsc::Sender<Result<Part, Fault>>) {
    let input = BufReader::with_capacity(BUFFER, input);
    if let Err(fault) = read(input, |part| sender.blocking_send(Ok(part)).is_ok()) {
        // Nobody to be told has ended already.
        let _ = sender.blocking_send(Err(fault));
    }
}

fn print(args: &ImportArgs, imported: &Imported) -> Result<ExitCode, Failure> {
    if args.output.json {
        document(imported)?;
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{} events of {} wallets are imported, and verify.",
        HumanCount(imported.events),
        HumanCount(imported.wallets as u64)
    );
    match imported.keys {
        Some(keys) => println!("{} keys are imported with their outcomes.", HumanCount(keys)),
        None => {
            println!("The file has no keys: a request of before that is sent again takes effect.")
        }
    }
    match imported.transfers_under_way {
        0 => {}
        count => println!("{count} transfers are under way: a worker carries them on."),
    }
    println!(
        "Not carried over: the record of calls, operations, dead letters, decisions about alerts. \
         Read models are folded anew."
    );
    Ok(ExitCode::SUCCESS)
}

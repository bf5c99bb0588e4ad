use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use florin_domain::{Operator, Reason, WalletId};
use florin_projections::dead_letters::{
    DeadLetter, Filter, LetterId, LetterList, MAX_LIST, ParkedWallet, State,
};
use florin_projections::models;
use florin_projections::read_model::Fault;
use florin_projections::replay::Outcome;
use serde::Serialize;

use super::Failure;
use super::output::printable;
use crate::config::DatabaseArgs;
use crate::dead_letters::{DeadLetterDesk, Decided, OTHERS};
use crate::http::dead_letters::{DEFAULT_LIMIT, DecidedAnswer, LetterAnswer, ListAnswer};
use crate::postgres::PostgresJournal;

/// How much of a text a line of a table has: a sentence. `show` has all of it.
const MAX_TEXT: usize = 80;

#[derive(Debug, Args)]
#[command(after_help = "Example: florin dlq list --state open --database-url postgres://…")]
pub(super) struct DlqArgs {
    #[command(subcommand)]
    verb: DlqVerb,
}

#[derive(Debug, Subcommand)]
enum DlqVerb {
    /// The events that read models could not apply, the wallets that are parked for them, the
    /// operations that came to no outcome, and the messages that came to nothing.
    #[command(after_help = "Example: florin dlq list --projection balance --state open --limit 20")]
    List(ListArgs),
    /// One of them, with its payload and why it was not applied.
    #[command(after_help = "Example: florin dlq show balance:0:123")]
    Show(LetterArgs),
    /// Fold its wallet anew, with all that waits behind it; ends with 1 if that is not possible yet.
    /// An operation or a message is queued again.
    #[command(after_help = "Example: florin dlq replay balance:0:123")]
    Replay(LetterArgs),
    /// Decide that it is never applied, and fold its wallet without it; an operation stays failed, a
    /// message does nothing.
    #[command(
        after_help = "Example: florin dlq discard balance:0:123 --by olga --reason \"a mistake\""
    )]
    Discard(DiscardArgs),
}

/// How the answer is printed.
#[derive(Debug, Args)]
struct OutputArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Print one JSON document, as the API answers it.
    #[arg(long)]
    json: bool,
}

/// Which page of which dead letters.
#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// Of this projection only.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(projections()))]
    projection: Option<String>,
    /// Of this wallet only.
    #[arg(long, value_name = "ID")]
    wallet: Option<WalletId>,
    /// In this state only: open, replayed or discarded.
    #[arg(long)]
    state: Option<State>,
    /// How many at most.
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_LIMIT,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LIST))
    )]
    limit: u32,
    /// The `nextCursor` of the page before.
    #[arg(long)]
    cursor: Option<LetterId>,
}

/// Which dead letter.
#[derive(Debug, Args)]
struct LetterArgs {
    #[command(flatten)]
    output: OutputArgs,
    /// `<projection>:<partition>:<position>`, as the list has it.
    id: LetterId,
}

/// Which dead letter is never applied, by whose decision.
#[derive(Debug, Args)]
struct DiscardArgs {
    #[command(flatten)]
    letter: LetterArgs,
    /// Who decides.
    #[arg(long, value_name = "NAME")]
    by: Operator,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Reason,
}

fn projections() -> Vec<&'static str> {
    models::all().iter().map(|model| model.name()).chain(OTHERS).collect()
}

pub(super) async fn run(args: &DlqArgs) -> Result<ExitCode, Failure> {
    match &args.verb {
        DlqVerb::List(args) => list(args).await,
        DlqVerb::Show(args) => show(args).await,
        DlqVerb::Replay(args) => replay(args).await,
        DlqVerb::Discard(args) => discard(args).await,
    }
}

async fn desk(output: &OutputArgs) -> Result<DeadLetterDesk, Failure> {
    let journal = PostgresJournal::open(&output.database.database_url, None).await?;
    Ok(DeadLetterDesk::new(journal.pool().clone(), Arc::new(journal), models::all()))
}

async fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let desk = desk(&args.output).await?;
    let filter = Filter {
        projection: args.projection.clone(),
        wallet_id: args.wallet.as_ref().map(|wallet| wallet.as_str().to_owned()),
        state: args.state,
    };
    let list = desk.list(&filter, args.cursor.as_ref(), args.limit).await?;
    if args.output.json {
        return json(&ListAnswer::from(&list));
    }
    print_list(&list);
    print_parked(&desk.parked(args.projection.as_deref()).await?);
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &LetterArgs) -> Result<ExitCode, Failure> {
    let letter = desk(&args.output).await?.show(&args.id).await?;
    if args.output.json {
        return json(&LetterAnswer::from(&letter));
    }
    print_letter(&letter);
    Ok(ExitCode::SUCCESS)
}

async fn replay(args: &LetterArgs) -> Result<ExitCode, Failure> {
    let decided = desk(&args.output).await?.replay(&args.id).await?;
    print_decided(&args.output, &decided)?;
    Ok(match decided.outcome {
        Outcome::Replayed { .. } | Outcome::Queued => ExitCode::SUCCESS,
        // The dead letter is as open as it was.
        Outcome::StillParked(_) | Outcome::NothingToFold => ExitCode::FAILURE,
    })
}

/// The decision is made, whatever else the wallet is parked for.
async fn discard(args: &DiscardArgs) -> Result<ExitCode, Failure> {
    let LetterArgs { output, id } = &args.letter;
    let decided = desk(output).await?.discard(id, &args.by, &args.reason).await?;
    print_decided(output, &decided)?;
    Ok(ExitCode::SUCCESS)
}

fn json(answer: &impl Serialize) -> Result<ExitCode, Failure> {
    println!("{}", serde_json::to_string_pretty(answer)?);
    Ok(ExitCode::SUCCESS)
}

fn print_list(list: &LetterList) {
    println!(
        "{:<24} {:<9} {:>8}  {:<20} {:<20} {:<20}  error",
        "dead letter", "state", "attempts", "wallet", "event", "set aside"
    );
    for letter in &list.letters {
        let (id, wallet) =
            (letter.id.to_string(), letter.wallet_id.as_deref().unwrap_or("unknown"));
        println!(
            "{id:<24} {:<9} {:>8}  {:<20} {:<20} {}  {}",
            letter.state.name(),
            letter.attempts,
            line(wallet),
            line(&letter.event_type),
            seconds(letter.first_at),
            line(&letter.error),
        );
    }
    if let Some(next) = &list.next {
        println!("There are more: --cursor {next}");
    }
}

fn print_parked(parked: &[ParkedWallet]) {
    if parked.is_empty() {
        println!("No wallet is parked.");
        return;
    }
    println!("\n{:<12} {:<20} {:>14}  {:<20}  error", "projection", "parked wallet", "at", "since");
    for wallet in parked {
        println!(
            "{:<12} {:<20} {:>14}  {}  {}",
            wallet.projection,
            line(&wallet.wallet_id),
            wallet.position,
            seconds(wallet.since),
            line(&wallet.error)
        );
    }
    if parked.len() == MAX_LIST as usize {
        println!("There may be more than these {MAX_LIST}.");
    }
}

fn print_letter(letter: &DeadLetter) {
    for (name, value) in [
        ("dead letter", letter.id.to_string()),
        ("state", letter.state.name().to_owned()),
        ("wallet", printable(letter.wallet_id.as_deref().unwrap_or("unknown"))),
        ("error", printable(&letter.error)),
        ("attempts", letter.attempts.to_string()),
        ("set aside", seconds(letter.first_at)),
        ("last tried", seconds(letter.last_at)),
        ("stream", printable(&format!("{}/{}", letter.aggregate_type, letter.aggregate_id))),
        ("sequence", letter.sequence.to_string()),
        ("event", printable(&format!("{} {}", letter.event_type, letter.event_version))),
        ("recorded", seconds(letter.recorded_at)),
        ("payload", printable(&letter.payload)),
        ("metadata", printable(&letter.metadata)),
    ] {
        println!("{name:<12} {value}");
    }
    if let (Some(by), Some(reason)) = (&letter.decided_by, &letter.reason) {
        println!("{:<12} {by}: {reason}", "discarded by");
    }
}

fn print_decided(output: &OutputArgs, decided: &Decided) -> Result<(), Failure> {
    if output.json {
        return json(&DecidedAnswer::from(decided)).map(drop);
    }
    let id = &decided.letter.id;
    let wallet = printable(decided.letter.wallet_id.as_deref().unwrap_or("unknown"));
    match &decided.outcome {
        Outcome::Replayed { events, position } => println!(
            "{wallet} is back in {}: {events} events are folded, up to position {position}.",
            id.projection
        ),
        Outcome::StillParked(Fault { position, error }) => println!(
            "{wallet} stays parked in {} at position {position}: {}",
            id.projection,
            printable(error)
        ),
        Outcome::Queued => println!("{id} is queued again."),
        Outcome::NothingToFold => {
            println!("{id} parks no wallet, so there was nothing to fold.");
        }
    }
    Ok(())
}

fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The beginning of a text, for a line of a table.
fn line(text: &str) -> String {
    let text = printable(text);
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_beginning_of_a_long_text() {
        assert_eq!(line("é"), "é");
        let long = line(&"é".repeat(MAX_TEXT + 1));
        assert_eq!(long, format!("{}…", "é".repeat(MAX_TEXT)));
    }
}

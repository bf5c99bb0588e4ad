use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::output::{OutputArgs, document};
use super::rebuild::{Bar, WorkshopArgs};
use super::{Failure, range};
use crate::moment::{Moment, listed, place};

/// The longest name that Postgres does not cut.
const MAX_SCHEMA: usize = 63;

#[derive(Debug, Args)]
#[command(after_help = "Example: florin as-of 2026-01-31T23:59:59Z --into january\n\n\
    Then: psql -c 'SELECT sum(balance) FROM january.balances', or florin serve --as-of january.")]
pub(super) struct AsOfArgs {
    /// The moment: a time, or a position of every partition (0-123,1-456).
    #[arg(value_name = "TIME|POSITION")]
    moment: Moment,
    /// The schema to be made, with every read model as it was then.
    #[arg(long, value_name = "SCHEMA", value_parser = schema)]
    into: String,
    /// Make it anew, if this verb made it before.
    #[arg(long)]
    clean: bool,
    #[command(flatten)]
    workshop: WorkshopArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A name that needs no quotes anywhere, and that is not Postgres' own or the ledger's.
pub(super) fn schema(text: &str) -> Result<String, String> {
    let is_letter = |c: char| c.is_ascii_lowercase() || c == '_';
    let is_name = text.starts_with(is_letter)
        && text.chars().all(|c| is_letter(c) || c.is_ascii_digit())
        && text.len() <= MAX_SCHEMA;
    let is_taken = text == "public" || text.starts_with("pg_") || text.starts_with("florin_");
    match is_name && !is_taken {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a schema's name has 1 to {MAX_SCHEMA} small letters, digits and _, begins with none of \
             the digits, with pg_ or florin_, and is not public"
        )),
    }
}

pub(super) async fn run(args: &AsOfArgs) -> Result<ExitCode, Failure> {
    let workshop = args.workshop.open().await?;
    let positions = range::as_of(workshop.journal(), &args.moment).await?;
    let mut bar = Bar::default();
    let mut told = |what| bar.shows(what);
    workshop.as_of(&args.into, &positions, args.clean, &mut told).await?;
    drop(bar);
    let places = || positions.iter().map(|(partition, at)| place(*partition, *at)).collect();
    match args.output.json {
        true => document(&AsOfAnswer { schema: &args.into, positions: places() })?,
        false => {
            println!("The schema {} has every read model as of {}.", args.into, listed(&positions))
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
struct AsOfAnswer<'a> {
    schema: &'a str,
    positions: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::schema;

    #[test]
    fn a_schema_has_a_name_that_needs_no_quotes() {
        for name in ["january", "as_of_2026", "_x"] {
            assert_eq!(schema(name).as_deref(), Ok(name));
        }
        let long = "a".repeat(64);
        for name in ["", "January", "2026", "a-b", "a b", "public", "pg_x", "florin_x", &long] {
            assert!(schema(name).is_err(), "{name}");
        }
    }
}

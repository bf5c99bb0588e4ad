//! How a verb says what it found: a table for people, JSON for machines.

use clap::Args;
use serde::Serialize;

use super::Failure;

/// How the answer is printed.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct OutputArgs {
    /// Print JSON: one document, or where there are many a line each.
    #[arg(long)]
    pub(super) json: bool,
}

/// One document, for people to read as well.
pub(super) fn document(answer: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(answer)?);
    Ok(())
}

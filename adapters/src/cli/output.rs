//! How a verb says what it found: a table for people, JSON for machines.

use std::io::ErrorKind;

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

/// Whoever reads may have enough before there is no more, as in `florin events | head`: that is no
/// failure.
pub(super) fn read_enough(printed: Result<(), Failure>) -> Result<(), Failure> {
    let is_enough = |error: &Failure| {
        let io = error.downcast_ref::<std::io::Error>();
        io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    match printed {
        Err(error) if is_enough(&error) => Ok(()),
        printed => printed,
    }
}

/// A text on one line: what nobody can read may hold anything, also what a terminal obeys.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_not_printed() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{FFFD}[2Jb\u{FFFD}c");
    }
}

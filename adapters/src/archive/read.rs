//! Reads a file and checks it, and hands on what is right, some thousand records at a time.
//!
//! Nothing here knows of a database: whoever takes the parts must undo what it did with them if a
//! later one is not right.

use std::io::BufRead;

use florin_domain::journal::RecordedEvent;
use thiserror::Error;

use super::check::{Check, Taken, Unfit};
use super::csv::Rows;
use super::jsonl::Lines;
use super::record::Record;
use super::{Broken, Header, KeyRow};

pub use super::check::End;

/// How many records are handed on at once: some megabytes.
const AT_ONCE: usize = 5_000;

/// A part of a file that is right so far.
#[derive(Debug)]
pub enum Part {
    /// What it begins with.
    Header(Header),
    /// Keys, with their lines.
    Keys(Vec<(u64, KeyRow)>),
    /// Events, with their lines.
    Events(Vec<(u64, RecordedEvent)>),
    /// All of it is right.
    End(Box<End>),
}

/// Why a file is not taken.
#[derive(Debug, Error)]
pub enum Fault {
    /// A line is wrong, or something is missing there.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// All lines are right, and one transfer is not.
    #[error("{0}")]
    Transfer(String),
}

/// Either form.
enum Form<R: BufRead> {
    Jsonl(Lines<R>),
    Csv(Rows<R>),
}

/// Reads a file, in whichever form it begins, for as long as `take` says that it goes on.
///
/// # Errors
/// The first [`Fault`].
pub fn read(mut input: impl BufRead, mut take: impl FnMut(Part) -> bool) -> Result<(), Fault> {
    let begin = input.fill_buf().map_err(|error| Broken { line: 1, what: error.to_string() })?;
    let mut form = match begin.first() {
        Some(b'{') | None => Form::Jsonl(Lines::new(input)),
        Some(_) => Form::Csv(Rows::new(input)),
    };
    let (mut check, mut last) = (Check::default(), 1);
    let (mut keys, mut events) = (Vec::new(), Vec::new());
    while let Some((line, record)) = form.next()? {
        last = line;
        let taken = check.take(record).map_err(|what| Broken { line, what })?;
        let goes_on = match taken {
            Taken::Header(header) => take(Part::Header(header)),
            Taken::Key(key) => add(&mut keys, (line, key), Part::Keys, &mut take),
            Taken::Event(event) => add(&mut events, (line, event), Part::Events, &mut take),
            Taken::Nothing => true,
        };
        if !goes_on {
            return Ok(());
        }
    }
    if !(take(Part::Keys(keys)) && take(Part::Events(events))) {
        return Ok(());
    }
    let end = check.finish().map_err(|unfit| match unfit {
        Unfit::Cut(what) => Broken { line: last, what }.into(),
        Unfit::Transfer(what) => Fault::Transfer(what),
    })?;
    take(Part::End(Box::new(end)));
    Ok(())
}

fn add<T>(
    rows: &mut Vec<T>,
    row: T,
    part: fn(Vec<T>) -> Part,
    take: &mut impl FnMut(Part) -> bool,
) -> bool {
    rows.push(row);
    rows.len() < AT_ONCE || take(part(std::mem::take(rows)))
}

impl<R: BufRead> Form<R> {
    fn next(&mut self) -> Result<Option<(u64, Record)>, Broken> {
        match self {
            Self::Jsonl(lines) => lines.next(),
            Self::Csv(rows) => rows.next(),
        }
    }
}

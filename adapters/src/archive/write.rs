//! Writes a file, a record after the other, as they come.

use std::io::{BufWriter, Write};

use clap::ValueEnum;
use florin_domain::journal::RecordedEvent;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::csv::{COLUMNS, write_event, write_other, writer};
use super::record::{EventLine, Line, exact, key_json};
use super::{Header, KeyRow, KeysEnd};
use crate::hex::hex;

/// How many bytes are gathered before they are written.
const BUFFER: usize = 1 << 20;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// RFC 4180.
    Csv,
}

/// Where to, in which form.
enum Form<W: Write> {
    Jsonl(BufWriter<W>),
    Csv(Box<csv::Writer<BufWriter<W>>>),
}

/// A file that is being written.
pub struct Archive<W: Write> {
    form: Form<W>,
    keys: Digest,
}

/// What the keys come to.
#[derive(Default)]
pub(super) struct Digest {
    count: u64,
    hasher: Sha256,
}

impl Digest {
    pub(super) fn add(&mut self, json: &str) {
        self.count += 1;
        self.hasher.update(json);
        self.hasher.update("\n");
    }

    pub(super) fn end(self) -> KeysEnd {
        KeysEnd { count: self.count, sha256: hex(&self.hasher.finalize()) }
    }
}

impl<W: Write> Archive<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, format: Format, header: &Header) -> std::io::Result<Self> {
        let out = BufWriter::with_capacity(BUFFER, out);
        let mut form = match format {
            Format::Jsonl => Form::Jsonl(out),
            Format::Csv => Form::Csv(Box::new(writer(out))),
        };
        match &mut form {
            Form::Jsonl(out) => write_line(out, &Line::Journal(header.clone()))?,
            Form::Csv(out) => {
                out.write_record(COLUMNS)?;
                write_other(out, "journal", &serde_json::to_string(header)?)?;
            }
        }
        Ok(Self { form, keys: Digest::default() })
    }

    /// Adds a key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn key(&mut self, row: &KeyRow) -> std::io::Result<()> {
        let json = key_json(row)?;
        match &mut self.form {
            Form::Jsonl(out) => writeln!(out, "{{\"key\":{json}}}")?,
            Form::Csv(out) => write_other(out, "key", &json)?,
        }
        self.keys.add(&json);
        Ok(())
    }

    /// Says that there are no more keys; how many there were.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end_keys(&mut self) -> std::io::Result<u64> {
        let end = std::mem::take(&mut self.keys).end();
        match &mut self.form {
            Form::Jsonl(out) => write_line(out, &Line::Keys(end.clone()))?,
            Form::Csv(out) => write_other(out, "keys", &serde_json::to_string(&end)?)?,
        }
        Ok(end.count)
    }

    /// Adds an event.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn event(&mut self, event: &RecordedEvent) -> std::io::Result<()> {
        match &mut self.form {
            Form::Jsonl(out) => {
                let (payload, metadata) = (exact(&event.payload)?, exact(&event.metadata)?);
                write_line(out, &Line::Event(EventLine::of(event, &payload, &metadata)))
            }
            Form::Csv(out) => Ok(write_event(out, event)?),
        }
    }

    /// Hands everything on; what it was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> std::io::Result<W> {
        let out = match self.form {
            Form::Jsonl(out) => out,
            Form::Csv(out) => {
                out.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?
            }
        };
        out.into_inner().map_err(std::io::IntoInnerError::into_error)
    }
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

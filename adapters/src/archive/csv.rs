//! A file as CSV (RFC 4180): the names of the columns, then a row for each line of the other form, in
//! the same order.
//!
//! | `kind` | `payload` | the other columns |
//! |---|---|---|
//! | `journal` | the JSON of the first line | |
//! | `key` | the JSON of the key | |
//! | `keys` | the JSON of what keys end with | |
//! | `event` | the payload as it is stored | those of the event |
//!
//! Texts are as they are, also those that a spreadsheet takes for a formula: it is a ledger for
//! programs, and every byte is under a hash.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use csv::{QuoteStyle, ReaderBuilder, StringRecord, Terminator, WriterBuilder};
use florin_domain::journal::RecordedEvent;

use super::record::{Columns, KeyLine, Record};
use super::{Broken, MAX_LINE};
use crate::hex::hex;
use crate::moment::place;

/// The names of the columns.
pub const COLUMNS: [&str; 12] = [
    "kind",
    "position",
    "aggregateType",
    "aggregateId",
    "sequence",
    "eventType",
    "eventVersion",
    "recordedAt",
    "balance",
    "payload",
    "metadata",
    "hash",
];

pub(super) fn writer<W: Write>(out: W) -> csv::Writer<W> {
    WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .quote_style(QuoteStyle::Necessary)
        .from_writer(out)
}

/// A row that is no event.
pub(super) fn write_other<W: Write>(
    out: &mut csv::Writer<W>,
    kind: &str,
    json: &str,
) -> Result<(), csv::Error> {
    out.write_record([kind, "", "", "", "", "", "", "", "", json, "", ""])
}

/// The row of an event.
pub(super) fn write_event<W: Write>(
    out: &mut csv::Writer<W>,
    event: &RecordedEvent,
) -> Result<(), csv::Error> {
    out.write_record([
        "event",
        &place(event.partition, event.position),
        event.aggregate_type,
        &event.aggregate_id,
        &event.sequence.to_string(),
        &event.event_type,
        &event.event_version,
        &event.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        &event.balance.map(|balance| balance.to_string()).unwrap_or_default(),
        &event.payload,
        &event.metadata,
        &hex(&event.hash),
    ])
}

/// Gives no more than so many bytes until it is allowed more: a row may be quoted for ever.
struct Bounded<R> {
    input: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Err(std::io::Error::other(format!("is longer than {MAX_LINE} bytes")));
        }
        let count = self.input.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left.set(self.left.get() - count as u64);
        Ok(count)
    }
}

pub(super) struct Rows<R> {
    rows: csv::Reader<Bounded<R>>,
    left: Rc<Cell<u64>>,
    is_begun: bool,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(input: R) -> Self {
        let left = Rc::new(Cell::new(MAX_LINE));
        let rows = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(Bounded { input, left: Rc::clone(&left) });
        Self { rows, left, is_begun: false }
    }

    /// The next record and the line on which it begins.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Record)>, Broken> {
        if !self.is_begun {
            self.is_begun = true;
            let Some((line, names)) = self.row()? else { return Ok(None) };
            if names != COLUMNS[..] {
                let what = format!("the columns of an export are {}", COLUMNS.join(","));
                return Err(Broken { line, what });
            }
        }
        let Some((line, row)) = self.row()? else { return Ok(None) };
        let record = record(&row).map_err(|what| Broken { line, what })?;
        Ok(Some((line, record)))
    }

    fn row(&mut self) -> Result<Option<(u64, StringRecord)>, Broken> {
        self.left.set(MAX_LINE);
        let mut row = StringRecord::new();
        let before = self.rows.position().line();
        let is_there = self.rows.read_record(&mut row).map_err(|error| {
            let line = error.position().map_or(before, csv::Position::line);
            Broken { line, what: format!("cannot be read as a row of an export: {error}") }
        })?;
        let line = row.position().map_or(before, csv::Position::line);
        Ok(is_there.then_some((line, row)))
    }
}

fn record(row: &StringRecord) -> Result<Record, String> {
    if row.len() != COLUMNS.len() {
        return Err(format!("a row has {} columns, this one has {}", COLUMNS.len(), row.len()));
    }
    let column = |name: &str| COLUMNS.iter().position(|of| *of == name).and_then(|at| row.get(at));
    let text = |name: &str| column(name).unwrap_or_default();
    let json = text("payload");
    let unread = |error: serde_json::Error| format!("its payload cannot be read: {error}");
    Ok(match text("kind") {
        "journal" => Record::Header(serde_json::from_str(json).map_err(unread)?),
        "key" => Record::Key(serde_json::from_str::<KeyLine<'_>>(json).map_err(unread)?.row()?),
        "keys" => Record::KeysEnd(serde_json::from_str(json).map_err(unread)?),
        "event" => Record::Event(
            Columns {
                position: text("position"),
                aggregate_type: text("aggregateType"),
                aggregate_id: text("aggregateId"),
                sequence: read("sequence", text("sequence"))?,
                event_type: text("eventType"),
                event_version: text("eventVersion"),
                recorded_at: read::<DateTime<Utc>>("recordedAt", text("recordedAt"))?,
                balance: match text("balance") {
                    "" => None,
                    balance => Some(read("balance", balance)?),
                },
                payload: json.to_owned(),
                metadata: text("metadata").to_owned(),
                hash: text("hash"),
            }
            .event()?,
        ),
        unknown => return Err(format!("no row is a `{unknown}`")),
    })
}

fn read<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` cannot be read as {name}"))
}

//! A file of JSON lines, one record each.

use std::io::{BufRead, Read as _};

use super::record::{Line, Record};
use super::{Broken, MAX_LINE};

pub(super) struct Lines<R> {
    input: R,
    line: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: 0, text: Vec::new() }
    }

    /// The next record and its line.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Record)>, Broken> {
        self.line += 1;
        let line = self.line;
        self.read_line().map_err(|what| Broken { line, what })?;
        if self.text.is_empty() {
            return Ok(None);
        }
        let record = record(&self.text).map_err(|what| Broken { line, what })?;
        Ok(Some((line, record)))
    }

    fn read_line(&mut self) -> Result<(), String> {
        self.text.clear();
        let read = (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut self.text);
        read.map_err(|error| format!("cannot be read: {error}"))?;
        match self.text.len() as u64 == MAX_LINE && !self.text.ends_with(b"\n") {
            true => Err(format!("is longer than {MAX_LINE} bytes")),
            false => Ok(()),
        }
    }
}

fn record(text: &[u8]) -> Result<Record, String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("is not UTF-8: {error}"))?;
    let line = serde_json::from_str(text)
        .map_err(|error| format!("cannot be read as a line of an export: {error}"))?;
    Ok(match line {
        Line::Journal(header) => Record::Header(header),
        Line::Key(key) => Record::Key(key.row()?),
        Line::Keys(end) => Record::KeysEnd(end),
        Line::Event(event) => Record::Event(event.event()?),
    })
}

//! The journal as a whole, as fast as one connection gives it: for proofs, rebuilds, exports, and
//! whatever else reads millions of events.
//!
//! ```text
//! COPY … TO STDOUT (FORMAT binary) ─rows▶ decode ─pages▶ whoever folds them
//!        one page a statement            └─ two pages ahead, in a task of its own ─┘
//! ```
//!
//! A page costs half of what it costs as the answer of a query: no column is looked up by its name,
//! and a balance does not become a text and a number again. Events never change, so that a range of
//! positions is the same whoever reads it when: it needs no transaction around it, and the statements
//! are short.
//!
//! Bounds: [`PAGE`] events a statement, [`AHEAD`] pages waiting besides the one that is read and the one
//! that is folded: some 60 MB.
//!
//! Source of the format: PostgreSQL, "COPY", "Binary Format"; `numeric_send` and `timestamptz_send` for
//! the two columns that are not what they look like.

use std::error::Error as _;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use florin_application::journal::JournalError;
use florin_domain::journal::{Hash, RecordedEvent, event_type_named};
use florin_projections::audit::Unreadable;
use futures::TryStreamExt as _;
use rust_decimal::Decimal;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::PostgresJournal;
use super::row::{aggregate_type, hash, read_error, unsigned};

/// How many events a statement reads: some ten megabytes, and enough that the round trip is nothing.
pub const PAGE: u64 = 10_000;

/// How many pages wait to be folded.
const AHEAD: usize = 2;

/// What a binary copy begins with, besides two lengths, which are zero.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const HEADER: usize = SIGNATURE.len() + 8;

/// Where Postgres' time begins, in microseconds after 1970.
const EPOCH: DateTime<Utc> = DateTime::from_timestamp(946_684_800, 0).expect("a time");

/// A range of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Which partition.
    pub partition: u32,
    /// What is before it: its last event, or 0.
    pub after: u64,
    /// Its own last event.
    pub up_to: u64,
}

impl Range {
    /// How many events it has.
    pub fn events(&self) -> u64 {
        self.up_to.saturating_sub(self.after)
    }
}

/// What a statement reads.
#[derive(Debug, Default)]
pub struct Page {
    /// The events, in order.
    pub events: Vec<RecordedEvent>,
    /// The rows that are none, in order; somebody wrote them past the program.
    pub unreadable: Vec<Unreadable>,
}

/// The pages of a range, in order. Dropping it ends the reading.
pub struct Scan {
    pages: mpsc::Receiver<Result<Page, JournalError>>,
    reading: JoinHandle<()>,
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Scan {
    /// Begins to read. What is missing is not reported: whoever reads counts positions.
    pub fn start(journal: &PostgresJournal, range: Range) -> Self {
        let Range { partition, after, up_to } = range;
        let (sender, pages) = mpsc::channel(AHEAD);
        let options = journal.options();
        let reading = tokio::spawn(async move {
            let mut connection = match PgConnection::connect_with(&options).await {
                Ok(connection) => connection,
                Err(error) => return drop(sender.send(Err(read_error(error))).await),
            };
            let mut from = after;
            while from < up_to {
                let to = up_to.min(from.saturating_add(PAGE));
                let page = page(&mut connection, partition, from, to).await;
                let is_over = page.is_err();
                if sender.send(page).await.is_err() || is_over {
                    return;
                }
                from = to;
            }
        });
        Self { pages, reading }
    }

    /// The next page; none at the end. A page is empty where the journal has nothing of it.
    ///
    /// # Errors
    /// [`JournalError`], also for a row that is no event; what follows is then not to be relied on.
    pub async fn next(&mut self) -> Result<Option<Vec<RecordedEvent>>, JournalError> {
        let Some(Page { events, unreadable }) = self.next_page().await? else { return Ok(None) };
        match unreadable.first() {
            None => Ok(Some(events)),
            Some(Unreadable { position, cause, .. }) => {
                Err(JournalError::corrupt(format!("the event at {position}: {cause}")))
            }
        }
    }

    /// The same for whoever wants to know of every row, whatever it is.
    ///
    /// # Errors
    /// [`JournalError`], and then no more pages.
    pub async fn next_page(&mut self) -> Result<Option<Page>, JournalError> {
        self.pages.recv().await.transpose()
    }
}

/// The events after a position and up to another one.
async fn page(
    connection: &mut PgConnection,
    partition: u32,
    after: u64,
    up_to: u64,
) -> Result<Page, JournalError> {
    // A copy takes no parameters; these are numbers.
    let statement = format!(
        "COPY (SELECT partition, position, aggregate_type, aggregate_id, sequence, event_type,
                      event_version, payload, metadata, balance, recorded_at, hash
                 FROM events WHERE partition = {partition} AND position > {after}
                  AND position <= {up_to} ORDER BY position) TO STDOUT (FORMAT binary)"
    );
    let mut rows = connection.copy_out_raw(&statement).await.map_err(read_error)?;
    let capacity = usize::try_from(up_to - after).unwrap_or_default();
    let mut page = Page { events: Vec::with_capacity(capacity), unreadable: Vec::new() };
    // What a message ends with that is not a whole row; messages are rows, as servers are now.
    let mut rest = Vec::new();
    let mut is_first = true;
    while let Some(bytes) = rows.try_next().await.map_err(read_error)? {
        let joined;
        let mut fields = Fields(match rest.is_empty() {
            true => &bytes,
            false => {
                rest.extend_from_slice(&bytes);
                joined = std::mem::take(&mut rest);
                &joined
            }
        });
        if is_first {
            if fields.0.len() < HEADER {
                rest = fields.0.to_vec();
                continue;
            }
            fields.header()?;
            is_first = false;
        }
        loop {
            let row = fields.0;
            match fields.event() {
                Ok(event) => page.events.push(event),
                Err(Unread::End) => break,
                Err(Unread::More) => {
                    rest = row.to_vec();
                    break;
                }
                Err(Unread::Corrupt(error)) => {
                    fields.0 = row;
                    match fields.unreadable(&error) {
                        Ok(row) => page.unreadable.push(row),
                        Err(Unread::End) => break,
                        Err(Unread::More) => {
                            rest = row.to_vec();
                            break;
                        }
                        Err(Unread::Corrupt(error)) => return Err(error),
                    }
                }
            }
        }
    }
    Ok(page)
}

/// Why there is no event.
enum Unread {
    /// The bytes end before the row does.
    More,
    /// The copy is over.
    End,
    /// It is not as this version writes it.
    Corrupt(JournalError),
}

impl From<JournalError> for Unread {
    fn from(error: JournalError) -> Self {
        Self::Corrupt(error)
    }
}

/// What is left of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn header(&mut self) -> Result<(), JournalError> {
        let rest = self.0.strip_prefix(SIGNATURE).and_then(|rest| rest.get(8..));
        self.0 = rest.ok_or_else(|| JournalError::corrupt("not a binary copy"))?;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unread> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Unread::More)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// The bytes of the next column; `None` for NULL.
    fn optional(&mut self) -> Result<Option<&'a [u8]>, Unread> {
        let Ok(length) = usize::try_from(i32::from_be_bytes(self.take()?)) else { return Ok(None) };
        let (value, rest) = self.0.split_at_checked(length).ok_or(Unread::More)?;
        self.0 = rest;
        Ok(Some(value))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Unread> {
        let value = self.optional()?;
        value.ok_or_else(|| JournalError::corrupt("a column of events is NULL").into())
    }

    fn text(&mut self) -> Result<&'a str, Unread> {
        let text = std::str::from_utf8(self.bytes()?);
        text.map_err(|error| JournalError::corrupt(error).into())
    }

    fn number(&mut self) -> Result<u64, Unread> {
        let bytes = self.bytes()?;
        let number = bytes.try_into().map(i64::from_be_bytes).map_err(JournalError::corrupt)?;
        Ok(unsigned(number)?)
    }

    /// The next row.
    fn event(&mut self) -> Result<RecordedEvent, Unread> {
        // Between two messages nothing is missing.
        if self.0.is_empty() {
            return Err(Unread::End);
        }
        let columns = i16::from_be_bytes(self.take()?);
        if columns < 0 {
            return Err(Unread::End);
        }
        let partition = self.bytes()?.try_into().map(i32::from_be_bytes);
        let partition = unsigned(partition.map_err(JournalError::corrupt)?)?;
        let position = self.number()?;
        Ok(RecordedEvent {
            partition,
            position,
            aggregate_type: aggregate_type(self.text()?)?,
            aggregate_id: self.text()?.into(),
            sequence: self.number()?,
            event_type: event_type_named(self.text()?),
            event_version: self.text()?.to_owned(),
            payload: self.text()?.to_owned(),
            metadata: Arc::from(self.text()?),
            balance: self.optional()?.map(amount).transpose()?,
            recorded_at: self.time()?,
            hash: hash(self.bytes()?)? as Hash,
        })
    }

    /// The same row, when it is no event: what can be said of it all the same.
    fn unreadable(&mut self, error: &JournalError) -> Result<Unreadable, Unread> {
        let columns = i16::from_be_bytes(self.take()?);
        let (mut position, mut last) = (0, None);
        for column in 0..columns {
            last = self.optional()?;
            if column == 1 {
                // It is what the page is read by: a number, and above zero.
                let bytes = last.and_then(|bytes| bytes.try_into().ok());
                position = bytes.map(i64::from_be_bytes).map_or(Ok(0), unsigned)?;
            }
        }
        let hash = last.and_then(|bytes| hash(bytes).ok());
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Ok(Unreadable { position, hash, cause })
    }

    fn time(&mut self) -> Result<DateTime<Utc>, Unread> {
        let micros = self.bytes()?.try_into().map(i64::from_be_bytes);
        let since = TimeDelta::microseconds(micros.map_err(JournalError::corrupt)?);
        let time = EPOCH.checked_add_signed(since);
        time.ok_or_else(|| JournalError::corrupt("a time that is out of range").into())
    }
}

/// A `numeric` as it is sent: how many digits to the base of 10,000, the weight of the first, the sign,
/// how many decimals are shown, the digits.
fn amount(bytes: &[u8]) -> Result<Decimal, JournalError> {
    let (words, _) = bytes.as_chunks::<2>();
    let mut words = words.iter().map(|word| u16::from_be_bytes(*word));
    let mut word = || words.next().ok_or_else(|| JournalError::corrupt("half an amount"));
    let (count, weight, sign, scale) = (word()?, word()?.cast_signed(), word()?, word()?);
    let unknown = || JournalError::corrupt("an amount that is no number of this ledger");
    let mut value = 0_i128;
    for _ in 0..count {
        let next =
            value.checked_mul(10_000).and_then(|value| value.checked_add(word().ok()?.into()));
        value = next.ok_or_else(unknown)?;
    }
    // The last digit stands for so many powers of ten, and the last decimal for none.
    let count = i32::from(count.cast_signed());
    let power = 4 * (i32::from(weight) + 1 - count) + i32::from(scale.cast_signed());
    let ten = 10_i128.checked_pow(power.unsigned_abs()).ok_or_else(unknown)?;
    let value = if power < 0 { Some(value / ten) } else { value.checked_mul(ten) };
    let value = match sign {
        0x0000 => value,
        0x4000 => value.map(|value| -value),
        _ => None,
    };
    let value = value.ok_or_else(unknown)?;
    Decimal::try_from_i128_with_scale(value, scale.into()).map_err(JournalError::corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `numeric` of these words.
    fn numeric(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn an_amount_is_read_with_its_scale() {
        for (words, expected) in [
            (&[0, 0, 0, 0][..], "0"),
            (&[0, 0, 0, 2], "0.00"),
            (&[2, 0, 0, 2, 12, 5000], "12.50"),
            (&[1, 0, 0, 2, 7], "7.00"),
            (&[1, 1, 0, 0, 3], "30000"),
            (&[1, 0xffff, 0, 2, 100], "0.01"),
            (&[2, 1, 0x4000, 3, 1, 2], "-10002.000"),
            (&[3, 1, 0, 4, 1, 2, 3], "10002.0003"),
        ] {
            let read = amount(&numeric(words)).unwrap();
            assert_eq!(read.to_string(), expected, "{words:?}");
        }
        for words in [&[1, 0, 0xC000, 0, 1][..], &[2, 0, 0, 0, 1], &[1, 0]] {
            assert!(amount(&numeric(words)).is_err(), "{words:?}");
        }
    }
}

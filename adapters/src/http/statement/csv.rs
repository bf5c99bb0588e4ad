//! A statement as CSV (RFC 4180): a header, the opening balance, the entries, the totals and the
//! closing balance, each a row that its `type` names.
//!
//! What is in the texts was chosen by clients, and a spreadsheet takes a text that begins like a
//! formula for one (<https://owasp.org/www-community/attacks/CSV_Injection>). Such a text has an
//! apostrophe before it, which spreadsheets take for "this is text".

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use csv::{Terminator, WriterBuilder};
use florin_projections::history::Entry;
use rust_decimal::Decimal;

use super::Written;
use crate::http::problem::Problem;

const HEADER: [&str; 13] = [
    "entry",
    "occurred_at",
    "type",
    "status",
    "in",
    "out",
    "balance",
    "currency",
    "counterparty",
    "reference",
    "request_id",
    "failure",
    "metadata",
];

/// One row, in the order of [`HEADER`].
#[derive(Debug, Default)]
struct Row<'a> {
    entry: Option<u64>,
    at: Option<DateTime<Utc>>,
    kind: &'static str,
    status: &'static str,
    money_in: Option<Decimal>,
    money_out: Option<Decimal>,
    balance: Option<Decimal>,
    counterparty: Option<&'a str>,
    reference: Option<uuid::Uuid>,
    request_id: Option<&'a str>,
    failure: Option<&'a str>,
    metadata: Option<&'a str>,
}

impl<'a> From<&'a Entry> for Row<'a> {
    fn from(entry: &'a Entry) -> Self {
        let is_in = entry.kind.is_in();
        Self {
            entry: Some(entry.entry),
            at: Some(entry.recorded_at),
            kind: entry.kind.name(),
            status: entry.status.name(),
            money_in: is_in.then_some(entry.amount),
            money_out: (!is_in).then_some(entry.amount),
            balance: Some(entry.balance_after),
            counterparty: entry.counterparty.as_deref(),
            reference: Some(entry.reference),
            request_id: entry.request_id.as_deref(),
            failure: entry.failure.as_deref(),
            metadata: entry.metadata.as_deref(),
        }
    }
}

impl Row<'_> {
    fn cells(&self, currency: &'static str) -> [Cow<'_, str>; HEADER.len()] {
        let number = |value: Option<Decimal>| shown(value.map(|value| value.to_string()));
        let at = self.at.map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true));
        [
            shown(self.entry.map(|entry| entry.to_string())),
            shown(at),
            self.kind.into(),
            self.status.into(),
            number(self.money_in),
            number(self.money_out),
            number(self.balance),
            currency.into(),
            text(self.counterparty),
            shown(self.reference.map(|id| id.to_string())),
            text(self.request_id),
            text(self.failure),
            text(self.metadata),
        ]
    }
}

/// What a client chose.
fn text(value: Option<&str>) -> Cow<'_, str> {
    harmless(value.unwrap_or_default())
}

fn shown(value: Option<String>) -> Cow<'static, str> {
    value.unwrap_or_default().into()
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> Cow<'_, str> {
    // What begins a formula somewhere, the wide forms of East Asian keyboards among them; a tab or a
    // line end is dropped by some, and what follows it counts.
    const BEGINNINGS: [char; 11] =
        ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    match text.trim_start_matches(' ').starts_with(BEGINNINGS) {
        true => format!("'{text}").into(),
        false => text.into(),
    }
}

/// The whole table.
pub(super) fn table(written: &Written<'_>) -> Result<Vec<u8>, Problem> {
    let Written { wallet, period, statement, totals } = written;
    let opening = Row {
        kind: "opening_balance",
        at: period.from,
        balance: Some(totals.opening),
        ..Row::default()
    };
    let total = Row {
        kind: "total",
        money_in: Some(totals.money_in.0),
        money_out: Some(totals.money_out.0),
        ..Row::default()
    };
    let closing = Row {
        kind: "closing_balance",
        at: period.to,
        balance: Some(totals.closing),
        ..Row::default()
    };
    let entries = statement.entries.iter().map(Row::from);
    let rows = [opening].into_iter().chain(entries).chain([total, closing]);
    write(rows, wallet.currency.code()).map_err(|error| {
        tracing::error!(target: "http", %error, "a statement has no CSV");
        Problem::internal()
    })
}

fn write<'a>(
    rows: impl Iterator<Item = Row<'a>>,
    currency: &'static str,
) -> Result<Vec<u8>, csv::Error> {
    let mut csv = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    csv.write_record(HEADER)?;
    for row in rows {
        csv.write_record(row.cells(currency).iter().map(|cell| cell.as_bytes()))?;
    }
    csv.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_begins_like_a_formula_is_made_harmless() {
        for bad in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "  =1",
            "\u{ff1d}1",
            "=cmd|' /C calc'!A0",
            "-_-",
        ] {
            assert_eq!(harmless(bad), format!("'{bad}"));
        }
        for good in ["", "order-1", "{\"a\":\"=1\"}", "a=b", "'quoted", "1", "é"] {
            assert_eq!(harmless(good), good);
        }
    }

    #[test]
    fn rows_are_as_in_rfc_4180() {
        let row = Row {
            entry: Some(1),
            kind: "deposit",
            status: "completed",
            money_in: Some("5.00".parse().unwrap()),
            balance: Some("5.00".parse().unwrap()),
            request_id: Some("a \"key\", with a comma"),
            metadata: Some("{\"note\":\"=HYPERLINK(1)\"}"),
            ..Row::default()
        };
        let text = String::from_utf8(write([row].into_iter(), "USD").unwrap()).unwrap();
        let expected = "1,,deposit,completed,5.00,,5.00,USD,,,\"a \"\"key\"\", with a comma\",,\
                        \"{\"\"note\"\":\"\"=HYPERLINK(1)\"\"}\"\r\n";
        assert_eq!(text, format!("{}\r\n{expected}", HEADER.join(",")));
    }
}

//! A wallet's statement: which period is asked for, and how it looks.
//!
//! | file | writes |
//! |---|---|
//! | here | JSON |
//! | `csv` | a table for spreadsheets |
//! | `page` | a page to be printed |
//!
//! A statement is whole or not at all: its totals are checked before anything of it is written.

mod csv;
mod page;

use axum::body::Body;
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use chrono::{DateTime, Utc};
use florin_domain::fraud::EventId;
use florin_domain::{Currency, WalletId};
use florin_projections::balance::WalletRow;
use florin_projections::history::{Entry, MAX_STATEMENT, Period, Statement, Totals};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use utoipa::{IntoParams, ToSchema};

use super::answer::{self, Time};
use super::code::Code;
use super::negotiate::{self, Format};
use super::openapi::types;
use super::position::as_of;
use super::problem::{Member, Problem};
use super::query::{invalid, parameters, time};
use super::wallets::json_text;

/// How the CSV is called, with its line ends and its header as RFC 4180 has them.
pub(super) const CSV: &str = "text/csv; charset=utf-8; header=present";

/// How the page is called.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The query as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Not before; from the first entry if nobody says.
    #[param(value_type = Option<Time>)]
    from: Option<String>,
    /// Before; up to the last entry if nobody says.
    #[param(value_type = Option<Time>)]
    to: Option<String>,
    /// How it is written, whatever `Accept` says.
    #[param(value_type = Option<types::StatementFormat>)]
    format: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) period: Period,
    pub(super) format: Format,
}

impl Asked {
    /// Reads `from`, `to` and `format`.
    pub(super) fn of(uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        let given: Parameters = parameters(uri)?;
        let period = Period { from: time("from", given.from)?, to: time("to", given.to)? };
        if period.from.zip(period.to).is_some_and(|(from, to)| from > to) {
            return Err(invalid("to", "a period does not end before it begins"));
        }
        Ok(Self { period, format: negotiate::format(given.format.as_deref(), headers)? })
    }
}

/// A statement, about to be written.
struct Written<'a> {
    wallet: &'a WalletRow,
    period: Period,
    statement: &'a Statement,
    totals: Totals,
}

/// A statement in the format that was asked for.
pub(super) fn answer(
    id: &WalletId,
    wallet: &WalletRow,
    asked: Asked,
    statement: &Statement,
) -> Result<Response, Problem> {
    if statement.count > MAX_STATEMENT {
        return Err(too_large(statement.count));
    }
    let totals = statement.totals(wallet.currency).ok_or_else(|| incomplete(id))?;
    let written = Written { wallet, period: asked.period, statement, totals };
    let mut response = match asked.format {
        Format::Json => answer::json(StatusCode::OK, &StatementAnswer::of(id, &written))?,
        Format::Csv => {
            let response = typed(csv::table(&written)?, CSV);
            with(response, CONTENT_DISPOSITION, &attachment(id, asked.period))
        }
        Format::Html => {
            let response = typed(page::page(&written)?, HTML);
            // Nothing but itself and the styles in it.
            let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
            with(response, CONTENT_SECURITY_POLICY, policy)
        }
    };
    response = with(response, VARY, "accept");
    Ok(as_of(response, &[(wallet.partition, statement.at.position)]))
}

fn typed(text: impl Into<Body>, kind: &'static str) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    // Ids and times are fit for a header.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Under which name it is saved: a wallet's id and these times are fit for any file system.
fn attachment(id: &WalletId, period: Period) -> String {
    let mut name = format!("statement-{id}");
    for (word, time) in [("from", period.from), ("to", period.to)] {
        if let Some(time) = time {
            name = format!("{name}-{word}-{}", time.format("%Y%m%dT%H%M%SZ"));
        }
    }
    format!("attachment; filename=\"{name}.csv\"")
}

fn too_large(entries: u64) -> Problem {
    Problem::new(
        Code::ReportTooLarge,
        format!(
            "The period has {entries} entries, and a statement has at most {MAX_STATEMENT}: ask for \
             a shorter one with `from` and `to`, or read the history page by page."
        ),
    )
    .with("entries", Member::Count(entries))
    .with("maxEntries", Member::Count(MAX_STATEMENT))
}

/// An entry is missing: an event of the wallet was discarded, or the read model is wrong.
fn incomplete(id: &WalletId) -> Problem {
    tracing::error!(target: "http", wallet = %id, "a statement does not add up");
    Problem::new(
        Code::StatementIncomplete,
        "The entries do not come to the closing balance, because an event of the wallet is not among \
         them: look for it under GET /dead-letters, with projection=history.",
    )
}

/// What a wallet held, what moved its money, and what it held then.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Statement)]
pub(super) struct StatementAnswer<'a> {
    #[schema(value_type = types::WalletName)]
    wallet_id: &'a WalletId,
    #[schema(value_type = Option<types::OwnerName>)]
    owner: Option<&'a str>,
    #[schema(value_type = types::CurrencyCode)]
    currency: Currency,
    /// Where the period begins; with the first entry if nobody said.
    from: Option<Time>,
    /// Before when it ends; with the last entry if nobody said.
    to: Option<Time>,
    #[schema(value_type = types::Amount)]
    opening_balance: Decimal,
    #[schema(value_type = types::Amount)]
    total_in: Decimal,
    count_in: u64,
    #[schema(value_type = types::Amount)]
    total_out: Decimal,
    count_out: u64,
    /// Opening balance + total in − total out.
    #[schema(value_type = types::Amount)]
    closing_balance: Decimal,
    /// Oldest first.
    entries: Vec<LineAnswer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<Time>,
}

/// A movement of the wallet's money.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatementEntry)]
struct LineAnswer<'a> {
    #[schema(value_type = types::EventName)]
    id: EventId,
    entry: u64,
    #[serde(rename = "type")]
    #[schema(value_type = types::EntryType)]
    kind: &'static str,
    #[schema(value_type = types::Way)]
    direction: &'static str,
    #[schema(value_type = types::EntryStatus)]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    #[schema(value_type = types::Amount)]
    amount: Decimal,
    #[schema(value_type = types::Amount)]
    balance_after: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::WalletName>)]
    counterparty: Option<&'a str>,
    /// The transfer's id, or the transaction id of a deposit or withdrawal.
    #[schema(value_type = types::Id)]
    reference: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::RequestKey>)]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::MetadataObject>)]
    metadata: Option<&'a RawValue>,
    occurred_at: Time,
}

impl<'a> StatementAnswer<'a> {
    fn of(id: &'a WalletId, written: &Written<'a>) -> Self {
        let Written { wallet, period, statement, totals } = written;
        let stale_since: Option<DateTime<Utc>> = statement.at.stale_since;
        Self {
            wallet_id: id,
            owner: wallet.owner.as_deref(),
            currency: wallet.currency,
            from: period.from.map(Time),
            to: period.to.map(Time),
            opening_balance: totals.opening,
            total_in: totals.money_in.0,
            count_in: totals.money_in.1,
            total_out: totals.money_out.0,
            count_out: totals.money_out.1,
            closing_balance: totals.closing,
            entries: statement.entries.iter().map(LineAnswer::from).collect(),
            stale_since: stale_since.map(Time),
        }
    }
}

impl<'a> From<&'a Entry> for LineAnswer<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self {
            id: EventId { partition: entry.partition, position: entry.position },
            entry: entry.entry,
            kind: entry.kind.name(),
            direction: if entry.kind.is_in() { "in" } else { "out" },
            status: entry.status.name(),
            failure: entry.failure.as_deref(),
            amount: entry.amount,
            balance_after: entry.balance_after,
            counterparty: entry.counterparty.as_deref(),
            reference: entry.reference,
            request_id: entry.request_id.as_deref(),
            metadata: entry.metadata.as_deref().and_then(json_text),
            occurred_at: Time(entry.recorded_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Asked, Problem> {
        Asked::of(&format!("/wallets/w/statement?{query}").parse().unwrap(), &HeaderMap::new())
    }

    #[test]
    fn a_period_is_from_a_time_of_any_zone_until_before_another() {
        let noon = DateTime::from_timestamp(1_769_860_800, 0);
        let read = asked("from=2026-01-31T13:00:00%2B01:00&to=2026-01-31T12:00:00Z").unwrap();
        assert_eq!(read.period, Period { from: noon, to: noon });
        assert_eq!(asked("").unwrap().period, Period::default());
        assert_eq!(asked("format=csv").unwrap().format, Format::Csv);
        for (query, code) in [
            ("from=2026-01-31T12:00:01Z&to=2026-01-31T12:00:00Z", Code::InvalidParameter),
            ("from=2026-01-31", Code::InvalidParameter),
            ("to=", Code::InvalidParameter),
            ("format=pdf", Code::NotAcceptable),
        ] {
            assert_eq!(asked(query).unwrap_err().code, code, "{query}");
        }
    }

    #[test]
    fn a_saved_statement_says_whose_and_of_when_it_is() {
        let (id, query) = ("w-1".parse().unwrap(), "to=2026-01-31T12:00:00.5Z");
        assert_eq!(
            attachment(&id, Period::default()),
            "attachment; filename=\"statement-w-1.csv\""
        );
        let name = attachment(&id, asked(query).unwrap().period);
        assert_eq!(name, "attachment; filename=\"statement-w-1-to-20260131T120000Z.csv\"");
    }
}

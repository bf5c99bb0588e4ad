//! A statement as a page to be printed: one document without scripts, and with nothing from elsewhere.
//! Its template escapes every text.

use askama::Template;
use chrono::{DateTime, Utc};
use florin_projections::history::{Entry, Kind};

use super::Written;
use crate::http::problem::Problem;
use crate::moment::place;

#[derive(Template)]
#[template(path = "statement.html", whitespace = "minimize")]
struct Page<'a> {
    wallet: &'a str,
    owner: Option<&'a str>,
    currency: &'static str,
    from: Option<String>,
    to: Option<String>,
    opening: String,
    money_in: String,
    money_out: String,
    count: u64,
    closing: String,
    lines: Vec<Line<'a>>,
    position: String,
    stale_since: Option<String>,
}

struct Line<'a> {
    at: String,
    what: &'static str,
    status: &'static str,
    failure: Option<&'a str>,
    counterparty: Option<&'a str>,
    request_id: Option<&'a str>,
    reference: String,
    metadata: Option<&'a str>,
    money_in: Option<String>,
    money_out: Option<String>,
    balance: String,
}

/// To the second, in UTC: the JSON has the microseconds.
fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

impl<'a> From<&'a Entry> for Line<'a> {
    fn from(entry: &'a Entry) -> Self {
        let (amount, is_in) = (entry.amount.to_string(), entry.kind.is_in());
        let (money_in, money_out) = if is_in { (Some(amount), None) } else { (None, Some(amount)) };
        Self {
            at: shown(entry.recorded_at),
            what: words(entry),
            status: entry.status.name(),
            failure: entry.failure.as_deref(),
            counterparty: entry.counterparty.as_deref(),
            request_id: entry.request_id.as_deref(),
            reference: entry.reference.to_string(),
            metadata: entry.metadata.as_deref(),
            money_in,
            money_out,
            balance: entry.balance_after.to_string(),
        }
    }
}

fn words(entry: &Entry) -> &'static str {
    match entry.kind {
        Kind::Deposit => "Deposit",
        Kind::Withdrawal => "Withdrawal",
        Kind::TransferIn => "Transfer from",
        Kind::TransferOut => "Transfer to",
        Kind::TransferRefund => "Refund of a transfer to",
    }
}

/// The whole page.
pub(super) fn page(written: &Written<'_>) -> Result<String, Problem> {
    let Written { wallet, period, statement, totals } = written;
    let page = Page {
        wallet: &wallet.wallet_id,
        owner: wallet.owner.as_deref(),
        currency: wallet.currency.code(),
        from: period.from.map(shown),
        to: period.to.map(shown),
        opening: totals.opening.to_string(),
        money_in: totals.money_in.0.to_string(),
        money_out: totals.money_out.0.to_string(),
        count: totals.money_in.1 + totals.money_out.1,
        closing: totals.closing.to_string(),
        lines: statement.entries.iter().map(Line::from).collect(),
        position: place(wallet.partition, statement.at.position),
        stale_since: statement.at.stale_since.map(shown),
    };
    page.render().map_err(|error| {
        tracing::error!(target: "http", %error, "a statement has no page");
        Problem::internal()
    })
}

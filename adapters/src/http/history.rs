//! A wallet's history: what is asked of it in a query, and how its entries look as JSON.
//!
//! Two routes show the same entries, newest first: `/history` in the words of this ledger, and
//! `/transactions` in those that lists of transactions commonly have (`type` without a direction,
//! `sender`, `receiver`, `errorMessage`, `timestamp`).

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use chrono::{DateTime, Utc};
use florin_domain::fraud::EventId;
use florin_domain::{Currency, WalletId};
use florin_projections::history::{Entry, Filter, Kind, MAX_PAGE, Page, Place};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::answer::{self, Time};
use super::position::as_of;
use super::problem::Problem;
use super::query::{invalid, limit, parameters, parsed, time};
use super::wallets::{json_text, no_cursor};

/// How many entries a page has when nobody says.
const DEFAULT_LIMIT: u32 = 50;

/// Which page of which entries.
#[derive(Debug)]
pub(super) struct HistoryQuery {
    pub(super) filter: Filter,
    pub(super) place: Place,
    pub(super) limit: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    #[serde(rename = "type")]
    kinds: Option<String>,
    from: Option<String>,
    to: Option<String>,
    before: Option<String>,
    min_amount: Option<String>,
    max_amount: Option<String>,
    counterparty: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
    page: Option<String>,
    take: Option<String>,
    skip: Option<String>,
}

impl HistoryQuery {
    /// Reads the parameters: `cursor`, or `page`, or `skip`; `take` is another name for `limit`, and
    /// `before` for `to`.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let given: Parameters = parameters(uri)?;
        let to = one_of(("to", time("to", given.to)?), ("before", time("before", given.before)?))?;
        let counterparty: Option<WalletId> = parsed("counterparty", given.counterparty)?;
        let filter = Filter {
            kinds: kinds(given.kinds.as_deref())?,
            from: time("from", given.from)?,
            to,
            min_amount: parsed("minAmount", given.min_amount)?,
            max_amount: parsed("maxAmount", given.max_amount)?,
            counterparty: counterparty.map(|id| id.as_str().to_owned()),
        };
        let limit = one_of(("limit", given.limit), ("take", given.take))?;
        let limit = limit_of(limit)?;
        let before: Option<u64> =
            given.cursor.map(|text| text.parse()).transpose().map_err(|_| no_cursor())?;
        let page = match parsed("page", given.page)? {
            Some(0) => return Err(invalid("page", "the first page is 1")),
            page => page,
        };
        let skip: Option<u64> = parsed("skip", given.skip)?;
        let place = match (before, page, skip) {
            (None, None, None) => Place::Newest,
            (Some(entry), None, None) => Place::Before(entry),
            (None, Some(page), None) => Place::Numbered(page),
            (None, None, Some(entries)) => Place::Skipping(entries),
            (Some(_) | None, _, _) => {
                let why = "a page is found by `cursor`, by `page` or by `skip`: send one of them";
                return Err(invalid("cursor", why));
            }
        };
        Ok(Self { filter, place, limit })
    }
}

fn limit_of(text: Option<String>) -> Result<u32, Problem> {
    limit(text, DEFAULT_LIMIT, MAX_PAGE, "entries")
}

/// The value of a parameter that has two names.
fn one_of<T>(
    (name, value): (&'static str, Option<T>),
    (alias, other): (&'static str, Option<T>),
) -> Result<Option<T>, Problem> {
    match (value, other) {
        (Some(_), Some(_)) => {
            Err(invalid(alias, format_args!("it is another name for `{name}`: send one of them")))
        }
        (value, other) => Ok(value.or(other)),
    }
}

/// Names with commas between; `transfer` for every kind of transfer.
fn kinds(text: Option<&str>) -> Result<Vec<Kind>, Problem> {
    const TRANSFERS: [Kind; 3] = [Kind::TransferIn, Kind::TransferOut, Kind::TransferRefund];
    let mut kinds = Vec::new();
    for name in text.into_iter().flat_map(|text| text.split(',')) {
        match Kind::ALL.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => kinds.push(kind),
            None if name == "transfer" => kinds.extend(TRANSFERS),
            None => {
                let names = Kind::ALL.map(Kind::name).join(", ");
                let why = format_args!("an entry is a {names}, or any `transfer`");
                return Err(invalid("type", why));
            }
        }
    }
    Ok(kinds)
}

/// An entry in the words of this ledger.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryAnswer<'a> {
    id: EventId,
    entry: u64,
    wallet_id: &'a WalletId,
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    amount: Decimal,
    currency: Currency,
    balance_after: Decimal,
    counterparty: Option<&'a str>,
    transfer_id: Option<Uuid>,
    transaction_id: Uuid,
    request_id: Option<&'a str>,
    metadata: Option<&'a RawValue>,
    partition: u32,
    position: u64,
    occurred_at: Time,
    payload: Payload<'a>,
}

/// What the event-driven wallet's clients look for in an entry's `payload`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    amount: Decimal,
    balance: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_wallet_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_wallet_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// An entry in the words of lists of transactions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TransactionAnswer<'a> {
    id: Uuid,
    wallet_id: &'a WalletId,
    #[serde(rename = "type")]
    kind: &'static str,
    direction: &'static str,
    status: &'static str,
    amount: Decimal,
    currency: Currency,
    balance_after: Decimal,
    sender: Option<&'a str>,
    receiver: Option<&'a str>,
    error_message: Option<&'a str>,
    client_transaction_id: Option<&'a str>,
    metadata: Option<&'a RawValue>,
    partition: u32,
    position: u64,
    timestamp: Time,
}

/// From whom to whom an entry's money went; the outside world has no name.
fn ends<'a>(wallet: &'a WalletId, entry: &'a Entry) -> (Option<&'a str>, Option<&'a str>) {
    let (own, other) = (Some(wallet.as_str()), entry.counterparty.as_deref());
    match entry.kind {
        Kind::Deposit | Kind::TransferIn | Kind::TransferRefund => (other, own),
        Kind::Withdrawal | Kind::TransferOut => (own, other),
    }
}

impl<'a> EntryAnswer<'a> {
    fn of(wallet: &'a WalletId, entry: &'a Entry) -> Self {
        let (from, to) = match entry.kind {
            Kind::Deposit | Kind::Withdrawal => (None, None),
            Kind::TransferIn | Kind::TransferOut | Kind::TransferRefund => ends(wallet, entry),
        };
        let request_id = entry.request_id.as_deref();
        Self {
            id: EventId { partition: entry.partition, position: entry.position },
            entry: entry.entry,
            wallet_id: wallet,
            kind: entry.kind.name(),
            status: entry.status.name(),
            failure: entry.failure.as_deref(),
            amount: entry.amount,
            currency: entry.currency,
            balance_after: entry.balance_after,
            counterparty: entry.counterparty.as_deref(),
            transfer_id: entry.counterparty.is_some().then_some(entry.reference),
            transaction_id: entry.reference,
            request_id,
            metadata: entry.metadata.as_deref().and_then(json_text),
            partition: entry.partition,
            position: entry.position,
            occurred_at: Time(entry.recorded_at),
            payload: Payload {
                amount: entry.amount,
                balance: entry.balance_after,
                from_wallet_id: from,
                to_wallet_id: to,
                request_id,
            },
        }
    }
}

impl<'a> TransactionAnswer<'a> {
    fn of(wallet: &'a WalletId, entry: &'a Entry) -> Self {
        let (sender, receiver) = ends(wallet, entry);
        let (kind, direction) = match entry.kind {
            Kind::Deposit => ("deposit", "in"),
            Kind::Withdrawal => ("withdrawal", "out"),
            Kind::TransferIn | Kind::TransferRefund => ("transfer", "in"),
            Kind::TransferOut => ("transfer", "out"),
        };
        Self {
            id: entry.reference,
            wallet_id: wallet,
            kind,
            direction,
            status: entry.status.name(),
            amount: entry.amount,
            currency: entry.currency,
            balance_after: entry.balance_after,
            sender,
            receiver,
            error_message: entry.failure.as_deref(),
            client_transaction_id: entry.request_id.as_deref(),
            metadata: entry.metadata.as_deref().and_then(json_text),
            partition: entry.partition,
            position: entry.position,
            timestamp: Time(entry.recorded_at),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PageAnswer<E> {
    data: Vec<E>,
    next_cursor: Option<String>,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<Time>,
}

/// A page in the words of this ledger.
pub(super) fn entries(wallet: &WalletId, partition: u32, page: &Page) -> Result<Response, Problem> {
    let data = page.entries.iter().map(|entry| EntryAnswer::of(wallet, entry)).collect();
    page_of(data, partition, page)
}

/// A page in the words of lists of transactions.
pub(super) fn transactions(
    wallet: &WalletId,
    partition: u32,
    page: &Page,
) -> Result<Response, Problem> {
    let data = page.entries.iter().map(|entry| TransactionAnswer::of(wallet, entry)).collect();
    page_of(data, partition, page)
}

fn page_of<E: Serialize>(data: Vec<E>, partition: u32, page: &Page) -> Result<Response, Problem> {
    let stale_since: Option<DateTime<Utc>> = page.at.stale_since;
    let body = PageAnswer {
        data,
        next_cursor: page.next.map(|entry| entry.to_string()),
        has_more: page.next.is_some(),
        total: page.total,
        stale_since: stale_since.map(Time),
    };
    Ok(as_of(answer::json(StatusCode::OK, &body)?, &[(partition, page.at.position)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::code::Code;

    fn query(text: &str) -> Result<HistoryQuery, Problem> {
        HistoryQuery::of(&format!("/wallets/w/history?{text}").parse().unwrap())
    }

    #[test]
    fn a_page_is_found_in_four_ways() {
        for (text, place, limit) in [
            ("", Place::Newest, 50),
            ("cursor=17&limit=3", Place::Before(17), 3),
            ("page=2&limit=200", Place::Numbered(2), 200),
            ("skip=15&take=10", Place::Skipping(15), 10),
        ] {
            let read = query(text).unwrap();
            assert_eq!((read.place, read.limit), (place, limit), "{text}");
        }
    }

    #[test]
    fn kinds_have_names_and_transfers_have_one_in_common() {
        let read = |text: &str| query(&format!("type={text}")).map(|read| read.filter.kinds);
        assert_eq!(read("deposit,withdrawal").unwrap(), [Kind::Deposit, Kind::Withdrawal]);
        assert_eq!(read("transfer").unwrap().len(), 3);
        let problem = read("gift").unwrap_err();
        assert!(problem.detail.contains("transfer_refund"), "{}", problem.detail);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for text in [
            "cursor=1&page=1",
            "page=1&skip=1",
            "page=0",
            "limit=5&take=5",
            "to=2026-01-01T00:00:00Z&before=2026-01-01T00:00:00Z",
            "cursor=x",
            "minAmount=lots",
            "counterparty=a%20b",
            "from=today",
            "limit=201",
        ] {
            assert_eq!(query(text).unwrap_err().code, Code::InvalidParameter, "{text}");
        }
    }
}

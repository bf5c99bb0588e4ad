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

use utoipa::{IntoParams, ToSchema};

use super::answer::{self, Time};
use super::guard::Reach;
use super::openapi::types;
use super::position::as_of;
use super::problem::Problem;
use super::query::{invalid, limit, parameters, parsed, time};
use super::wallets::{json_text, no_cursor};

/// How many entries a page has when nobody says.
pub(crate) const DEFAULT_LIMIT: u32 = 50;

/// Which page of which entries.
#[derive(Debug)]
pub(super) struct HistoryQuery {
    pub(super) filter: Filter,
    pub(super) place: Place,
    pub(super) limit: u32,
}

/// The query as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters {
    /// What kinds, with commas between; `transfer` means all of its kinds.
    #[param(value_type = Option<types::EntryTypes>)]
    #[serde(rename = "type")]
    kinds: Option<String>,
    /// Not before.
    #[param(value_type = Option<Time>)]
    from: Option<String>,
    /// Before.
    #[param(value_type = Option<Time>)]
    to: Option<String>,
    /// As `to`.
    #[param(value_type = Option<Time>)]
    before: Option<String>,
    /// At least this much.
    #[param(value_type = Option<types::Amount>)]
    min_amount: Option<String>,
    /// At most this much.
    #[param(value_type = Option<types::Amount>)]
    max_amount: Option<String>,
    /// With this wallet.
    #[param(value_type = Option<types::WalletName>)]
    counterparty: Option<String>,
    /// The `nextCursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
    /// How many entries a page has; 50 if nobody says.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// The number of the page, instead of a cursor.
    #[param(value_type = Option<u64>, minimum = 1)]
    page: Option<String>,
    /// As `limit`.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    take: Option<String>,
    /// How many entries to leave out, instead of a cursor.
    #[param(value_type = Option<u64>, minimum = 0)]
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
        let page = match number("page", given.page)? {
            Some(0) => return Err(invalid("page", "the first page is 1")),
            page => page,
        };
        let skip = number("skip", given.skip)?;
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

/// A number as JSON Schema's `int64` has it.
fn number(name: &'static str, text: Option<String>) -> Result<Option<u64>, Problem> {
    let number: Option<i64> = parsed(name, text)?;
    let unsigned = number.map(u64::try_from).transpose();
    unsigned.map_err(|_| invalid(name, "it is not less than 0"))
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
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Entry)]
pub(crate) struct EntryAnswer<'a> {
    #[schema(value_type = types::EventName)]
    id: EventId,
    entry: u64,
    #[schema(value_type = types::WalletName)]
    wallet_id: &'a WalletId,
    #[serde(rename = "type")]
    #[schema(value_type = types::EntryType)]
    kind: &'static str,
    #[schema(value_type = types::EntryStatus)]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
    #[schema(value_type = types::Amount)]
    amount: Decimal,
    #[schema(value_type = types::CurrencyCode)]
    currency: Currency,
    #[schema(value_type = types::Amount)]
    balance_after: Decimal,
    #[schema(value_type = Option<types::WalletName>)]
    counterparty: Option<&'a str>,
    #[schema(value_type = Option<types::Id>)]
    transfer_id: Option<Uuid>,
    #[schema(value_type = types::Id)]
    transaction_id: Uuid,
    #[schema(value_type = Option<types::RequestKey>)]
    request_id: Option<&'a str>,
    #[schema(value_type = Option<types::MetadataObject>)]
    metadata: Option<&'a RawValue>,
    partition: u32,
    position: u64,
    occurred_at: Time,
    payload: Payload<'a>,
}

/// What the event-driven wallet's clients look for in an entry's `payload`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EntryPayload)]
struct Payload<'a> {
    #[schema(value_type = types::Amount)]
    amount: Decimal,
    #[schema(value_type = types::Amount)]
    balance: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::WalletName>)]
    from_wallet_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::WalletName>)]
    to_wallet_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::RequestKey>)]
    request_id: Option<&'a str>,
}

/// An entry in the words of lists of transactions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Transaction)]
pub(super) struct TransactionAnswer<'a> {
    #[schema(value_type = types::Id)]
    id: Uuid,
    #[schema(value_type = types::WalletName)]
    wallet_id: &'a WalletId,
    #[serde(rename = "type")]
    #[schema(value_type = types::TransactionType)]
    kind: &'static str,
    #[schema(value_type = types::Way)]
    direction: &'static str,
    #[schema(value_type = types::EntryStatus)]
    status: &'static str,
    #[schema(value_type = types::Amount)]
    amount: Decimal,
    #[schema(value_type = types::CurrencyCode)]
    currency: Currency,
    #[schema(value_type = types::Amount)]
    balance_after: Decimal,
    #[schema(value_type = Option<types::WalletName>)]
    sender: Option<&'a str>,
    #[schema(value_type = Option<types::WalletName>)]
    receiver: Option<&'a str>,
    error_message: Option<&'a str>,
    #[schema(value_type = Option<types::RequestKey>)]
    client_transaction_id: Option<&'a str>,
    #[schema(value_type = Option<types::MetadataObject>)]
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
    pub(crate) fn of(wallet: &'a WalletId, entry: &'a Entry) -> Self {
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

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Page)]
pub(super) struct PageAnswer<E> {
    data: Vec<E>,
    next_cursor: Option<String>,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<Time>,
}

/// The keys of those who sent the money are theirs: whoever may ask of their own wallets only is told
/// of no other.
pub(super) fn withhold_keys(reach: &Reach, entries: &mut [Entry]) {
    if *reach != Reach::Any {
        let from_others = entries.iter_mut().filter(|entry| entry.kind == Kind::TransferIn);
        from_others.for_each(|entry| entry.request_id = None);
    }
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

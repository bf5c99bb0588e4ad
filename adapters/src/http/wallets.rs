//! Wallets as JSON: one as the write side has it, one as the read model has it, and lists.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use florin_application::command::WalletState;
use florin_domain::wallet::Status;
use florin_domain::{Currency, Owner, WalletId};
use florin_projections::balance::{Filter, MAX_LIST, Untold, WalletList, WalletRow};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::{self, Time};
use super::code::Code;
use super::guard::{Reach, insufficient};
use super::openapi::types;
use super::position::as_of;
use super::problem::Problem;
use super::query::{invalid, limit, parameters, parsed};
use super::refusal::wallet_not_found;
use super::trial_balance::unreadable;
use crate::auth::Scope;
use crate::moment::Moment;
use crate::past::PastError;
use crate::reads::{Found, KnownWallet};

/// How many wallets a page has when nobody says.
const DEFAULT_LIMIT: u32 = 50;

/// A wallet, as of one version.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Wallet)]
pub(crate) struct WalletAnswer<'a> {
    #[schema(value_type = types::WalletName)]
    id: &'a str,
    #[schema(value_type = types::WalletName)]
    wallet_id: &'a str,
    exists: bool,
    #[schema(value_type = types::CurrencyCode)]
    currency: Currency,
    #[schema(value_type = types::Amount)]
    balance: Decimal,
    #[schema(value_type = types::Status)]
    status: Status,
    #[schema(value_type = Option<types::OwnerName>)]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<types::MetadataObject>)]
    metadata: Option<&'a RawValue>,
    version: u64,
    partition: u32,
    position: u64,
    created_at: Time,
    updated_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<Time>,
}

impl<'a> From<&'a WalletState> for WalletAnswer<'a> {
    /// The write side does not hold the metadata.
    fn from(state: &'a WalletState) -> Self {
        let account = &state.account;
        Self {
            id: state.wallet_id.as_str(),
            wallet_id: state.wallet_id.as_str(),
            exists: true,
            currency: account.currency,
            balance: account.balance,
            status: account.status,
            owner: account.owner.as_ref().map(Owner::as_str),
            metadata: None,
            version: state.version,
            partition: state.partition,
            position: state.position,
            created_at: Time(state.opened_at),
            updated_at: Time(state.updated_at),
            stale_since: None,
        }
    }
}

impl<'a> From<&'a WalletRow> for WalletAnswer<'a> {
    fn from(row: &'a WalletRow) -> Self {
        Self {
            id: &row.wallet_id,
            wallet_id: &row.wallet_id,
            exists: true,
            currency: row.currency,
            balance: row.balance,
            status: row.status,
            owner: row.owner.as_deref(),
            metadata: row.metadata.as_deref().and_then(json_text),
            version: row.version,
            partition: row.partition,
            position: row.position,
            created_at: Time(row.opened_at),
            updated_at: Time(row.updated_at),
            stale_since: None,
        }
    }
}

/// A wallet that a read model does not know, up to a position.
pub(super) fn unknown(id: &WalletId, partition: u32, position: u64) -> Response {
    as_of(wallet_not_found(id).into_response(), &[(partition, position)])
}

/// Whether the read model knows the wallet, and it may be asked of; for what does not say whose it is.
pub(super) async fn is_covered(
    api: &Api,
    id: &WalletId,
    least: u64,
    reach: &Reach,
) -> Result<bool, Problem> {
    let wallet = api.reads.wallet(id, least).await?.wallet;
    Ok(wallet.is_some_and(|wallet| reach.covers_row(&wallet.row)))
}

/// A text that Postgres keeps as JSON.
pub(super) fn json_text(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

/// A wallet as the write side has it.
pub(super) fn state(status: StatusCode, state: &WalletState) -> Result<Response, Problem> {
    let response = answer::versioned(status, state.version, &WalletAnswer::from(state))?;
    Ok(as_of(response, &[(state.partition, state.position)]))
}

/// A wallet as the read model has it. Its text is written once for as long as it is in memory.
pub(super) fn known(found: &Found, wallet: &KnownWallet) -> Result<Response, Problem> {
    let text = match wallet.text.get() {
        Some(text) => text.clone(),
        None => {
            let stale_since = wallet.at.stale_since.map(Time);
            let body = WalletAnswer { stale_since, ..WalletAnswer::from(&wallet.row) };
            let text = Bytes::from(answer::text(&body)?);
            wallet.text.get_or_init(|| text).clone()
        }
    };
    let response = answer::tagged(answer::of_text(StatusCode::OK, text), wallet.row.version);
    Ok(as_of(response, &[(found.partition, found.position)]))
}

/// A wallet as it was, at a position of its partition.
pub(super) fn then(row: &WalletRow, position: u64) -> Result<Response, Problem> {
    let response = answer::versioned(StatusCode::OK, row.version, &WalletAnswer::from(row))?;
    Ok(as_of(response, &[(row.partition, position)]))
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WalletPage)]
pub(super) struct ListAnswer<'a> {
    data: Vec<WalletAnswer<'a>>,
    next_cursor: Option<&'a str>,
    has_more: bool,
}

/// A page of the list.
pub(super) fn list(list: &WalletList) -> Result<Response, Problem> {
    let answers = list.wallets.iter().map(|row| {
        let stale_since = list.stale_since.get(&row.wallet_id).copied().map(Time);
        WalletAnswer { stale_since, ..WalletAnswer::from(row) }
    });
    let body = ListAnswer {
        data: answers.collect(),
        next_cursor: list.next.as_deref(),
        has_more: list.next.is_some(),
    };
    Ok(as_of(answer::json(StatusCode::OK, &body)?, &list.positions))
}

/// Which page of which wallets.
#[derive(Debug)]
pub(super) struct ListQuery {
    pub(super) filter: Filter,
    pub(super) after: Option<WalletId>,
    pub(super) limit: u32,
}

/// The query of the list as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters {
    /// Whose.
    #[param(value_type = Option<types::OwnerName>)]
    owner: Option<String>,
    /// In this currency.
    #[param(value_type = Option<types::CurrencyCode>)]
    currency: Option<String>,
    /// In this status.
    #[param(value_type = Option<types::Status>)]
    status: Option<String>,
    /// With this much at least.
    #[param(value_type = Option<types::Amount>)]
    min_balance: Option<String>,
    /// With this much at most.
    #[param(value_type = Option<types::Amount>)]
    max_balance: Option<String>,
    /// The `nextCursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
    /// How many wallets a page has; 50 if nobody says.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

impl ListQuery {
    /// Reads the parameters of the list. Who may read only their own wallets lists those.
    pub(super) fn of(uri: &axum::http::Uri, reach: &Reach) -> Result<Self, Problem> {
        let given: Parameters = parameters(uri)?;
        let owner: Option<Owner> = parsed("owner", given.owner)?;
        let owner = match (reach.owner()?, owner) {
            (None, owner) => owner,
            (Some(own), Some(other)) if *own != other => return Err(lists_own()),
            (Some(own), _) => Some(own.clone()),
        };
        let filter = Filter {
            owner: owner.map(|owner| owner.as_str().to_owned()),
            currency: parsed("currency", given.currency)?,
            status: status(given.status)?,
            min_balance: parsed("minBalance", given.min_balance)?,
            max_balance: parsed("maxBalance", given.max_balance)?,
        };
        let after = given.cursor.map(|cursor| cursor.parse()).transpose().map_err(|_| no_cursor());
        let limit = limit(given.limit, DEFAULT_LIMIT, MAX_LIST, "wallets")?;
        Ok(Self { filter, after: after?, limit })
    }
}

fn lists_own() -> Problem {
    insufficient(
        &[Scope::LedgerRead],
        "`owner`: with wallet:read, your own wallets are listed: leave it out, or ask for the scope \
         ledger:read.",
    )
}

/// A cursor that no page gave.
pub(super) fn no_cursor() -> Problem {
    invalid("cursor", "a cursor is the nextCursor of the page before")
}

fn status(text: Option<String>) -> Result<Option<Status>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match text.as_str() {
        "active" => Ok(Some(Status::Active)),
        "frozen" => Ok(Some(Status::Frozen)),
        "closed" => Ok(Some(Status::Closed)),
        _ => Err(invalid("status", "a wallet is active, frozen or closed")),
    }
}

/// The query as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConsistencyParameter {
    /// From the read model, or from the write side: as of now, whoever wrote last.
    #[param(value_type = Option<types::Consistency>)]
    consistency: Option<String>,
}

/// The query as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MomentParameter {
    /// As it was then, by the journal: at a time that has passed (RFC 3339), or at a position of its
    /// partition, as `Florin-Position` gave it.
    #[param(value_type = Option<String>, example = "2026-01-31T12:00:00Z")]
    at: Option<String>,
}

/// Reads `at`; none where a wallet is wanted as it is.
pub(super) fn asked_at(uri: &axum::http::Uri) -> Result<Option<Moment>, Problem> {
    if uri.query().is_none() {
        return Ok(None);
    }
    let MomentParameter { at } = parameters(uri)?;
    let moment = |text: String| {
        text.parse().map_err(|_| {
            invalid(
                "at",
                "it is a time, such as 2026-01-31T12:00:00Z, or a position of the wallet's \
                 partition, such as 0-123",
            )
        })
    };
    at.map(moment).transpose()
}

impl From<PastError> for Problem {
    fn from(error: PastError) -> Self {
        match error {
            PastError::BeyondHead { .. }
            | PastError::Future
            | PastError::Elsewhere(_)
            | PastError::NoVersion { .. } => invalid("at", error),
            PastError::Untold(Untold::Unreadable(event)) => unreadable(&event),
            PastError::Untold(Untold::Unapplicable(_)) => {
                tracing::error!(target: "http", %error, "a wallet of then cannot be told");
                Self::internal()
            }
            PastError::Journal(_) => {
                tracing::warn!(target: "http", %error, "the journal cannot be asked");
                Self::unread()
            }
        }
    }
}

/// From which side a wallet is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consistency {
    /// From the read model.
    Eventual,
    /// From the write side: as of now, whoever wrote last.
    Strong,
}

impl Consistency {
    /// `?consistency=strong`, or nothing.
    pub(super) fn of(uri: &axum::http::Uri) -> Result<Self, Problem> {
        if uri.query().is_none() {
            return Ok(Self::Eventual);
        }
        let ConsistencyParameter { consistency } = parameters(uri)?;
        match consistency.as_deref() {
            None | Some("eventual") => Ok(Self::Eventual),
            Some("strong") => Ok(Self::Strong),
            Some(_) => Err(Problem::new(
                Code::InvalidParameter,
                "`consistency`: a read is `strong`, from the write side, or `eventual`, from the \
                 read model.",
            )),
        }
    }
}

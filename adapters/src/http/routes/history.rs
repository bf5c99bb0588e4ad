//! `GET /wallets/{id}/history`: `type?` `from?` `to?` `minAmount?` `maxAmount?` `counterparty?`
//! `limit?` `cursor?` `page?` `minPosition?`; what moved the wallet's money, newest first.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use florin_domain::WalletId;
use florin_projections::history::Page;

use crate::http::Api;
use crate::http::guard::Reach;
use crate::http::history::{self, HistoryQuery};
use crate::http::openapi::parameters::{FromPosition, WalletInPath};
use crate::http::path::WalletPath;
use crate::http::position::Least;
use crate::http::problem::Problem;
use crate::http::wallets;

/// Reads a wallet's history, newest first.
#[utoipa::path(
    get,
    path = "/wallets/{id}/history",
    operation_id = "get_history",
    tag = "wallets",
    params(WalletInPath, history::Parameters, FromPosition),
    responses((
        status = 200, description = "A page of entries, newest first.",
        body = history::PageAnswer<history::EntryAnswer>,
    )),
)]
pub(super) async fn get(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    least: Least,
    reach: Reach,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = HistoryQuery::of(&uri)?;
    page(&api, &id, &least, &reach, &query, history::entries).await
}

/// A page, written by `render`; a problem where there is no such wallet.
pub(super) async fn page(
    api: &Api,
    id: &WalletId,
    least: &Least,
    reach: &Reach,
    query: &HistoryQuery,
    render: impl FnOnce(&WalletId, u32, &Page) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    let HistoryQuery { filter, place, limit } = query;
    let partition = api.reads.partition_of(id);
    let least = least.in_partition(partition);
    let mut page = api.reads.history(id, least, filter, *place, *limit).await?;
    // A wallet without entries may be one that was never opened; the entries do not say whose it is.
    let is_to_be_asked = page.entries.is_empty() || *reach != Reach::Any;
    if is_to_be_asked && !wallets::is_covered(api, id, least, reach).await? {
        return Ok(wallets::unknown(id, partition, page.at.position));
    }
    history::withhold_keys(reach, &mut page.entries);
    render(id, partition, &page)
}

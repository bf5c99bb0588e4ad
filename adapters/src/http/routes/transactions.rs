//! `GET /wallets/{id}/transactions`: the history (with its parameters) in the words that lists of
//! transactions commonly have, with a `total`; also by `take` and `skip`.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use florin_projections::history::Place;

use super::history::page;
use crate::http::Api;
use crate::http::guard::Reach;
use crate::http::history::{self, HistoryQuery};
use crate::http::openapi::parameters::{FromPosition, WalletInPath};
use crate::http::path::WalletPath;
use crate::http::position::Least;
use crate::http::problem::Problem;

/// Reads a wallet's history as a list of transactions, newest first.
#[utoipa::path(
    get,
    path = "/wallets/{id}/transactions",
    operation_id = "get_transactions",
    tag = "wallets",
    params(WalletInPath, history::Parameters, FromPosition),
    responses((
        status = 200, description = "A page of transactions, newest first.",
        body = history::PageAnswer<history::TransactionAnswer>,
    )),
)]
pub(super) async fn get(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    least: Least,
    reach: Reach,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = HistoryQuery::of(&uri)?;
    if query.place == Place::Newest {
        // The first page of a numbered list, which has a total.
        query.place = Place::Numbered(1);
    }
    page(&api, &id, &least, &reach, &query, history::transactions).await
}

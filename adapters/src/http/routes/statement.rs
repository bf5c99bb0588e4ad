//! `GET /wallets/{id}/statement`: `from?` `to?` `format?` `minPosition?`; what the wallet held, what
//! moved its money, and what it held then, as JSON, as CSV or as a page to be printed.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use crate::http::Api;
use crate::http::guard::Reach;
use crate::http::history;
use crate::http::openapi::parameters::{FromPosition, WalletInPath};
use crate::http::path::WalletPath;
use crate::http::position::Least;
use crate::http::problem::Problem;
use crate::http::statement::{self, Asked};
use crate::http::wallets;

/// Reads a wallet's statement of a period.
///
/// In the media type that `Accept` likes best, or as `format` says.
#[utoipa::path(
    get,
    path = "/wallets/{id}/statement",
    operation_id = "get_statement",
    tag = "wallets",
    params(WalletInPath, statement::Parameters, FromPosition),
    responses((
        status = 200,
        description = "The opening balance, every entry (oldest first), the totals and the closing \
                       balance.",
        content(
            (statement::StatementAnswer = "application/json"),
            (String = "text/csv; charset=utf-8; header=present"),
            (String = "text/html; charset=utf-8"),
        ),
    )),
)]
pub(super) async fn get(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    reach: Reach,
    least: Least,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = Asked::of(&uri, &headers)?;
    let partition = api.reads.partition_of(&id);
    let least = least.in_partition(partition);
    let found = api.reads.wallet(&id, least).await?;
    let wallet = found.wallet.as_ref().filter(|wallet| reach.covers_row(&wallet.row));
    let Some(wallet) = wallet else {
        return Ok(wallets::unknown(&id, partition, found.position));
    };
    let mut statement = api.reads.statement(&id, least, asked.period).await?;
    history::withhold_keys(&reach, &mut statement.entries);
    statement::answer(&id, &wallet.row, asked, &statement)
}

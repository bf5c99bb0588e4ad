//! `GET /wallets`: `owner?` `currency?` `status?` `minBalance?` `maxBalance?` `limit?` `cursor?`
//! `minPosition?`; the wallets by id, page by page.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use florin_domain::WalletId;

use crate::http::Api;
use crate::http::guard::Reach;
use crate::http::openapi::parameters::FromPosition;
use crate::http::position::Least;
use crate::http::problem::Problem;
use crate::http::wallets::{self, ListQuery};

/// Lists wallets, by id.
#[utoipa::path(
    get,
    path = "/wallets",
    operation_id = "list_wallets",
    tag = "wallets",
    params(wallets::Parameters, FromPosition),
    responses(
        (status = 200, description = "A page of wallets, by id.", body = wallets::ListAnswer),
    ),
)]
pub(super) async fn get(
    State(api): State<Api>,
    least: Least,
    reach: Reach,
    uri: Uri,
) -> Result<Response, Problem> {
    let ListQuery { filter, after, limit } = ListQuery::of(&uri, &reach)?;
    let least = least.by_partition(api.reads.partitions())?;
    let after = after.as_ref().map(WalletId::as_str);
    wallets::list(&api.reads.wallets(&least, &filter, after, limit).await?)
}

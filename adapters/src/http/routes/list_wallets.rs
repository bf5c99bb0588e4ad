//! `GET /wallets`: `owner?` `currency?` `status?` `minBalance?` `maxBalance?` `limit?` `cursor?`
//! `minPosition?`; the wallets by id, page by page.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use florin_domain::WalletId;

use crate::http::Api;
use crate::http::position::Least;
use crate::http::problem::Problem;
use crate::http::wallets::{self, ListQuery};

pub(super) async fn get(
    State(api): State<Api>,
    least: Least,
    uri: Uri,
) -> Result<Response, Problem> {
    let ListQuery { filter, after, limit } = ListQuery::of(&uri)?;
    let least = least.by_partition(api.reads.partitions())?;
    let after = after.as_ref().map(WalletId::as_str);
    wallets::list(&api.reads.wallets(&least, &filter, after, limit).await?)
}

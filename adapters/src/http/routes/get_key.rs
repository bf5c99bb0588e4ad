//! `GET /idempotency/{walletId}/{key}`: what is on record for a wallet's idempotency key.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::guard::Reach;
use crate::http::kept;
use crate::http::openapi::parameters::KeyInPath;
use crate::http::path::KeyPath;
use crate::http::problem::Problem;

/// Reads what became of the request with a key.
///
/// A key belongs to the wallet in the path of its request, or to the source of a transfer.
#[utoipa::path(
    get,
    path = "/idempotency/{walletId}/{key}",
    operation_id = "get_key",
    tag = "operations",
    params(KeyInPath),
    responses((
        status = 200, description = "What is on record, as the write side has it.",
        body = kept::KeyAnswer,
    )),
)]
pub(super) async fn get(
    State(api): State<Api>,
    KeyPath { wallet, key }: KeyPath,
    reach: Reach,
) -> Result<Response, Problem> {
    kept::record(&api, wallet.as_ref(), &key, &reach).await
}

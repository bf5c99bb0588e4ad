//! `GET /idempotency/{key}`: what is on record for a key that belongs to no wallet, because a wallet
//! was to be opened without saying which.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::guard::Reach;
use crate::http::kept;
use crate::http::openapi::parameters::FreeKeyInPath;
use crate::http::path::KeyPath;
use crate::http::problem::Problem;

/// Reads what became of the request to open a wallet, without an id, with a key.
#[utoipa::path(
    get,
    path = "/idempotency/{key}",
    operation_id = "get_free_key",
    tag = "operations",
    params(FreeKeyInPath),
    responses((
        status = 200, description = "What is on record, as the write side has it.",
        body = kept::KeyAnswer,
    )),
)]
pub(super) async fn get(
    State(api): State<Api>,
    KeyPath { key, .. }: KeyPath,
    reach: Reach,
) -> Result<Response, Problem> {
    kept::record(&api, None, &key, &reach).await
}

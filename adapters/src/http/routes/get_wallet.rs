//! `GET /wallets/{id}`: `minPosition?` `consistency?`; the wallet as the read model has it, or with
//! `consistency=strong` as the write side has it now.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use florin_domain::WalletId;

use crate::http::Api;
use crate::http::guard::Reach;
use crate::http::openapi::parameters::{FromPosition, WalletInPath};
use crate::http::path::WalletPath;
use crate::http::position::Least;
use crate::http::problem::Problem;
use crate::http::refusal::wallet_not_found;
use crate::http::wallets::{self, Consistency};

/// Reads a wallet.
#[utoipa::path(
    get,
    path = "/wallets/{id}",
    operation_id = "get_wallet",
    tag = "wallets",
    params(WalletInPath, wallets::ConsistencyParameter, FromPosition),
    responses((status = 200, description = "The wallet.", body = wallets::WalletAnswer)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    least: Least,
    reach: Reach,
    uri: Uri,
) -> Result<Response, Problem> {
    if Consistency::of(&uri)? == Consistency::Strong {
        return strong(&api, &id, &reach).await;
    }
    let found = api.reads.wallet(&id, least.in_partition(api.reads.partition_of(&id))).await?;
    match &found.wallet {
        Some(wallet) if reach.covers_row(&wallet.row) => wallets::known(&found, wallet),
        Some(_) | None => Ok(wallets::unknown(&id, found.partition, found.position)),
    }
}

async fn strong(api: &Api, id: &WalletId, reach: &Reach) -> Result<Response, Problem> {
    if let Some(as_of) = &api.as_of {
        return Err(as_of.refused());
    }
    let state = api.ledger.wallet(id).await?.filter(|state| reach.covers_state(state));
    let state = state.ok_or_else(|| wallet_not_found(id))?;
    api.reads.tell(id, state.partition, state.position);
    wallets::state(StatusCode::OK, &state)
}

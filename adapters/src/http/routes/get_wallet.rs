//! `GET /wallets/{id}`: `minPosition?` `consistency?` `at?`; the wallet as the read model has it, with
//! `consistency=strong` as the write side has it now, or with `at` as the journal says that it was then.

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
use crate::http::query::invalid;
use crate::http::refusal::wallet_not_found;
use crate::http::wallets::{self, Consistency};
use crate::moment::Moment;

/// Reads a wallet.
#[utoipa::path(
    get,
    path = "/wallets/{id}",
    operation_id = "get_wallet",
    tag = "wallets",
    params(
        WalletInPath,
        wallets::ConsistencyParameter,
        wallets::MomentParameter,
        FromPosition,
    ),
    responses((status = 200, description = "The wallet.", body = wallets::WalletAnswer)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    least: Least,
    reach: Reach,
    uri: Uri,
) -> Result<Response, Problem> {
    match (Consistency::of(&uri)?, wallets::asked_at(&uri)?) {
        (Consistency::Strong, Some(_)) => {
            let why = "the write side has the wallet as it is now: leave it out, or leave out `at`";
            return Err(invalid("consistency", why));
        }
        (Consistency::Strong, None) => return strong(&api, &id, &reach).await,
        (Consistency::Eventual, Some(moment)) => {
            return then(&api, &id, &least, &reach, &moment).await;
        }
        (Consistency::Eventual, None) => {}
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

/// No model has to have come so far; whoever is told what was is told no less afterwards.
async fn then(
    api: &Api,
    id: &WalletId,
    least: &Least,
    reach: &Reach,
    moment: &Moment,
) -> Result<Response, Problem> {
    if let Some(as_of) = &api.as_of {
        return Err(as_of.refused());
    }
    let partition = api.reads.partition_of(id);
    let position = api.reports.position(partition, moment).await?;
    if position < least.in_partition(partition) {
        return Err(invalid("at", "it is before `minPosition`: send one of them"));
    }
    match api.reports.wallet(id, position).await? {
        Some(row) if reach.covers_row(&row) => {
            api.reads.tell(id, partition, row.position);
            wallets::then(&row, position)
        }
        Some(_) | None => Ok(wallets::unknown(id, partition, position)),
    }
}

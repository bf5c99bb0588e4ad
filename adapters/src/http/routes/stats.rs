//! `GET /wallets/{id}/stats`: `from?` `to?` `days?` `minPosition?`; what came and went in all and by
//! day, and whether the wallet is suspicious.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use crate::http::Api;
use crate::http::guard::Reach;
use crate::http::openapi::parameters::{FromPosition, WalletInPath};
use crate::http::path::WalletPath;
use crate::http::position::Least;
use crate::http::problem::Problem;
use crate::http::stats;
use crate::http::wallets;

/// Reads a wallet's sums, and its volume by day.
#[utoipa::path(
    get,
    path = "/wallets/{id}/stats",
    operation_id = "get_stats",
    tag = "wallets",
    params(WalletInPath, stats::Parameters, FromPosition),
    responses((status = 200, description = "The sums of the wallet.", body = stats::StatsAnswer)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    least: Least,
    reach: Reach,
    uri: Uri,
) -> Result<Response, Problem> {
    let partition = api.reads.partition_of(&id);
    let least = least.in_partition(partition);
    let summary = api.reads.stats(&id, least, stats::days(&uri)?).await?;
    // The sums do not say whose they are.
    let is_covered = reach == Reach::Any || wallets::is_covered(&api, &id, least, &reach).await?;
    match &summary.stats {
        Some(sums) if is_covered => stats::summary(&id, partition, sums, &summary),
        Some(_) | None => Ok(wallets::unknown(&id, partition, summary.at.position)),
    }
}

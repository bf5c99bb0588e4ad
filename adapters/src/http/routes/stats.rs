//! `GET /wallets/{id}/stats`: `from?` `to?` `days?` `minPosition?`; what came and went in all and by
//! day, and whether the wallet is suspicious.

use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};

use crate::http::Api;
use crate::http::path::WalletPath;
use crate::http::position::{Least, as_of};
use crate::http::problem::Problem;
use crate::http::refusal::wallet_not_found;
use crate::http::stats;

pub(super) async fn get(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    least: Least,
    uri: Uri,
) -> Result<Response, Problem> {
    let partition = api.reads.partition_of(&id);
    let summary = api.reads.stats(&id, least.in_partition(partition), stats::days(&uri)?).await?;
    match &summary.stats {
        Some(sums) => stats::summary(&id, partition, sums, &summary),
        None => {
            let problem = wallet_not_found(&id).into_response();
            Ok(as_of(problem, &[(partition, summary.at.position)]))
        }
    }
}

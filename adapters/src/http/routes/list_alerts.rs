//! `GET /fraud/alerts`: `wallet?` `rule?` `state?` `from?` `to?` `limit?` `cursor?` `minPosition?`;
//! newest first.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::alerts::{self, Page};
use crate::http::openapi::parameters::FromPosition;
use crate::http::position::Least;
use crate::http::problem::Problem;

/// Lists the alerts of the fraud rules, newest first.
#[utoipa::path(
    get,
    path = "/fraud/alerts",
    operation_id = "list_alerts",
    tag = "fraud",
    params(alerts::Parameters, FromPosition),
    responses(
        (status = 200, description = "A page of alerts, newest first.", body = alerts::ListAnswer),
    ),
)]
pub(super) async fn get(
    State(api): State<Api>,
    least: Least,
    page: Page,
) -> Result<Response, Problem> {
    let Page { filter, after, limit } = page;
    let least = match &filter.wallet {
        Some(wallet) => {
            let partition = api.reads.partition_of(wallet);
            vec![(partition, least.in_partition(partition))]
        }
        None => least.by_partition(api.reads.partitions())?,
    };
    alerts::list(&api.reads.alerts(&least, &filter, after.as_ref(), limit).await?)
}

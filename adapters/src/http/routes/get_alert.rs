//! `GET /fraud/alerts/{id}`: `minPosition?`; what was found, and what was decided about it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use florin_projections::fraud::Fraud;
use florin_projections::read_model::ReadModel;

use crate::http::Api;
use crate::http::alerts;
use crate::http::openapi::parameters::{AlertInPath, FromPosition};
use crate::http::path::AlertPath;
use crate::http::position::{Least, as_of};
use crate::http::problem::Problem;

/// Reads an alert.
#[utoipa::path(
    get,
    path = "/fraud/alerts/{id}",
    operation_id = "get_alert",
    tag = "fraud",
    params(AlertInPath, FromPosition),
    responses((status = 200, description = "The alert.", body = alerts::AlertAnswer)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    AlertPath(id): AlertPath,
    least: Least,
) -> Result<Response, Problem> {
    let least = least.by_partition(api.reads.partitions())?;
    let positions = api.reads.wait_for(&[Fraud::NAME], &least).await?;
    let alert = api.fraud.show(&id).await.map_err(|error| alerts::away(&error))?;
    let answer = match &alert {
        Some(alert) => alerts::alert(alert)?,
        None => alerts::not_found(&id).into_response(),
    };
    Ok(as_of(answer, &positions))
}

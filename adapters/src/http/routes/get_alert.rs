//! `GET /fraud/alerts/{id}`: what was found, and what was decided about it.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::alerts;
use crate::http::path::AlertPath;
use crate::http::problem::Problem;

pub(super) async fn get(
    State(api): State<Api>,
    AlertPath(id): AlertPath,
) -> Result<Response, Problem> {
    let alert = api.fraud.show(&id).await.map_err(|error| alerts::away(&error))?;
    alerts::alert(&alert.ok_or_else(|| alerts::not_found(&id))?)
}

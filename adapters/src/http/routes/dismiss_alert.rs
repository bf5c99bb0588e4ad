//! `POST /fraud/alerts/{id}/dismiss`: `by` `reason`; it was no fraud, for good.

use axum::extract::State;
use axum::response::Response;
use florin_projections::fraud::review::Verdict;

use crate::http::Api;
use crate::http::alerts;
use crate::http::alerts::decide;
use crate::http::call::Call;
use crate::http::openapi::bodies::DecisionBody;
use crate::http::openapi::parameters::AlertInPath;
use crate::http::path::AlertPath;
use crate::http::problem::Problem;

/// Says that an alert was no fraud.
#[utoipa::path(
    post,
    path = "/fraud/alerts/{id}/dismiss",
    operation_id = "dismiss_alert",
    tag = "fraud",
    params(AlertInPath),
    request_body = DecisionBody,
    responses((status = 200, description = "The alert, dismissed.", body = alerts::AlertAnswer)),
)]
pub(super) async fn post(
    State(api): State<Api>,
    AlertPath(id): AlertPath,
    call: Call,
) -> Result<Response, Problem> {
    decide(&api, &id, Verdict::Dismissed, call).await
}

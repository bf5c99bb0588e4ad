//! `POST /fraud/alerts/{id}/acknowledge`: `by` `reason?`; somebody looks after it. The wallet stays
//! suspicious.

use axum::extract::State;
use axum::response::Response;
use florin_projections::fraud::review::Verdict;

use crate::http::Api;
use crate::http::alerts;
use crate::http::alerts::decide;
use crate::http::call::Call;
use crate::http::openapi::bodies::AcknowledgeBody;
use crate::http::openapi::parameters::AlertInPath;
use crate::http::path::AlertPath;
use crate::http::problem::Problem;

/// Says that somebody looks after an alert.
#[utoipa::path(
    post,
    path = "/fraud/alerts/{id}/acknowledge",
    operation_id = "acknowledge_alert",
    tag = "fraud",
    params(AlertInPath),
    request_body = AcknowledgeBody,
    responses((status = 200, description = "The alert, acknowledged.", body = alerts::AlertAnswer)),
)]
pub(super) async fn post(
    State(api): State<Api>,
    AlertPath(id): AlertPath,
    call: Call,
) -> Result<Response, Problem> {
    decide(&api, &id, Verdict::Acknowledged, call).await
}

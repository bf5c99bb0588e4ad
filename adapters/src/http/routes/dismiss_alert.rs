//! `POST /fraud/alerts/{id}/dismiss`: `by` `reason`; it was no fraud, for good.

use axum::extract::State;
use axum::response::Response;
use florin_projections::fraud::review::Verdict;

use crate::http::Api;
use crate::http::alerts::decide;
use crate::http::call::Call;
use crate::http::path::AlertPath;
use crate::http::problem::Problem;

pub(super) async fn post(
    State(api): State<Api>,
    AlertPath(id): AlertPath,
    call: Call,
) -> Result<Response, Problem> {
    decide(&api, &id, Verdict::Dismissed, call).await
}

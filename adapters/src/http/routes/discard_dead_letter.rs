//! `POST /dead-letters/{id}/discard`: `by` `reason`; the event is never applied, and its wallet is
//! folded without it.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::call::Call;
use crate::http::dead_letters;
use crate::http::openapi::bodies::DecisionBody;
use crate::http::openapi::parameters::LetterInPath;
use crate::http::path::LetterPath;
use crate::http::problem::Problem;

/// Leaves a dead letter's event out for good.
#[utoipa::path(
    post,
    path = "/dead-letters/{id}/discard",
    operation_id = "discard_dead_letter",
    tag = "operations",
    params(LetterInPath),
    request_body = DecisionBody,
    responses((
        status = 200, description = "What the discard came to.",
        body = dead_letters::DecidedAnswer,
    )),
)]
pub(super) async fn post(
    State(api): State<Api>,
    LetterPath(id): LetterPath,
    mut call: Call,
) -> Result<Response, Problem> {
    let (by, reason) = (call.fields.by()?, call.fields.given_reason()?);
    dead_letters::decided(&api.dead_letters.discard(&id, &by, &reason).await?)
}

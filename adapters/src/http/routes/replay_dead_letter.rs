//! `POST /dead-letters/{id}/replay`: folds the letter's wallet anew, with all that waits behind it.
//! A wallet of some million events takes longer than a request may: `florin dlq replay` has the
//! time.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::dead_letters;
use crate::http::openapi::parameters::LetterInPath;
use crate::http::path::LetterPath;
use crate::http::problem::Problem;

/// Folds a dead letter's wallet anew.
#[utoipa::path(
    post,
    path = "/dead-letters/{id}/replay",
    operation_id = "replay_dead_letter",
    tag = "operations",
    params(LetterInPath),
    responses((
        status = 200, description = "What the replay came to.",
        body = dead_letters::DecidedAnswer,
    )),
)]
pub(super) async fn post(
    State(api): State<Api>,
    LetterPath(id): LetterPath,
) -> Result<Response, Problem> {
    dead_letters::decided(&api.dead_letters.replay(&id).await?)
}

//! `GET /dead-letters/{id}`: the event that was not applied, why, and what became of it.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::dead_letters;
use crate::http::path::LetterPath;
use crate::http::problem::Problem;

pub(super) async fn get(
    State(api): State<Api>,
    LetterPath(id): LetterPath,
) -> Result<Response, Problem> {
    dead_letters::letter(&api.dead_letters.show(&id).await?)
}

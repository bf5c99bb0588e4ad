//! `GET /dead-letters/{id}`: `minPosition?`; the event that was not applied, why, and what became of
//! it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::http::Api;
use crate::http::dead_letters;
use crate::http::openapi::parameters::{FromPosition, LetterInPath};
use crate::http::path::LetterPath;
use crate::http::position::{Least, as_of};
use crate::http::problem::Problem;

/// Reads a dead letter.
#[utoipa::path(
    get,
    path = "/dead-letters/{id}",
    operation_id = "get_dead_letter",
    tag = "operations",
    params(LetterInPath, FromPosition),
    responses((status = 200, description = "The dead letter.", body = dead_letters::LetterAnswer)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    LetterPath(id): LetterPath,
    least: Least,
) -> Result<Response, Problem> {
    let mut models = api.dead_letters.projections();
    models.retain(|model| id.projection == *model);
    let least = [(id.partition, least.in_partition(id.partition))];
    let positions = api.reads.wait_for(&models, &least).await?;
    let answer = match api.dead_letters.show(&id).await {
        Ok(letter) => dead_letters::letter(&letter)?,
        Err(error) => Problem::from(error).into_response(),
    };
    Ok(as_of(answer, &positions))
}

//! `GET /dead-letters`: `projection?` `wallet?` `state?` `limit?` `cursor?` `minPosition?`; by
//! projection, then in the order of the journal.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::dead_letters::{self, Page};
use crate::http::openapi::parameters::FromPosition;
use crate::http::position::{Least, as_of};
use crate::http::problem::Problem;

/// Lists the events that a read model could not apply.
#[utoipa::path(
    get,
    path = "/dead-letters",
    operation_id = "list_dead_letters",
    tag = "operations",
    params(dead_letters::Parameters, FromPosition),
    responses(
        (status = 200, description = "A page of dead letters.", body = dead_letters::ListAnswer),
    ),
)]
pub(super) async fn get(
    State(api): State<Api>,
    least: Least,
    page: Page,
) -> Result<Response, Problem> {
    let Page { filter, after, limit } = page;
    let mut models = api.dead_letters.projections();
    models.retain(|model| filter.projection.as_deref().is_none_or(|asked| asked == *model));
    let least = least.by_partition(api.reads.partitions())?;
    let positions = api.reads.wait_for(&models, &least).await?;
    let list = api.dead_letters.list(&filter, after.as_ref(), limit).await?;
    Ok(as_of(dead_letters::list(&list)?, &positions))
}

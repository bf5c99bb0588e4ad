//! `GET /projections`: how far every read model and the relay are in every partition, and who works
//! on them.

use axum::extract::State;
use axum::response::Response;
use florin_application::Clock as _;

use crate::clock::SystemClock;
use crate::http::Api;
use crate::http::problem::Problem;
use crate::http::standings;

/// Tells how far the read models and the relay are.
#[utoipa::path(
    get,
    path = "/projections",
    operation_id = "get_projections",
    tag = "operations",
    responses(
        (status = 200, description = "How far everything is.", body = standings::StandingsAnswer),
    ),
)]
pub(super) async fn get(State(api): State<Api>) -> Result<Response, Problem> {
    standings::standings(&api.reads.standings(SystemClock.now()).await?)
}

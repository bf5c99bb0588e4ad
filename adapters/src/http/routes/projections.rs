//! `GET /projections`: how far every read model and the relay are in every partition, and who works
//! on them.

use axum::extract::State;
use axum::response::Response;
use florin_application::Clock as _;

use crate::clock::SystemClock;
use crate::http::Api;
use crate::http::problem::Problem;
use crate::http::standings;

pub(super) async fn get(State(api): State<Api>) -> Result<Response, Problem> {
    standings::standings(&api.reads.standings(SystemClock.now()).await?)
}

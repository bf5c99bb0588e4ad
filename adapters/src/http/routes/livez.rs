//! `GET /livez`: the process answers. It asks nobody, so a lost database restarts nothing.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::answer;
use crate::http::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
struct Alive {
    status: &'static str,
}

/// Tells that the process answers.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "get_livez",
    tag = "operations",
    responses((status = 200, description = "The process answers.", body = Alive)),
)]
pub(in crate::http) async fn get() -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &Alive { status: "alive" })
}

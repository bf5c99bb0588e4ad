//! `GET /livez`: the process answers. It asks nobody, so a lost database restarts nothing.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::http::answer;
use crate::http::problem::Problem;

#[derive(Debug, Serialize)]
struct Alive {
    status: &'static str,
}

pub(super) async fn get() -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &Alive { status: "alive" })
}

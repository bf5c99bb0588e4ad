//! `GET /readyz`: commands can be accepted, or what is missing for that.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Api;
use crate::http::answer;
use crate::http::code::Code;
use crate::http::health::Health;
use crate::http::problem::{Member, Problem};

/// `missing` is what the service does without for now.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    status: &'static str,
    missing: Vec<&'static str>,
}

/// Tells whether commands are accepted.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "get_readyz",
    tag = "operations",
    responses((status = 200, description = "Commands are accepted.", body = Ready)),
)]
pub(super) async fn get(State(api): State<Api>) -> Result<Response, Problem> {
    readiness(&*api.health).await
}

/// The same, on whichever port.
pub(in crate::http) async fn readiness(health: &dyn Health) -> Result<Response, Problem> {
    let found = health.missing().await;
    let missing = found.iter().map(|missing| missing.name).collect();
    if found.iter().any(|missing| missing.required) {
        let detail = "The service cannot accept commands without what is missing.";
        let problem = Problem::new(Code::Unavailable, detail);
        return Err(problem.with("missing", Member::Names(missing)));
    }
    let status = "ready";
    answer::json(StatusCode::OK, &Ready { status, missing })
}

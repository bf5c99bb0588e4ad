//! `GET /audit/{id}`: one call.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::calls;
use crate::http::openapi::parameters::CallInPath;
use crate::http::path::CallPath;
use crate::http::problem::Problem;

/// Reads a call, by the `auditId` in the metadata of the events that it led to.
#[utoipa::path(
    get,
    path = "/audit/{id}",
    operation_id = "get_call",
    tag = "operations",
    params(CallInPath),
    responses((status = 200, description = "The call.", body = calls::CallAnswer)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    CallPath(id): CallPath,
) -> Result<Response, Problem> {
    let found = api.calls.show(id).await.map_err(|cause| calls::away(&cause))?;
    calls::call(&found.ok_or_else(|| calls::not_found(id))?)
}

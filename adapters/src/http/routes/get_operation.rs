//! `GET /operations/{id}`: how far an operation is, and what became of it.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::guard::Reach;
use crate::http::openapi::parameters::OperationInPath;
use crate::http::operations;
use crate::http::path::OperationPath;
use crate::http::problem::Problem;

/// Reads an operation.
///
/// While it has not ended, `Retry-After` says when to look again.
#[utoipa::path(
    get,
    path = "/operations/{id}",
    operation_id = "get_operation",
    tag = "operations",
    params(OperationInPath),
    responses((
        status = 200, description = "How far it is, and what became of it.",
        body = operations::OperationAnswer,
    )),
)]
pub(super) async fn get(
    State(api): State<Api>,
    OperationPath(id): OperationPath,
    reach: Reach,
) -> Result<Response, Problem> {
    operations::show(&api, id, &reach).await
}

//! `GET /openapi.json`: this document.

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::response::Response;

use crate::http::answer::of_text;
use crate::http::openapi;
use crate::http::openapi::types::AnyJson;
use crate::http::problem::Problem;

/// Written once, when it is first asked for.
static TEXT: LazyLock<Option<String>> = LazyLock::new(|| openapi::text().ok());

/// Reads this document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_document",
    tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1.", body = AnyJson)),
)]
pub(super) async fn get() -> Result<Response, Problem> {
    let text = TEXT.as_deref().ok_or_else(Problem::internal)?;
    Ok(of_text(StatusCode::OK, text))
}

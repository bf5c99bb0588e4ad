//! `GET /asyncapi.json`: the messages that Florin publishes.

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::response::Response;

use crate::contracts;
use crate::http::answer::of_text;
use crate::http::openapi::types::AnyJson;
use crate::http::problem::Problem;

/// Written once, when it is first asked for.
static TEXT: LazyLock<Option<String>> = LazyLock::new(|| contracts::text().ok());

/// Reads the document of the messages on NATS.
///
/// What other services may rely on: channels, headers, payloads.
#[utoipa::path(
    get,
    path = "/asyncapi.json",
    operation_id = "get_messages",
    tag = "events",
    responses((status = 200, description = "AsyncAPI 3.0.", body = AnyJson)),
)]
pub(super) async fn get() -> Result<Response, Problem> {
    let text = TEXT.as_deref().ok_or_else(Problem::internal)?;
    Ok(of_text(StatusCode::OK, text))
}

//! `GET /audit`: `subject?` `client?` `path?` `status?` `from?` `to?` `limit?` `cursor?`; the newest
//! first.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::calls::{self, Page};
use crate::http::problem::Problem;

/// Lists the calls that were made: who sent what, and what they were told.
///
/// A filter looks at so many calls at a time. So a page may have fewer than asked for, or none, and
/// still a `nextCursor` to go on from.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "list_calls",
    tag = "operations",
    params(calls::Parameters),
    responses((status = 200, description = "A page of calls.", body = calls::ListAnswer)),
)]
pub(super) async fn get(State(api): State<Api>, page: Page) -> Result<Response, Problem> {
    let Page { filter, before, limit } = page;
    let list = api.calls.list(&filter, before, limit).await;
    calls::list(&list.map_err(|cause| calls::away(&cause))?)
}

//! `GET /events`: `partition?` `after?` `limit?` `type?` `wallet?`; the events of the ledger by
//! position, page by page.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use crate::http::Api;
use crate::http::events::{self, Query};
use crate::http::problem::Problem;

/// Lists the events of a partition, by position.
///
/// For whoever follows the ledger and lacks something: what a stream no longer has, or lost. The
/// events of a partition are dense, and once recorded they never change. `Florin-Position` says where
/// the journal ended in every partition when the page was read. Of some types, so many events are
/// looked at for a page: it may have fewer than asked for, or none, and still `hasMore`.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "list_events",
    tag = "events",
    params(events::Parameters),
    responses((status = 200, description = "A page of events.", body = events::PageAnswer)),
)]
pub(super) async fn get(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    let query = Query::of(&api, &uri)?;
    events::page(&api, query).await
}

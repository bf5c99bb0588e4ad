//! `GET /events/stream`: `type?` `wallet?` `partition?` `lastEventId?`; the events of the ledger as
//! they are recorded.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use crate::http::Api;
use crate::http::live::{EventAnswer, EventParameters, Wish, open};
use crate::http::openapi::parameters::LastEvent;
use crate::http::problem::Problem;

/// Streams the ledger's events as they are recorded.
///
/// As the stream of a wallet, of all wallets and transfers. Each partition comes in its order; `id`
/// names a position in each of them.
#[utoipa::path(
    get,
    path = "/events/stream",
    operation_id = "stream_events",
    tag = "events",
    params(EventParameters, LastEvent),
    responses((
        status = 200, description = "Events without an end; the schema is that of their data.",
        body = EventAnswer, content_type = "text/event-stream",
    )),
)]
pub(super) async fn get(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wish = Wish::of_events(&api, &uri, &headers)?;
    open(&api, wish).await
}

//! `GET /wallets/{id}/stream`: `lastEventId?`; the wallet's events as they are recorded. The legs
//! of transfers are among them; the transfers' own events are not.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use crate::http::Api;
use crate::http::guard::Reach;
use crate::http::live::{EventAnswer, WalletParameters, Wish, open};
use crate::http::openapi::parameters::{LastEvent, WalletInPath};
use crate::http::path::WalletPath;
use crate::http::problem::Problem;
use crate::http::refusal::wallet_not_found;

/// Streams a wallet's events as they are recorded.
///
/// Server-sent events: `event` is the type, `data` the event, and `id` what you have when you have
/// it; sent back as `Last-Event-ID`, it resumes the stream without loss and without duplicates.
/// Without it, the stream begins now. The last event of a stream that the service ends is `end`,
/// whose data have a `code` and a `detail`.
#[utoipa::path(
    get,
    path = "/wallets/{id}/stream",
    operation_id = "stream_wallet",
    tag = "wallets",
    params(WalletInPath, WalletParameters, LastEvent),
    responses((
        status = 200, description = "Events without an end; the schema is that of their data.",
        body = EventAnswer, content_type = "text/event-stream",
    )),
)]
pub(super) async fn get(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    reach: Reach,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wish = Wish::of_wallet(&api, id.clone(), &uri, &headers)?;
    // Of the write side: whoever was just told of the wallet finds it.
    if !api.ledger.wallet(&id).await?.is_some_and(|state| reach.covers_state(&state)) {
        return Err(wallet_not_found(&id));
    }
    open(&api, wish).await
}

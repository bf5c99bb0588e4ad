//! `POST /wallets/{id}/close`: `reason?` `requestId?`; ends an empty wallet for good.

use axum::extract::State;
use axum::response::Response;
use florin_domain::WalletCommand;
use florin_domain::wallet::Close;

use crate::http::Api;
use crate::http::call::Call;
use crate::http::openapi::bodies::StatusBody;
use crate::http::openapi::parameters::{CommandHeaders, Condition, WalletInPath};
use crate::http::path::WalletPath;
use crate::http::problem::Problem;
use crate::http::submit::{of_wallet, submit};
use crate::http::wallets;

/// Closes an empty wallet for good.
#[utoipa::path(
    post,
    path = "/wallets/{id}/close",
    operation_id = "close",
    tag = "wallets",
    params(WalletInPath, CommandHeaders, Condition),
    request_body = Option<StatusBody>,
    responses((
        status = 200, description = "The wallet is closed for good.",
        body = wallets::WalletAnswer,
    )),
)]
pub(super) async fn post(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    mut call: Call,
) -> Result<Response, Problem> {
    let command = WalletCommand::Close(Close {
        reason: call.fields.reason()?,
        // The ledger knows, and says so before it decides.
        in_flight: false,
    });
    submit(&api, call, of_wallet(id, command)).await
}

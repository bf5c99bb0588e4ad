//! `POST /wallets/{id}/unfreeze`: `reason?` `requestId?`; money may leave the wallet again.

use axum::extract::State;
use axum::response::Response;
use florin_application::Command;
use florin_domain::wallet::Unfreeze;
use florin_domain::{WalletCommand, WalletId};

use crate::http::Api;
use crate::http::call::Call;
use crate::http::fields::Fields;
use crate::http::openapi::bodies::StatusBody;
use crate::http::openapi::parameters::{CommandHeaders, Condition, Preference, WalletInPath};
use crate::http::operations;
use crate::http::path::WalletPath;
use crate::http::problem::Problem;
use crate::http::submit::{of_wallet, submit};

/// Unfreezes a wallet.
#[utoipa::path(
    post,
    path = "/wallets/{id}/unfreeze",
    operation_id = "unfreeze",
    tag = "wallets",
    params(WalletInPath, CommandHeaders, Preference, Condition),
    request_body = Option<StatusBody>,
    responses(
        (
            status = 200, description = "Money may leave the wallet. \
                                         Or, under its key, an operation that has ended.",
            body = operations::WalletOrOperation,
        ),
        (
            status = 202, description = "It is on record, and will be carried out: look at Location.",
            body = operations::OperationAnswer,
        ),
    ),
)]
pub(super) async fn post(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    mut call: Call,
) -> Result<Response, Problem> {
    let command = command(id, &mut call.fields)?;
    submit(&api, call, command).await
}

/// What the fields of an unfreeze ask for.
pub(super) fn command(id: WalletId, fields: &mut Fields) -> Result<Command, Problem> {
    let unfreeze = Unfreeze { reason: fields.reason()? };
    Ok(of_wallet(id, WalletCommand::Unfreeze(unfreeze)))
}

//! `POST /wallets/{id}/transfer`: `toWalletId` `amount` `currency?` `requestId?` `metadata?`; moves
//! money to another wallet.

use axum::extract::State;
use axum::response::Response;
use florin_application::Command;
use florin_application::command::NewTransfer;
use florin_domain::{TransferId, WalletId};
use uuid::Uuid;

use crate::http::Api;
use crate::http::answer;
use crate::http::call::Call;
use crate::http::fields::Fields;
use crate::http::openapi::bodies::TransferBody;
use crate::http::openapi::parameters::{CommandHeaders, Condition, Preference, WalletInPath};
use crate::http::operations;
use crate::http::path::WalletPath;
use crate::http::problem::Problem;
use crate::http::submit::submit;

/// Moves money to another wallet.
#[utoipa::path(
    post,
    path = "/wallets/{id}/transfer",
    operation_id = "transfer",
    tag = "transfers",
    params(WalletInPath, CommandHeaders, Preference, Condition),
    request_body = TransferBody,
    responses(
        (
            status = 200, description = "Under its key it was on record, and has ended: this is what \
                                         became of it.",
            body = operations::OperationAnswer,
        ),
        (status = 201, description = "The money has moved.", body = answer::ReceiptAnswer),
        (
            status = 202, description = "It is on its way: look at Location.",
            body = operations::OnItsWay,
        ),
    ),
)]
pub(super) async fn post(
    State(api): State<Api>,
    WalletPath(from): WalletPath,
    call: Call,
) -> Result<Response, Problem> {
    transfer(&api, from, call).await
}

/// The rest of the body, once the source is known.
pub(super) async fn transfer(
    api: &Api,
    from: WalletId,
    mut call: Call,
) -> Result<Response, Problem> {
    let command = command(from, &mut call.fields)?;
    submit(api, call, command).await
}

/// What the fields of a transfer ask for.
pub(super) fn command(from: WalletId, fields: &mut Fields) -> Result<Command, Problem> {
    Ok(Command::Transfer(NewTransfer {
        transfer_id: TransferId(Uuid::now_v7()),
        from,
        to: fields.target()?,
        amount: fields.amount()?,
        currency: fields.currency()?,
        metadata: fields.metadata()?,
    }))
}

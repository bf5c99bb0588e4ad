//! `POST /wallets/{id}/withdraw`: `amount` `currency?` `requestId?` `metadata?`; money goes out to
//! the outside world.

use axum::extract::State;
use axum::response::Response;
use florin_application::Command;
use florin_domain::wallet::Withdraw;
use florin_domain::{TransactionId, WalletCommand, WalletId};
use uuid::Uuid;

use crate::http::Api;
use crate::http::answer;
use crate::http::call::Call;
use crate::http::fields::Fields;
use crate::http::openapi::bodies::MoneyBody;
use crate::http::openapi::parameters::{CommandHeaders, Condition, Preference, WalletInPath};
use crate::http::operations;
use crate::http::path::WalletPath;
use crate::http::problem::Problem;
use crate::http::submit::{of_wallet, submit};

/// Takes money out of a wallet, to the outside world.
#[utoipa::path(
    post,
    path = "/wallets/{id}/withdraw",
    operation_id = "withdraw",
    tag = "wallets",
    params(WalletInPath, CommandHeaders, Preference, Condition),
    request_body = MoneyBody,
    responses(
        (
            status = 200, description = "Under its key it was on record, and has ended: this is what \
                                         became of it.",
            body = operations::OperationAnswer,
        ),
        (
            status = 201, description = "The money has left the wallet.",
            body = answer::MovementAnswer,
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

/// What the fields of a withdrawal ask for.
pub(super) fn command(id: WalletId, fields: &mut Fields) -> Result<Command, Problem> {
    let withdraw = Withdraw {
        transaction_id: TransactionId(Uuid::now_v7()),
        amount: fields.amount()?,
        currency: fields.currency()?,
        metadata: fields.metadata()?,
    };
    Ok(of_wallet(id, WalletCommand::Withdraw(withdraw)))
}

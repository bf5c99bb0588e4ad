//! `POST /wallets/{id}/deposit`: `amount` `currency?` `requestId?` `metadata?`; money from the
//! outside world comes in.

use axum::extract::State;
use axum::response::Response;
use florin_domain::wallet::Deposit;
use florin_domain::{TransactionId, WalletCommand};
use uuid::Uuid;

use crate::http::Api;
use crate::http::answer;
use crate::http::call::Call;
use crate::http::if_match::IfMatch;
use crate::http::openapi::bodies::MoneyBody;
use crate::http::openapi::parameters::{CommandHeaders, Condition, WalletInPath};
use crate::http::path::WalletPath;
use crate::http::problem::Problem;
use crate::http::submit::{of_wallet, submit};

/// Puts money from the outside world into a wallet.
#[utoipa::path(
    post,
    path = "/wallets/{id}/deposit",
    operation_id = "deposit",
    tag = "wallets",
    params(WalletInPath, CommandHeaders, Condition),
    request_body = MoneyBody,
    responses(
        (status = 201, description = "The money is in the wallet.", body = answer::MovementAnswer),
    ),
)]
pub(super) async fn post(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    mut call: Call,
) -> Result<Response, Problem> {
    let command = WalletCommand::Deposit(Deposit {
        transaction_id: TransactionId(Uuid::now_v7()),
        amount: call.fields.amount()?,
        currency: call.fields.currency()?,
        metadata: call.fields.metadata()?,
        opens_unknown: api.auto_open && call.if_match != Some(IfMatch::Exists),
    });
    submit(&api, call, of_wallet(id, command)).await
}

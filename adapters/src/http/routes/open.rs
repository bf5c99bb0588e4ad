//! `POST /wallets`: `id?` `currency?` `initialBalance?` `owner?` `metadata?` `requestId?`; opens a
//! wallet.

use axum::extract::State;
use axum::response::Response;
use florin_application::Command;
use florin_domain::wallet::Open;
use florin_domain::{Currency, TransactionId, WalletCommand};
use uuid::Uuid;

use crate::http::Api;
use crate::http::call::Call;
use crate::http::openapi::bodies::OpenBody;
use crate::http::openapi::parameters::CommandHeaders;
use crate::http::problem::Problem;
use crate::http::submit::submit;
use crate::http::wallets;

/// Opens a wallet.
#[utoipa::path(
    post,
    path = "/wallets",
    operation_id = "open_wallet",
    tag = "wallets",
    params(CommandHeaders),
    request_body = Option<OpenBody>,
    responses((status = 201, description = "The wallet is open.", body = wallets::WalletAnswer)),
)]
pub(super) async fn post(State(api): State<Api>, mut call: Call) -> Result<Response, Problem> {
    let given = call.fields.id()?;
    let initial = call.fields.initial_balance()?;
    let open = WalletCommand::Open(Open {
        currency: call.fields.currency()?.unwrap_or(Currency::USD),
        owner: call.fields.owner()?,
        metadata: call.fields.metadata()?,
        initial: initial.map(|amount| (TransactionId(Uuid::now_v7()), amount)),
    });
    let command = Command::Wallet {
        id_is_new: given.is_none(),
        id: given.unwrap_or_else(|| Uuid::now_v7().into()),
        command: open,
    };
    submit(&api, call, command).await
}

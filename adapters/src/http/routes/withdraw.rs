//! `POST /wallets/{id}/withdraw`: `amount` `currency?` `requestId?` `metadata?`; money goes out to
//! the outside world.

use axum::extract::State;
use axum::response::Response;
use florin_domain::wallet::Withdraw;
use florin_domain::{TransactionId, WalletCommand};
use uuid::Uuid;

use crate::http::Api;
use crate::http::call::Call;
use crate::http::path::WalletPath;
use crate::http::problem::Problem;
use crate::http::submit::{of_wallet, submit};

pub(super) async fn post(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
    mut call: Call,
) -> Result<Response, Problem> {
    let command = WalletCommand::Withdraw(Withdraw {
        transaction_id: TransactionId(Uuid::now_v7()),
        amount: call.fields.amount()?,
        currency: call.fields.currency()?,
        metadata: call.fields.metadata()?,
    });
    submit(&api, call, of_wallet(id, command)).await
}

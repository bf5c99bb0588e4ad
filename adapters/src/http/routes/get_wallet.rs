//! `GET /wallets/{id}`: the wallet as the journal has it now.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::http::Api;
use crate::http::answer;
use crate::http::path::WalletPath;
use crate::http::problem::Problem;
use crate::http::refusal::wallet_not_found;

pub(super) async fn get(
    State(api): State<Api>,
    WalletPath(id): WalletPath,
) -> Result<Response, Problem> {
    let wallet = api.ledger.wallet(&id).await?;
    let wallet = wallet.ok_or_else(|| wallet_not_found(&id))?;
    answer::wallet(StatusCode::OK, &wallet)
}

//! `POST /transfers` and `POST /wallets/transfer`: as `POST /wallets/{id}/transfer`, with the source
//! in the body as `fromWalletId`.

use axum::extract::State;
use axum::response::Response;

use super::transfer::transfer;
use crate::http::Api;
use crate::http::call::Call;
use crate::http::problem::Problem;

pub(super) async fn post(State(api): State<Api>, mut call: Call) -> Result<Response, Problem> {
    let from = call.fields.source()?;
    transfer(&api, from, call).await
}

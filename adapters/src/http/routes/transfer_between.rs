//! `POST /transfers` and `POST /wallets/transfer`: as `POST /wallets/{id}/transfer`, with the source
//! in the body as `fromWalletId`.

use axum::extract::State;
use axum::response::Response;

use super::transfer::transfer;
use crate::http::Api;
use crate::http::answer;
use crate::http::call::Call;
use crate::http::openapi::bodies::TransferBetweenBody;
use crate::http::openapi::parameters::{CommandHeaders, Condition, Preference};
use crate::http::operations;
use crate::http::problem::Problem;

/// Moves money between two wallets.
#[utoipa::path(
    post,
    path = "/transfers",
    operation_id = "transfer_between",
    tag = "transfers",
    params(CommandHeaders, Preference, Condition),
    request_body = TransferBetweenBody,
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
pub(super) async fn post(State(api): State<Api>, mut call: Call) -> Result<Response, Problem> {
    let from = call.fields.source()?;
    transfer(&api, from, call).await
}

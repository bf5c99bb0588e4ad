//! `GET /transfers/{id}`: the transfer as the journal has it now.

use axum::extract::State;
use axum::response::Response;

use crate::http::Api;
use crate::http::answer;
use crate::http::code::Code;
use crate::http::openapi::parameters::TransferInPath;
use crate::http::path::TransferPath;
use crate::http::problem::{Member, Problem};

/// Reads a transfer.
#[utoipa::path(
    get,
    path = "/transfers/{id}",
    operation_id = "get_transfer",
    tag = "transfers",
    params(TransferInPath),
    responses((
        status = 200, description = "The transfer as the journal has it now.",
        body = answer::TransferAnswer,
    )),
)]
pub(super) async fn get(
    State(api): State<Api>,
    TransferPath(id): TransferPath,
) -> Result<Response, Problem> {
    let transfer = api.ledger.transfer(id).await?;
    let transfer = transfer.ok_or_else(|| {
        Problem::new(
            Code::TransferNotFound,
            "No transfer is on record under this id: correct it, or send the transfer.",
        )
        .with("transferId", Member::Text(id.to_string()))
    })?;
    let details = &transfer.details;
    api.reads.tell(&details.from, transfer.partition, transfer.position);
    if let Some(credit) = &details.credit {
        api.reads.tell(&details.to, credit.partition, credit.position);
    }
    answer::transfer(&transfer)
}

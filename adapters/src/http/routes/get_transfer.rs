//! `GET /transfers/{id}`: the transfer as the journal has it now.

use axum::extract::State;
use axum::response::Response;
use florin_application::command::WalletState;
use florin_domain::TransferId;
use florin_domain::transfer::Details;

use crate::http::Api;
use crate::http::answer::{self, Ends};
use crate::http::code::Code;
use crate::http::guard::Reach;
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
    reach: Reach,
) -> Result<Response, Problem> {
    let transfer = api.ledger.transfer(id).await?.ok_or_else(|| not_found(id))?;
    let ends = ends(&api, &transfer.details, &reach).await?;
    if !ends.from && !ends.to {
        return Err(not_found(id));
    }
    let details = &transfer.details;
    api.reads.tell(&details.from, transfer.partition, transfer.position);
    if let Some(credit) = &details.credit {
        api.reads.tell(&details.to, credit.partition, credit.position);
    }
    answer::transfer(&transfer, ends)
}

/// Which of its wallets may be asked of: as the write side has them, like the transfer.
async fn ends(api: &Api, details: &Details, reach: &Reach) -> Result<Ends, Problem> {
    if *reach == Reach::Any {
        return Ok(Ends { from: true, to: true });
    }
    let (from, to) = (api.ledger.wallet(&details.from), api.ledger.wallet(&details.to));
    let (from, to) = futures::try_join!(from, to)?;
    let covers = |state: Option<WalletState>| state.is_some_and(|state| reach.covers_state(&state));
    Ok(Ends { from: covers(from), to: covers(to) })
}

fn not_found(id: TransferId) -> Problem {
    Problem::new(
        Code::TransferNotFound,
        "No transfer is on record under this id: correct it, or send the transfer.",
    )
    .with("transferId", Member::Text(id.to_string()))
}

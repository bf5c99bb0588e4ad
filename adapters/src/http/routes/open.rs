//! `POST /wallets`: `id?` `currency?` `initialBalance?` `owner?` `metadata?` `requestId?`; opens a
//! wallet.

use axum::extract::State;
use axum::response::Response;
use florin_application::Command;
use florin_domain::wallet::Open;
use florin_domain::{Currency, Owner, TransactionId, WalletCommand, WalletId};
use uuid::Uuid;

use crate::auth::Scope;
use crate::http::Api;
use crate::http::call::Call;
use crate::http::fields::Fields;
use crate::http::guard::{Reach, insufficient};
use crate::http::openapi::bodies::OpenBody;
use crate::http::openapi::parameters::{CommandHeaders, Preference};
use crate::http::operations;
use crate::http::problem::Problem;
use crate::http::submit::submit;
use crate::http::wallets;

/// Opens a wallet.
#[utoipa::path(
    post,
    path = "/wallets",
    operation_id = "open_wallet",
    tag = "wallets",
    params(CommandHeaders, Preference),
    request_body = Option<OpenBody>,
    responses(
        (
            status = 200, description = "Under its key it was on record, and has ended: this is what \
                                         became of it.",
            body = operations::OperationAnswer,
        ),
        (status = 201, description = "The wallet is open.", body = wallets::WalletAnswer),
        (
            status = 202, description = "It is on record, and will be carried out: look at Location.",
            body = operations::OperationAnswer,
        ),
    ),
)]
pub(super) async fn post(State(api): State<Api>, mut call: Call) -> Result<Response, Problem> {
    let given = call.fields.id()?;
    let command = command(given, &mut call.fields, &call.reach)?;
    submit(&api, call, command).await
}

/// What the fields of an opening ask for. An id is made up if none is given.
pub(super) fn command(
    given: Option<WalletId>,
    fields: &mut Fields,
    reach: &Reach,
) -> Result<Command, Problem> {
    let initial = fields.initial_balance()?;
    let open = Open {
        currency: fields.currency()?.unwrap_or(Currency::USD),
        owner: owner(reach, fields.owner()?)?,
        metadata: fields.metadata()?,
        initial: initial.map(|amount| (TransactionId(Uuid::now_v7()), amount)),
    };
    Ok(Command::Wallet {
        id_is_new: given.is_none(),
        id: given.unwrap_or_else(|| Uuid::now_v7().into()),
        command: WalletCommand::Open(open),
    })
}

/// Whoever may command only their own wallets opens them for themselves.
fn owner(reach: &Reach, given: Option<Owner>) -> Result<Option<Owner>, Problem> {
    match (reach.owner()?, given) {
        (None, given) => Ok(given),
        (Some(own), Some(given)) if *own != given => Err(insufficient(
            &[Scope::LedgerWrite],
            "`owner`: with wallet:write, a wallet is opened for yourself: leave it out, or ask for \
             the scope ledger:write.",
        )),
        (Some(own), _) => Ok(Some(own.clone())),
    }
}

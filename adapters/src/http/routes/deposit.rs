//! `POST /wallets/{id}/deposit`: `amount` `currency?` `requestId?` `metadata?`; money from the
//! outside world comes in.

use axum::extract::State;
use axum::response::Response;
use florin_application::Command;
use florin_domain::wallet::Deposit;
use florin_domain::{TransactionId, WalletCommand, WalletId};
use uuid::Uuid;

use crate::http::Api;
use crate::http::answer;
use crate::http::call::Call;
use crate::http::fields::Fields;
use crate::http::guard::Reach;
use crate::http::if_match::IfMatch;
use crate::http::openapi::bodies::MoneyBody;
use crate::http::openapi::parameters::{CommandHeaders, Condition, Preference, WalletInPath};
use crate::http::operations;
use crate::http::path::WalletPath;
use crate::http::problem::Problem;
use crate::http::submit::{of_wallet, submit};

/// Puts money from the outside world into a wallet.
#[utoipa::path(
    post,
    path = "/wallets/{id}/deposit",
    operation_id = "deposit",
    tag = "wallets",
    params(WalletInPath, CommandHeaders, Preference, Condition),
    request_body = MoneyBody,
    responses(
        (
            status = 200, description = "Under its key it was on record, and has ended: this is what \
                                         became of it.",
            body = operations::OperationAnswer,
        ),
        (status = 201, description = "The money is in the wallet.", body = answer::MovementAnswer),
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
    let opens_unknown = api.auto_open && call.if_match != Some(IfMatch::Exists);
    let command = command(id, &mut call.fields, opens_unknown, &call.reach)?;
    submit(&api, call, command).await
}

/// What the fields of a deposit ask for.
pub(super) fn command(
    id: WalletId,
    fields: &mut Fields,
    opens_unknown: bool,
    reach: &Reach,
) -> Result<Command, Problem> {
    let deposit = Deposit {
        transaction_id: TransactionId(Uuid::now_v7()),
        amount: fields.amount()?,
        currency: fields.currency()?,
        metadata: fields.metadata()?,
        opens_unknown,
        owner: reach.owner()?.cloned(),
    };
    Ok(of_wallet(id, WalletCommand::Deposit(deposit)))
}

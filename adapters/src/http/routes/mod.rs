//! The route table. Every route answers at the root and under `/v1`, and those of wallets with
//! `/wallet` for `/wallets` as well, as the older systems had it.

mod acknowledge_alert;
mod bulk;
mod close;
mod deposit;
mod discard_dead_letter;
mod dismiss_alert;
mod document;
mod freeze;
mod get_alert;
mod get_dead_letter;
mod get_free_key;
mod get_key;
mod get_transfer;
mod get_wallet;
mod history;
mod list_alerts;
mod list_dead_letters;
mod list_wallets;
mod livez;
mod open;
mod projections;
mod readyz;
mod replay_dead_letter;
mod statement;
mod stats;
mod transactions;
mod transfer;
mod transfer_between;
mod trial_balance;
mod unfreeze;
mod withdraw;

use axum::Router;
use axum::routing::post;
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::Api;
use super::code::Code;
use super::observe::{Observe, REQUEST_TIMEOUT};
use super::openapi::problems::{
    ALERT, AMOUNT, ANY, BODY, BULK, CLOSE, COMMAND, DECISION, KEY, LEDGER, LETTER, MONEY, OPEN,
    OUT, READ, REPORT, STATEMENT, STATUS, TRANSFER, WALLET,
};
use super::problem::Problem;

/// An endpoint as it is served and documented, and what can go wrong there.
pub(super) struct Row {
    pub(super) endpoint: UtoipaMethodRouter<Api>,
    pub(super) problems: Vec<Code>,
}

fn row(endpoint: UtoipaMethodRouter<Api>, problems: &[&[Code]]) -> Row {
    Row { endpoint, problems: [problems.concat(), ANY.to_vec()].concat() }
}

/// All of them.
pub(super) fn table() -> Vec<Row> {
    vec![
        row(routes!(open::post), &[BODY, COMMAND, MONEY, OPEN]),
        row(routes!(list_wallets::get), &[READ]),
        row(routes!(get_wallet::get), &[READ, WALLET, LEDGER]),
        row(routes!(history::get), &[READ, WALLET]),
        row(routes!(transactions::get), &[READ, WALLET]),
        row(routes!(stats::get), &[READ, WALLET]),
        row(routes!(statement::get), &[READ, WALLET, STATEMENT]),
        row(routes!(deposit::post), &[BODY, COMMAND, MONEY, AMOUNT]),
        row(routes!(withdraw::post), &[BODY, COMMAND, MONEY, AMOUNT, OUT]),
        row(routes!(transfer::post), &[BODY, COMMAND, MONEY, AMOUNT, OUT, TRANSFER]),
        row(routes!(freeze::post), &[BODY, COMMAND, STATUS]),
        row(routes!(unfreeze::post), &[BODY, COMMAND, STATUS]),
        row(routes!(close::post), &[BODY, COMMAND, STATUS, CLOSE]),
        row(routes!(transfer_between::post), &[BODY, COMMAND, MONEY, AMOUNT, OUT, TRANSFER]),
        row(routes!(bulk::post), &[BODY, BULK, MONEY, AMOUNT, OUT, TRANSFER, OPEN, STATUS, CLOSE]),
        row(
            routes!(get_transfer::get),
            &[LEDGER, &[Code::InvalidTransferId, Code::TransferNotFound]],
        ),
        row(routes!(get_key::get), &[KEY, &[Code::InvalidWalletId]]),
        row(routes!(get_free_key::get), &[KEY]),
        row(routes!(trial_balance::get), &[READ, REPORT]),
        row(routes!(list_alerts::get), &[READ]),
        row(routes!(get_alert::get), &[READ, ALERT]),
        row(routes!(acknowledge_alert::post), &[BODY, ALERT, DECISION, &[Code::AlertDecided]]),
        row(routes!(dismiss_alert::post), &[BODY, ALERT, DECISION, &[Code::AlertDecided]]),
        row(routes!(projections::get), &[]),
        row(routes!(list_dead_letters::get), &[READ]),
        row(routes!(get_dead_letter::get), &[READ, LETTER]),
        row(routes!(replay_dead_letter::post), &[LETTER, &[Code::DeadLetterSettled]]),
        row(
            routes!(discard_dead_letter::post),
            &[BODY, LETTER, DECISION, &[Code::DeadLetterSettled]],
        ),
        row(routes!(livez::get), &[]),
        row(routes!(readyz::get), &[]),
        row(routes!(document::get), &[]),
    ]
}

/// The service, without a listener.
pub fn router(api: Api) -> Router {
    let mut router = Router::new();
    let own = table().into_iter().flat_map(|Row { endpoint: (_, paths, methods), .. }| {
        let at = move |path| (path, methods.clone());
        paths.paths.into_keys().map(at)
    });
    // A name of the older systems; and a wallet may have the name of this route.
    let older = ("/wallets/transfer".to_owned(), post(transfer_between::post).get(get_wallet::get));
    for (path, methods) in own.chain([older]) {
        for prefix in ["", "/v1"] {
            if let Some(rest) = path.strip_prefix("/wallets") {
                router = router.route(&format!("{prefix}/wallet{rest}"), methods.clone());
            }
            router = router.route(&format!("{prefix}{path}"), methods.clone());
        }
    }
    router
        .merge(docs())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Observe { timeout: REQUEST_TIMEOUT })
        .with_state(api)
}

/// The document for people: Swagger UI, whose files are part of the program.
fn docs() -> Router<Api> {
    SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into()
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "There is no such route: see the route table of the API.")
}

async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "This route has other methods: see Allow.")
}

//! The route table. Every route answers at the root and under `/v1`, and those of wallets with
//! `/wallet` for `/wallets` as well, as the older systems had it. Every row says who gets in.

mod acknowledge_alert;
mod bulk;
mod close;
mod deposit;
mod discard_dead_letter;
mod dismiss_alert;
mod document;
mod freeze;
mod get_alert;
mod get_call;
mod get_dead_letter;
mod get_free_key;
mod get_key;
mod get_operation;
mod get_transfer;
mod get_wallet;
mod history;
mod list_alerts;
mod list_calls;
mod list_dead_letters;
mod list_events;
mod list_wallets;
pub(super) mod livez;
mod messages;
mod open;
mod projections;
pub(super) mod readyz;
mod replay_dead_letter;
mod statement;
mod stats;
mod stream_events;
mod stream_wallet;
mod transactions;
mod transfer;
mod transfer_between;
mod trial_balance;
mod unfreeze;
mod users_wallet;
mod withdraw;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use tower::util::{MapResponseLayer, option_layer};
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::Api;
use super::as_of::{closed, refuse};
use super::audit::Recorder;
use super::code::Code;
use super::edge::{Edge, secured};
use super::guard::{Access, Guard, admit};
use super::limits::charge;
use super::observe::{Observe, Panics, REQUEST_TIMEOUT};
use super::openapi::problems::{
    ALERT, AMOUNT, ANY, BODY, BULK, CALL, CLOSE, COMMAND, DECISION, KEY, LEDGER, LETTER, MONEY,
    OPEN, OPERATION, OUT, PAST, READ, REPORT, STATEMENT, STATUS, STREAM, TRANSFER, WALLET,
};
use super::problem::Problem;
use crate::auth::Scope;

/// An endpoint as it is served and documented, who gets in, and what can go wrong there.
pub(super) struct Row {
    pub(super) endpoint: UtoipaMethodRouter<Api>,
    pub(super) access: Access,
    pub(super) problems: Vec<Code>,
    /// Whether it is answered from the read models alone, and so as of whenever they are.
    is_of_then: bool,
}

fn row(endpoint: UtoipaMethodRouter<Api>, access: Access, problems: &[&[Code]]) -> Row {
    let only = [Code::ReadOnly];
    let problems = [&problems.concat(), access.problems(), &only, ANY].concat();
    Row { endpoint, access, problems, is_of_then: false }
}

/// One that a service serves whose read models stand still, too.
fn of_then(endpoint: UtoipaMethodRouter<Api>, access: Access, problems: &[&[Code]]) -> Row {
    let problems = [&problems.concat(), access.problems(), ANY].concat();
    Row { endpoint, access, problems, is_of_then: true }
}

/// Whoever looks after the service.
const OPS: Access = Access::Only(Scope::Ops);

/// Whoever may read any wallet, and so the sums of all.
const LEDGER_READ: Access = Access::Only(Scope::LedgerRead);

/// Whoever may stop the money of others.
const FREEZE: Access = Access::Only(Scope::LedgerWrite);

/// All of them.
pub(super) fn table() -> Vec<Row> {
    vec![
        row(routes!(open::post), Access::WRITE, &[BODY, COMMAND, MONEY, OPEN]),
        of_then(routes!(list_wallets::get), Access::READ, &[READ]),
        // Its strong consistency is not of then, nor is what the journal says of another moment.
        of_then(
            routes!(get_wallet::get),
            Access::READ,
            &[READ, WALLET, LEDGER, PAST, &[Code::ReadOnly]],
        ),
        of_then(routes!(history::get), Access::READ, &[READ, WALLET]),
        of_then(routes!(transactions::get), Access::READ, &[READ, WALLET]),
        of_then(routes!(stats::get), Access::READ, &[READ, WALLET]),
        of_then(routes!(statement::get), Access::READ, &[READ, WALLET, STATEMENT]),
        row(routes!(stream_wallet::get), Access::READ, &[STREAM, WALLET, LEDGER]),
        row(routes!(deposit::post), Access::WRITE, &[BODY, COMMAND, MONEY, AMOUNT]),
        row(routes!(withdraw::post), Access::WRITE, &[BODY, COMMAND, MONEY, AMOUNT, OUT]),
        row(routes!(transfer::post), Access::WRITE, &[BODY, COMMAND, MONEY, AMOUNT, OUT, TRANSFER]),
        row(routes!(freeze::post), FREEZE, &[BODY, COMMAND, STATUS]),
        row(routes!(unfreeze::post), FREEZE, &[BODY, COMMAND, STATUS]),
        row(routes!(close::post), Access::WRITE, &[BODY, COMMAND, STATUS, CLOSE]),
        row(
            routes!(transfer_between::post),
            Access::WRITE,
            &[BODY, COMMAND, MONEY, AMOUNT, OUT, TRANSFER],
        ),
        row(
            routes!(bulk::post),
            Access::WRITE,
            &[BODY, BULK, MONEY, AMOUNT, OUT, TRANSFER, OPEN, STATUS, CLOSE],
        ),
        row(
            routes!(get_transfer::get),
            Access::READ,
            &[LEDGER, &[Code::InvalidTransferId, Code::TransferNotFound]],
        ),
        row(routes!(get_key::get), Access::READ, &[KEY, &[Code::InvalidWalletId]]),
        row(routes!(get_free_key::get), Access::READ, &[KEY]),
        row(routes!(get_operation::get), Access::READ, &[LEDGER, OPERATION]),
        row(routes!(trial_balance::get), LEDGER_READ, &[READ, REPORT]),
        row(routes!(list_events::get), LEDGER_READ, &[&[Code::InvalidParameter]]),
        row(routes!(stream_events::get), LEDGER_READ, &[STREAM]),
        of_then(routes!(list_alerts::get), OPS, &[READ]),
        of_then(routes!(get_alert::get), OPS, &[READ, ALERT]),
        row(routes!(acknowledge_alert::post), OPS, &[BODY, ALERT, DECISION, &[Code::AlertDecided]]),
        row(routes!(dismiss_alert::post), OPS, &[BODY, ALERT, DECISION, &[Code::AlertDecided]]),
        of_then(routes!(projections::get), OPS, &[]),
        of_then(routes!(list_dead_letters::get), OPS, &[READ]),
        of_then(routes!(get_dead_letter::get), OPS, &[READ, LETTER]),
        row(routes!(replay_dead_letter::post), OPS, &[LETTER, &[Code::DeadLetterSettled]]),
        row(
            routes!(discard_dead_letter::post),
            OPS,
            &[BODY, LETTER, DECISION, &[Code::DeadLetterSettled, Code::DeadLetterBegun]],
        ),
        row(routes!(list_calls::get), OPS, &[&[Code::InvalidParameter]]),
        row(routes!(get_call::get), OPS, &[CALL]),
        of_then(routes!(users_wallet::get), Access::Anybody, &[READ, &[Code::WalletNotFound]]),
        of_then(routes!(livez::get), Access::Public, &[]),
        of_then(routes!(readyz::get), Access::Public, &[]),
        of_then(routes!(document::get), Access::Public, &[]),
        of_then(routes!(messages::get), Access::Public, &[]),
    ]
}

/// The service, without a listener.
pub fn router(api: Api, edge: &Edge) -> Router {
    let mut router = Router::new();
    let guarded = |access, methods: MethodRouter<Api>| {
        let guard = Guard { auth: api.auth.clone(), access, limits: edge.limits.clone() };
        methods.route_layer(from_fn_with_state(guard, admit))
    };
    let own = table().into_iter().flat_map(
        |Row { endpoint: (_, paths, methods), access, is_of_then, .. }| {
            let is_open = is_of_then || api.as_of.is_none();
            let methods = guarded(access, if is_open { methods } else { closed(&paths) });
            paths.paths.into_keys().map(move |path| (path, methods.clone()))
        },
    );
    // A name of the older systems; and a wallet may have the name of this route.
    let between = if api.as_of.is_none() { post(transfer_between::post) } else { post(refuse) };
    let older = [guarded(Access::WRITE, between), guarded(Access::READ, get(get_wallet::get))];
    let older = older.map(|methods| ("/wallets/transfer".to_owned(), methods));
    for (path, methods) in own.chain(older) {
        for prefix in ["", "/v1"] {
            if let Some(rest) = path.strip_prefix("/wallets") {
                router = router.route(&format!("{prefix}/wallet{rest}"), methods.clone());
            }
            router = router.route(&format!("{prefix}{path}"), methods.clone());
        }
    }
    let (panics, recorder) = (api.panics.clone(), api.recorder.clone());
    let charged = from_fn_with_state(edge.limits.clone(), charge);
    let routes = router
        .merge(docs())
        .fallback(not_found.layer(charged.clone()))
        .method_not_allowed_fallback(method_not_allowed.layer(charged));
    around(routes, edge, panics, recorder).with_state(api)
}

/// What is around every route, whatever the routes are.
pub(super) fn around<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    edge: &Edge,
    panics: Panics,
    recorder: Option<Recorder>,
) -> Router<S> {
    let is_tls = edge.tls.is_some();
    // The outermost first.
    routes.layer((
        MapResponseLayer::new(move |response| secured(response, is_tls)),
        option_layer(edge.origins.layer()),
        Observe { timeout: REQUEST_TIMEOUT, panics, recorder, is_tls },
    ))
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

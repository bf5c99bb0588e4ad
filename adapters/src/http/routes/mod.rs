//! The route table. Every route answers at the root and under `/v1`, and those of wallets with
//! `/wallet` for `/wallets` as well, as the older systems had it.

mod acknowledge_alert;
mod close;
mod deposit;
mod discard_dead_letter;
mod dismiss_alert;
mod freeze;
mod get_alert;
mod get_dead_letter;
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
mod stats;
mod transactions;
mod transfer;
mod transfer_between;
mod unfreeze;
mod withdraw;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use super::Api;
use super::code::Code;
use super::observe::{Observe, REQUEST_TIMEOUT};
use super::problem::Problem;

fn table() -> [(&'static str, MethodRouter<Api>); 25] {
    [
        ("/wallets", post(open::post).get(list_wallets::get)),
        ("/wallets/{id}", get(get_wallet::get)),
        ("/wallets/{id}/history", get(history::get)),
        ("/wallets/{id}/transactions", get(transactions::get)),
        ("/wallets/{id}/stats", get(stats::get)),
        ("/wallets/{id}/deposit", post(deposit::post)),
        ("/wallets/{id}/withdraw", post(withdraw::post)),
        ("/wallets/{id}/transfer", post(transfer::post)),
        ("/wallets/{id}/freeze", post(freeze::post)),
        ("/wallets/{id}/unfreeze", post(unfreeze::post)),
        ("/wallets/{id}/close", post(close::post)),
        // A wallet may have the name of this route.
        ("/wallets/transfer", post(transfer_between::post).get(get_wallet::get)),
        ("/transfers", post(transfer_between::post)),
        ("/transfers/{id}", get(get_transfer::get)),
        ("/fraud/alerts", get(list_alerts::get)),
        ("/fraud/alerts/{id}", get(get_alert::get)),
        ("/fraud/alerts/{id}/acknowledge", post(acknowledge_alert::post)),
        ("/fraud/alerts/{id}/dismiss", post(dismiss_alert::post)),
        ("/projections", get(projections::get)),
        ("/dead-letters", get(list_dead_letters::get)),
        ("/dead-letters/{id}", get(get_dead_letter::get)),
        ("/dead-letters/{id}/replay", post(replay_dead_letter::post)),
        ("/dead-letters/{id}/discard", post(discard_dead_letter::post)),
        ("/livez", get(livez::get)),
        ("/readyz", get(readyz::get)),
    ]
}

/// The service, without a listener.
pub fn router(api: Api) -> Router {
    let mut router = Router::new();
    for prefix in ["", "/v1"] {
        for (path, methods) in table() {
            if let Some(rest) = path.strip_prefix("/wallets") {
                let singular = format!("{prefix}/wallet{rest}");
                router = router.route(&singular, methods.clone());
            }
            router = router.route(&format!("{prefix}{path}"), methods);
        }
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Observe { timeout: REQUEST_TIMEOUT })
        .with_state(api)
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "There is no such route: see the route table of the API.")
}

async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "This route has other methods: see Allow.")
}

//! What a service says before it has reached Postgres for the first time: that it lives, and what it
//! waits for. Whoever connects is told so, where they would otherwise wait as long as it does.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::code::Code;
use super::edge::Edge;
use super::observe::Panics;
use super::problem::{Member, Problem};
use super::routes::{around, livez};
use super::serve::serve_while;

/// How long callers of a service wait that has just started: one that finds its Postgres is there in
/// less, and need not turn anybody away.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens what a service cannot be without, and answers for it meanwhile.
///
/// # Errors
/// Those of the listener.
pub async fn answer_while_opening<T>(
    listener: &TcpListener,
    edge: &Edge,
    opening: impl Future<Output = T>,
) -> io::Result<T> {
    let mut opening = std::pin::pin!(opening);
    match timeout(PATIENCE, &mut opening).await {
        Ok(opened) => Ok(opened),
        Err(_) => serve_while(listener, router(edge), edge, opening).await,
    }
}

fn router(edge: &Edge) -> Router {
    let routes = Router::new().route("/livez", get(livez::get)).route("/v1/livez", get(livez::get));
    around(routes.fallback(async || away()), edge, Panics::default(), None)
}

/// What is told of everything else, readiness too.
pub(super) fn away() -> Problem {
    let detail = "Postgres has not been reached since the service started, and nothing was done: send \
                  the same again after the time in Retry-After.";
    Problem::new(Code::Unavailable, detail).with("missing", Member::Names(vec!["postgres"]))
}

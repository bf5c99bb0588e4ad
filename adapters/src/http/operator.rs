//! What operators ask, on a port of their own: `/metrics`, `/livez` and `/readyz`, and `/log-filter`, which
//! changes what is logged. Whoever can connect to it is answered, so it is not for the world, and nothing
//! here is on the public port but the probes.
//!
//! It is neither logged nor counted: who looks must not change what they see.

use std::io;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tower::util::MapResponseLayer;

use super::health::Health;
use super::problem::Problem;
use super::routes::{livez, readyz};
use super::serve::serve_operators;
use super::starting;
use super::trace::TraceId;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::database::Database;
use crate::telemetry::{LogControl, log_routes};

/// The version of the text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4";

/// What an operator port tells of. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    /// The figures of this process.
    pub metrics: Arc<Metrics>,
    /// What is logged.
    pub log: LogControl,
    /// The rest; nothing before Postgres was first reached.
    pub beyond: Arc<OnceLock<Beyond>>,
}

/// What an operator port knows that lies beyond its process.
pub struct Beyond {
    /// What Postgres knows; it is not asked where there is none.
    pub database: Option<Arc<Database>>,
    /// What `/readyz` asks.
    pub health: Arc<dyn Health>,
}

impl Operator {
    /// Answers whoever connects, until it is dropped.
    ///
    /// # Errors
    /// Those of the listener.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        serve_operators(listener, self.router()).await
    }

    /// The routes, without a listener.
    fn router(self) -> Router {
        let log = log_routes(self.log.clone());
        Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(livez::get))
            .route("/readyz", get(ready))
            .fallback(async || StatusCode::NOT_FOUND)
            .layer(MapResponseLayer::new(written))
            .with_state(self)
            .merge(log)
    }
}

/// A problem as text, which on the public port is written elsewhere.
fn written(mut response: Response) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.render(&TraceId::of(&HeaderMap::new()), response),
        None => response,
    }
}

async fn metrics(State(operator): State<Operator>) -> Response {
    if let Some(database) = operator.beyond.get().and_then(|beyond| beyond.database.as_ref()) {
        database.refresh().await;
    }
    match operator.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => {
            tracing::error!(target: "http", %error, "no figures");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn ready(State(operator): State<Operator>) -> Result<Response, Problem> {
    let beyond = operator.beyond.get().ok_or_else(starting::away)?;
    readyz::readiness(&*beyond.health).await
}

//! The layer around every route: a trace id, a bound on time, a net under panics, problems written
//! out, one line in the log for each request and its figures, and the record of each POST. The line has the route and
//! not the path, and no bodies.

use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, Method};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use tower::{Layer, Service};

use super::audit::{Recorder, Ticket};
use super::problem::Problem;
use super::trace::{OwnSpan, TraceId, traceparent};
use crate::telemetry::metrics::recorded;
use crate::telemetry::traces::Asked;

/// How long a request may take, its body included, until the head of its answer is there: longer
/// than any wait in the ledger, shorter than the patience of the proxies before it (commonly 30 to
/// 60 seconds).
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The answer's header with the trace id.
pub(super) const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// What nginx logs for a client that left before its answer; nobody receives it.
const CLIENT_LEFT: u16 = 499;

/// How many requests ended in a panic since the process began: each is a defect.
#[derive(Debug, Clone, Default)]
pub struct Panics(Arc<AtomicU64>);

impl Panics {
    /// So many.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more.
    fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Puts [`Observed`] around every route.
#[derive(Debug, Clone)]
pub(super) struct Observe {
    /// How long a request may take until the head of its answer is there.
    pub(super) timeout: Duration,
    /// Where panics are counted.
    pub(super) panics: Panics,
    /// By whom calls are recorded, where they are.
    pub(super) recorder: Option<Recorder>,
    /// Whether they come by TLS.
    pub(super) is_tls: bool,
}

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, route: S) -> Observed<S> {
        let Self { timeout, panics, recorder, is_tls } = self.clone();
        Observed { route, timeout, panics, recorder, is_tls }
    }
}

/// A route, observed.
#[derive(Debug, Clone)]
pub(super) struct Observed<S> {
    route: S,
    timeout: Duration,
    panics: Panics,
    recorder: Option<Recorder>,
    is_tls: bool,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let mut line = Line::begin(&request, self.is_tls);
        if let Some(span) = &line.span {
            request.extensions_mut().insert(OwnSpan(span.traceparent()));
        }
        let request = line.record(self.recorder.as_ref(), request);
        let answered = AssertUnwindSafe(self.route.call(request)).catch_unwind();
        let answered = tokio::time::timeout(self.timeout, answered);
        let panics = self.panics.clone();
        Box::pin(async move {
            let response = match answered.await {
                Ok(Ok(Ok(response))) => response,
                Ok(Ok(Err(never))) => match never {},
                Ok(Err(panic)) => line.panicked(&*panic, panics.add()),
                Err(_) => line.timed_out(),
            };
            Ok(line.finish(response))
        })
    }
}

/// The line that a request leaves in the log, at the latest when it is abandoned.
struct Line {
    method: Method,
    route: Option<MatchedPath>,
    trace: TraceId,
    started: Instant,
    status: u16,
    code: Option<&'static str>,
    ticket: Option<Ticket>,
    is_tls: bool,
    /// Where the request is traced.
    span: Option<Asked>,
}

impl Line {
    fn begin(request: &Request, is_tls: bool) -> Self {
        let (method, headers) = (request.method(), request.headers());
        let route: Option<MatchedPath> = request.extensions().get().cloned();
        let name = route.as_ref().map(MatchedPath::as_str);
        let span = Asked::request(traceparent(headers), method, name);
        let trace = span.as_ref().and_then(|span| TraceId::named(&span.trace_id()));
        Self {
            method: method.clone(),
            route,
            trace: trace.unwrap_or_else(|| TraceId::of(headers)),
            started: Instant::now(),
            status: CLIENT_LEFT,
            code: None,
            ticket: None,
            is_tls,
            span,
        }
    }

    /// Lets the request be recorded, at the latest when it is abandoned.
    fn record(&mut self, recorder: Option<&Recorder>, request: Request) -> Request {
        let Some(recorder) = recorder else { return request };
        let (ticket, request) = recorder.admit(request, self.trace);
        self.ticket = ticket;
        request
    }

    fn panicked(&self, panic: &(dyn Any + Send), panics: u64) -> Response {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let cause = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let trace_id = self.trace.as_str();
        recorded::panicked();
        tracing::error!(target: "http", trace_id, cause, panics, "a handler panicked");
        Problem::internal().into_response()
    }

    fn timed_out(&self) -> Response {
        let trace_id = self.trace.as_str();
        tracing::warn!(target: "http", trace_id, "a request ran out of time");
        Problem::unavailable().into_response()
    }

    fn finish(mut self, mut response: Response) -> Response {
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            self.code = Some(problem.code.as_str());
            response = problem.render(&self.trace, response);
        }
        if let Some(trace_id) = self.trace.header() {
            response.headers_mut().insert(TRACE_ID, trace_id);
        }
        self.status = response.status().as_u16();
        response
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            span.answered(self.status, self.code);
        }
        if let Some(ticket) = &self.ticket {
            ticket.close(self.status, self.status != CLIENT_LEFT);
        }
        let took = self.started.elapsed();
        let request = recorded::Request {
            method: &self.method,
            route: self.route.as_ref().map(MatchedPath::as_str),
            status: self.status,
            code: self.code,
            is_tls: self.is_tls,
        };
        recorded::request(&request, took);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(
            target: "http",
            method = self.method.as_str(),
            route = self.route.as_ref().map(MatchedPath::as_str),
            status = self.status,
            code = self.code,
            duration_us = micros,
            trace_id = self.trace.as_str(),
            "request"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    /// What was logged, as text.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Sends one request to a router with one route of each kind, and returns the answer and the log.
    async fn observed(path: &str) -> (Option<Response>, String) {
        observed_by(&Panics::default(), path).await
    }

    async fn observed_by(panics: &Panics, path: &str) -> (Option<Response>, String) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let routes = Router::new()
            .route("/wallets/{id}", get(async || "{}"))
            .route("/never", get(std::future::pending::<()>))
            .route("/panic", get(async || -> () { panic!("a secret") }))
            .layer(Observe {
                timeout: Duration::from_millis(50),
                panics: panics.clone(),
                recorder: None,
                is_tls: false,
            });
        let request = Request::get(path).body(Body::empty()).unwrap();
        let patience = Duration::from_millis(if path.ends_with("?left") { 5 } else { 5000 });
        let answer = tokio::time::timeout(patience, routes.oneshot(request)).await;
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        (answer.ok().map(Result::unwrap), text)
    }

    #[tokio::test]
    async fn a_request_leaves_one_line_with_its_route_and_not_its_path() {
        let (_, log) = observed("/wallets/alice?key=secret").await;
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains(r#""route":"/wallets/{id}","status":200"#), "{log}");
        assert!(!log.contains("alice") && !log.contains("secret"), "{log}");
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_given_up() {
        let (answer, log) = observed("/never").await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert!(log.contains(r#""status":503,"code":"unavailable""#), "{log}");
    }

    #[tokio::test]
    async fn a_panic_is_logged_and_counted_and_answered() {
        let panics = Panics::default();
        let (answer, log) = observed_by(&panics, "/panic").await;
        assert_eq!(panics.count(), 1);
        assert!(log.contains(r#""panics":1"#), "{log}");
        assert_eq!(answer.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(log.contains(r#""cause":"a secret""#), "{log}");
        assert!(log.contains(r#""status":500,"code":"internal""#), "{log}");
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_in_the_log() {
        let (answer, log) = observed("/never?left").await;
        assert!(answer.is_none());
        assert!(log.contains(r#""route":"/never","status":499"#), "{log}");
    }
}

//! The router without a ledger: everything that is answered before one is asked.

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::clock::SystemClock;
use florin_application::Settings;
use florin_application::memory::MemoryJournal;
use florin_domain::TransferId;
use florin_domain::journal::RecordedEvent;
use florin_projections::models;
use florin_projections::ports::{JournalAway, JournalReader, PastReader};

/// Where the same routes answer.
const PREFIXES: [&str; 4] = ["/wallets", "/wallet", "/v1/wallets", "/v1/wallet"];

struct Lacks(Vec<Missing>);

#[async_trait]
impl Health for Lacks {
    async fn missing(&self) -> Vec<Missing> {
        self.0.clone()
    }
}

/// A ledger that is never asked.
fn ledger() -> Ledger {
    let journal = Arc::new(MemoryJournal::new(1));
    Ledger::open(journal, Arc::new(SystemClock), &Settings::default())
}

/// A journal in a database that is not there.
struct Nowhere;

fn gone() -> JournalAway {
    JournalAway("there is none".into())
}

#[async_trait]
impl JournalReader for Nowhere {
    async fn page(&self, _: u32, _: u64, _: usize) -> Result<Vec<RecordedEvent>, JournalAway> {
        Err(gone())
    }

    async fn head(&self, _: u32) -> Result<u64, JournalAway> {
        Err(gone())
    }

    async fn wallet(
        &self,
        _: &str,
        _: u64,
        _: u64,
        _: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        Err(gone())
    }

    async fn transfers(&self, _: &[TransferId], _: u64) -> Result<Vec<RecordedEvent>, JournalAway> {
        Err(gone())
    }
}

#[async_trait]
impl PastReader for Nowhere {
    async fn of_wallets(
        &self,
        _: u32,
        _: u64,
        _: u64,
        _: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        Err(gone())
    }

    async fn balances_after(
        &self,
        _: &[(Arc<str>, u64)],
    ) -> Result<Vec<(Arc<str>, Decimal)>, JournalAway> {
        Err(gone())
    }

    async fn positions_at(&self, _: DateTime<Utc>) -> Result<Vec<(u32, u64)>, JournalAway> {
        Err(gone())
    }
}

/// With a database that is not there.
fn api(health: Arc<dyn Health>) -> Api {
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let nowhere = crate::postgres::connect(url).unwrap();
    Api::from(ApiParts {
        ledger: ledger(),
        reads: Reads::start(url, 1, 1).unwrap(),
        live: Live::start(url, 1).unwrap(),
        operations: OperationDesk::start(url, 1, false).unwrap(),
        auto_open: true,
        auth: Auth::Off,
        calls: AuditDesk::new(nowhere.clone()),
        recorder: None,
        fraud: FraudDesk::new(nowhere.clone()),
        dead_letters: DeadLetterDesk::new(nowhere.clone(), Arc::new(Nowhere), models::all()),
        reports: ReportDesk::new(nowhere, Arc::new(Nowhere), Arc::new(SystemClock)),
        panics: Panics::default(),
        health,
        bulks: BulkRoom::default(),
        as_of: None,
    })
}

/// A service whose ledger is never asked.
fn service(missing: &[(&'static str, bool)]) -> Router {
    let missing = missing.iter().map(|(name, required)| Missing { name, required: *required });
    router(api(Arc::new(Lacks(missing.collect()))), &Edge::default())
}

struct Answered {
    status: u16,
    response: Response<()>,
    body: Value,
}

impl Answered {
    fn header(&self, name: &str) -> Option<&str> {
        let value = self.response.headers().get(name)?;
        Some(value.to_str().unwrap())
    }
}

async fn send(service: Router, request: Request<Body>) -> Answered {
    let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    Answered {
        status: parts.status.as_u16(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        response: Response::from_parts(parts, ()),
    }
}

async fn get(path: &str) -> Answered {
    send(service(&[]), Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(path: &str, body: impl Into<Body>) -> Answered {
    let request = Request::post(path).header("content-type", "application/json");
    send(service(&[]), request.body(body.into()).unwrap()).await
}

async fn post_with(path: &str, name: &str, value: &str) -> Answered {
    let request =
        Request::post(path).header("content-type", "application/json").header(name, value);
    let body = r#"{"amount":"1","requestId":"k"}"#;
    send(service(&[]), request.body(body.into()).unwrap()).await
}

fn assert_problem(answered: &Answered, status: u16, code: &str) {
    let body = &answered.body;
    assert_eq!((answered.status, &body["code"]), (status, &code.into()), "{body}");
    assert_eq!(answered.header("content-type"), Some("application/problem+json"));
    assert_eq!(body["type"], format!("urn:florin:problem:{code}"));
    assert_eq!(body["status"], status);
    assert!(!body["title"].as_str().unwrap().is_empty());
    assert!(!body["detail"].as_str().unwrap().is_empty());
    assert_eq!(body["traceId"].as_str(), answered.header("x-trace-id"));
}

#[tokio::test]
async fn a_malformed_field_is_refused_by_its_code_under_every_prefix() {
    for prefix in PREFIXES {
        for (verb, body, code) in [
            ("deposit", "{", "malformed-json"),
            ("deposit", "[]", "malformed-json"),
            ("deposit", "", "missing-field"),
            ("deposit", r#"{"amount":"x"}"#, "invalid-amount"),
            ("deposit", r#"{"amount":0}"#, "invalid-amount"),
            ("deposit", r#"{"amount":1e400}"#, "invalid-amount"),
            ("deposit", r#"{"amount":1,"currency":"ABC"}"#, "invalid-currency"),
            ("deposit", r#"{"amount":1,"metadata":[]}"#, "invalid-metadata"),
            ("deposit", r#"{"amount":1,"requestId":1}"#, "invalid-request-id"),
            ("withdraw", r#"{"amount":-1}"#, "invalid-amount"),
            ("transfer", r#"{"amount":1}"#, "missing-field"),
            ("transfer", r#"{"amount":1,"toWalletId":"a b"}"#, "invalid-wallet-id"),
            ("freeze", r#"{"reason":""}"#, "invalid-reason"),
            ("unfreeze", r#"{"reason":7}"#, "invalid-reason"),
            ("close", r#"{"requestId":""}"#, "invalid-request-id"),
        ] {
            let answered = post(&format!("{prefix}/w-1/{verb}"), body).await;
            assert_problem(&answered, 400, code);
        }
        for (body, code) in [
            (r#"{"id":"a/b"}"#, "invalid-wallet-id"),
            (r#"{"owner":""}"#, "invalid-owner"),
            (r#"{"initialBalance":"-1"}"#, "invalid-amount"),
            (r#"{"initialBalance":1,"balance":1}"#, "conflicting-fields"),
        ] {
            assert_problem(&post(prefix, body).await, 400, code);
        }
    }
}

#[tokio::test]
async fn a_transfer_between_two_wallets_needs_both() {
    for path in ["/transfers", "/v1/transfers", "/wallets/transfer", "/v1/wallet/transfer"] {
        let answered = post(path, r#"{"toWalletId":"b","amount":1}"#).await;
        assert_problem(&answered, 400, "missing-field");
        assert_eq!(answered.body["field"], "fromWalletId");
        let answered = post(path, r#"{"senderWalletId":"a","amount":1}"#).await;
        assert_eq!(answered.body["field"], "toWalletId");
    }
}

#[tokio::test]
async fn an_id_in_a_path_is_decoded_and_checked() {
    for bad in ["a%20b", "a%2Fb", "a.b", "%FF", &"x".repeat(65)] {
        let answered = post(&format!("/wallets/{bad}/deposit"), r#"{"amount":1}"#).await;
        assert_problem(&answered, 400, "invalid-wallet-id");
        assert_problem(&get(&format!("/wallets/{bad}")).await, 400, "invalid-wallet-id");
    }
    assert_problem(&get("/transfers/7").await, 400, "invalid-transfer-id");
}

#[tokio::test]
async fn keys_that_differ_conflict() {
    let path = "/wallets/w-1/deposit";
    let answered = post_with(path, "idempotency-key", "other").await;
    assert_problem(&answered, 400, "conflicting-fields");
    let answered = post_with(path, "idempotency-key", "\"k").await;
    assert_problem(&answered, 400, "invalid-request-id");
}

#[tokio::test]
async fn a_weak_condition_is_refused() {
    let answered = post_with("/wallets/w-1/deposit", "if-match", "W/\"1\"").await;
    assert_problem(&answered, 400, "invalid-if-match");
}

#[tokio::test]
async fn a_body_has_a_bound_announced_or_not() {
    let body = format!("{{\"amount\":\"{}\"}}", "1".repeat(call::MAX_BODY_BYTES));
    let answered = post("/wallets/w-1/deposit", body.clone()).await;
    assert_problem(&answered, 413, "body-too-large");
    let chunks = body.into_bytes().into_iter().map(|byte| Ok::<_, std::io::Error>(vec![byte]));
    let chunks = Body::from_stream(futures::stream::iter(chunks));
    assert_problem(&post("/wallets/w-1/deposit", chunks).await, 413, "body-too-large");
}

#[tokio::test]
async fn bulks_that_are_in_memory_have_a_bound() {
    let service = service(&[]);
    let post = |body| {
        let request = Request::post("/bulk").header("content-type", "application/json");
        tokio::spawn(send(service.clone(), request.body(body).unwrap()))
    };
    let endless = || Body::from_stream(futures::stream::pending::<std::io::Result<Vec<u8>>>());
    let slow: Vec<_> = (0..bulk::MAX_BULKS).map(|_| post(endless())).collect();
    // On one thread, those before it have begun to read when it comes.
    assert_problem(&post("{}".into()).await.unwrap(), 503, "busy");
    for bulk in slow {
        bulk.abort();
        assert!(bulk.await.is_err());
    }
    assert_problem(&post("{}".into()).await.unwrap(), 400, "invalid-bulk");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_malformed() {
    let broken = futures::stream::iter([Ok("{\"amo"), Err(std::io::Error::other("gone"))]);
    let answered = post("/wallets/w-1/deposit", Body::from_stream(broken)).await;
    assert_problem(&answered, 400, "malformed-body");
}

#[tokio::test]
async fn a_body_is_json_by_its_type() {
    for kind in [Some("text/plain"), Some("application/jsonp"), None] {
        let mut request = Request::post("/wallets/w-1/deposit");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let request = request.body(Body::from(r#"{"amount":1}"#)).unwrap();
        let answered = send(service(&[]), request).await;
        assert_problem(&answered, 415, "unsupported-media-type");
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON"] {
        let answered = send(
            service(&[]),
            Request::post("/wallets/w-1/deposit")
                .header("content-type", kind)
                .body(Body::from("{}"))
                .unwrap(),
        )
        .await;
        assert_problem(&answered, 400, "missing-field");
    }
}

#[tokio::test]
async fn an_empty_body_needs_no_type() {
    let request = Request::post("/wallets/w-1/deposit").body(Body::empty());
    let answered = send(service(&[]), request.unwrap()).await;
    assert_problem(&answered, 400, "missing-field");
}

#[tokio::test]
async fn an_unknown_route_is_not_found() {
    for path in ["/", "/wallets/", "/v2/wallets", "/wallets/a/b/c", "/v1"] {
        assert_problem(&get(path).await, 404, "not-found");
    }
}

#[tokio::test]
async fn an_unknown_method_is_answered_with_those_that_are() {
    let request = Request::delete("/v1/wallets/w-1").body(Body::empty());
    let answered = send(service(&[]), request.unwrap()).await;
    assert_problem(&answered, 405, "method-not-allowed");
    assert_eq!(answered.header("allow"), Some("GET,HEAD"));
    let answered = get("/wallets/w-1/deposit").await;
    assert_problem(&answered, 405, "method-not-allowed");
    assert_eq!(answered.header("allow"), Some("POST"));
}

#[tokio::test]
async fn a_trace_of_the_client_is_continued() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::get("/livez")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .body(Body::empty());
    let answered = send(service(&[]), request.unwrap()).await;
    assert_eq!(answered.header("x-trace-id"), Some(trace));
    assert_ne!(get("/livez").await.header("x-trace-id"), Some(trace));
}

#[tokio::test]
async fn a_5xx_says_nothing_of_its_cause() {
    struct Defective;

    #[async_trait]
    impl Health for Defective {
        async fn missing(&self) -> Vec<Missing> {
            panic!("a secret")
        }
    }

    let service = router(api(Arc::new(Defective)), &Edge::default());
    let request = Request::get("/readyz").body(Body::empty()).unwrap();
    let answered = send(service, request).await;
    assert_problem(&answered, 500, "internal");
    assert_eq!(answered.body.as_object().unwrap().len(), 6);
    assert!(!answered.body.to_string().contains("secret"));
}

#[tokio::test]
async fn the_service_is_alive_whatever_is_missing() {
    for path in ["/livez", "/v1/livez"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answered = send(service(&[("postgres", true)]), request).await;
        assert_eq!((answered.status, &answered.body["status"]), (200, &"alive".into()));
        assert_eq!(answered.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn the_service_is_ready_unless_something_required_is_missing() {
    let ready = |missing: &'static [(&str, bool)]| async move {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        send(service(missing), request).await
    };
    let answered = ready(&[]).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.body.to_string(), r#"{"missing":[],"status":"ready"}"#);
    let answered = ready(&[("nats", false)]).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.body["missing"][0], "nats");
    let answered = ready(&[("postgres", true), ("nats", false)]).await;
    assert_problem(&answered, 503, "unavailable");
    assert_eq!(answered.header("retry-after"), Some("1"));
    assert_eq!(answered.body["missing"].to_string(), r#"["postgres","nats"]"#);
}

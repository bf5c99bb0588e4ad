//! What browsers are told, TLS, and what comes back whatever is sent.

use std::time::Duration;

use florin_adapters::http::{Edge, Origins, Tls};
use florin_tests::event_stream::EventStream;
use florin_tests::process::run;
use florin_tests::service::{Answer, Service, send};
use reqwest::{Certificate, Client, Method};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::timeout;

/// How long a request that must wait is watched.
const A_WHILE: Duration = Duration::from_millis(200);

/// Where a web application of a client's is.
const APP: &str = "https://app.example";

async fn allowing(origins: &str) -> Service {
    let edge = Edge { origins: Origins::read(origins).unwrap(), ..Edge::default() };
    Service::at_edge(edge, Client::new()).await
}

/// Asks as a browser does before it sends a command from another site.
async fn preflight(service: &Service, origin: &str) -> Answer {
    let request = service.request(Method::OPTIONS, "/wallets/alice/deposit");
    let request = request.header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    let headers = "content-type,idempotency-key,authorization";
    let response = request.header("access-control-request-headers", headers).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: String::new(), body: json!(null) }
}

/// Reads as a browser does from another site.
async fn read_from(service: &Service, origin: &str, path: &str) -> Answer {
    send(service.request(Method::GET, path).header("origin", origin)).await
}

const ALLOWED: &str = "access-control-allow-origin";

#[tokio::test]
async fn every_answer_says_what_browsers_may_do_with_it() {
    let service = Service::start(1).await;
    service.post("/wallets/alice/deposit", json!({ "amount": 1 })).await.expect(201);
    let money = service.get("/wallets/alice").await;
    let answers = [
        (money, 200),
        (service.get("/wallets/nobody").await, 404),
        (service.get("/nowhere").await, 404),
        (service.call(Method::DELETE, "/wallets/alice").await, 405),
        (service.post("/wallets/alice/withdraw", json!({ "amount": 9 })).await, 422),
    ];
    for (answer, status) in answers {
        answer.expect(status);
        for (name, value) in [
            ("x-content-type-options", Some("nosniff")),
            ("referrer-policy", Some("no-referrer")),
            ("cache-control", Some("no-store")),
            ("strict-transport-security", None),
            (ALLOWED, None),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {answer}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; frame-ancestors 'none'"), "{policy}");
    }
    service.finish().await;
}

#[tokio::test]
async fn the_pages_of_the_documentation_run_what_they_bring_and_nothing_else() {
    let service = Service::start(1).await;
    let response = service.request(Method::GET, "/docs/").send().await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for part in
        ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "img-src 'self' data:"]
    {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    // Scripts in the page itself would need more than that.
    let page = response.text().await.unwrap();
    for script in page.split("<script").skip(1) {
        let (attributes, content) = script.split_once('>').unwrap();
        let content = content.split("</script>").next().unwrap();
        assert!(attributes.contains("src=") && content.trim().is_empty(), "{script}");
    }
    assert!(!page.contains(" onload=") && !page.contains("javascript:"), "{page}");
    service.finish().await;
}

#[tokio::test]
async fn no_other_site_reads_unless_it_is_configured() {
    let service = Service::start(1).await;
    assert_eq!(read_from(&service, APP, "/livez").await.header(ALLOWED), None);
    let refused = preflight(&service, APP).await;
    assert_eq!((refused.status, refused.header(ALLOWED)), (405, None));
    service.finish().await;
}

#[tokio::test]
async fn a_configured_origin_reads_and_writes_and_no_other_one_does() {
    let service = allowing("https://app.example,http://localhost:5173").await;
    for (origin, allowed) in [
        (APP, Some(APP)),
        ("http://localhost:5173", Some("http://localhost:5173")),
        ("http://localhost:5174", None),
        ("https://app.example.evil", None),
        ("http://app.example", None),
        ("null", None),
    ] {
        // Of a problem, too: a client must be able to read what is wrong.
        for path in ["/livez", "/wallets/nobody", "/nowhere"] {
            let answer = read_from(&service, origin, path).await;
            assert_eq!(answer.header(ALLOWED), allowed, "{origin} {path}");
            assert!(answer.header("vary").is_some_and(|vary| vary.contains("origin")));
        }
        let answer = preflight(&service, origin).await;
        assert_eq!((answer.status, answer.header(ALLOWED)), (200, allowed), "{origin}");
    }
    let answer = preflight(&service, APP).await;
    assert_eq!(answer.header("access-control-max-age"), Some("3600"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let may = |name: &str| answer.header(name).unwrap().to_ascii_lowercase();
    assert_eq!(may("access-control-allow-methods"), "get,head,post");
    for header in
        ["content-type", "idempotency-key", "if-match", "last-event-id", "authorization", "prefer"]
    {
        assert!(may("access-control-allow-headers").contains(header), "{header}");
    }
    let answer = read_from(&service, APP, "/livez").await;
    let told = answer.header("access-control-expose-headers").unwrap();
    for header in [
        "etag",
        "florin-position",
        "x-trace-id",
        "idempotency-replayed",
        "retry-after",
        "preference-applied",
    ] {
        assert!(told.contains(header), "{header} in {told}");
    }
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    service.finish().await;
}

#[tokio::test]
async fn any_origin_may_read_if_that_is_configured() {
    let service = allowing("*").await;
    assert_eq!(read_from(&service, APP, "/livez").await.header(ALLOWED), Some("*"));
    assert_eq!(preflight(&service, APP).await.header(ALLOWED), Some("*"));
    service.finish().await;
}

/// A certificate of this machine, as files, and a client that trusts it alone.
fn certificate() -> (TempDir, [String; 2], Client) {
    let dir = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = ["cert.pem", "key.pem"].map(|file| dir.path().join(file));
    std::fs::write(&files[0], made.cert.pem()).unwrap();
    std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
    let trusted = Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = Client::builder().tls_certs_only([trusted]).build().unwrap();
    (dir, files.map(|file| file.to_str().unwrap().to_owned()), client)
}

#[tokio::test]
async fn over_tls_all_is_as_without_and_streams_and_requests_are_finished_at_the_end() {
    let (_dir, files, client) = certificate();
    let tls = Tls::open(Some(files[0].as_ref()), Some(files[1].as_ref())).unwrap();
    let edge = Edge { tls, ..Edge::default() };
    let mut service = Service::at_edge(edge, client).await;
    let answer = service.post("/wallets/alice/deposit", json!({ "amount": 1 })).await;
    answer.expect(201);
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    let mut stream: EventStream = service.stream("/wallets/alice/stream", Some("0-0")).await;
    assert_eq!(stream.event().await.1["type"], "WalletOpened");
    // Held by the test, so that it is under way when the service is told to stop.
    let mut lock = service.store().partition(0);
    lock.lock(0).await.unwrap();
    let sent = service.request(Method::POST, "/wallets/alice/deposit");
    let mut sent = tokio::spawn(send(sent.json(&json!({ "amount": 2 }))));
    assert!(timeout(A_WHILE, &mut sent).await.is_err(), "it waits for the lock");
    service.begin_to_stop();
    assert_eq!(stream.end().await, "shutting-down");
    lock.release().await;
    sent.await.unwrap().expect(201);
    service.finish().await;
}

#[tokio::test]
async fn a_service_whose_edge_is_not_right_does_not_start() {
    let (_dir, [certificate, key], _) = certificate();
    let (_other_dir, [_, other_key], _) = self::certificate();
    for (arguments, complaint) in [
        (vec!["--tls-cert", &*certificate], "FLORIN_TLS_KEY is missing"),
        (vec!["--tls-key", &*key], "FLORIN_TLS_CERT is missing"),
        (vec!["--tls-cert", &*certificate, "--tls-key", &*other_key], "cannot be served together"),
        (vec!["--tls-cert", &*key, "--tls-key", &*key], "has no PEM text of a certificate"),
        (vec!["--cors-origins", "app.example"], "`app.example` is no origin"),
    ] {
        let serve =
            ["serve", "--port=0", "--auth=off", "--database-url=postgres://a@127.0.0.1:1/b"];
        let ran = run(serve.iter().chain(&arguments)).await;
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(complaint), "{arguments:?}: {}", ran.err);
    }
}

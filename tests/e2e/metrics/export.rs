//! Figures on their way to a collector.

use florin_tests::process::{Florin, free_port};
use florin_tests::store::{DEADLINE, Store};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{at, service_url};

/// A collector, and its address.
async fn collector() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = at(listener.local_addr().unwrap().port());
    (listener, address)
}

/// A service that sends figures to a collector, and to it alone, with one deposit in it.
async fn service(dir: &TempDir, store: &Store, collector: &str, interval: &str) -> Florin {
    let port = free_port();
    let more = ["--auth", "off", "--otlp-endpoint", collector, "--trace-ratio", "0"];
    let variables = [("OTEL_METRIC_EXPORT_INTERVAL", interval)];
    let mut api = Florin::serving_in(dir.path(), port, service_url(store), &more, &variables);
    api.ready(&at(port)).await;
    let client = reqwest::Client::new();
    let deposit = client.post(format!("{}/wallets/alice/deposit", at(port)));
    let sent = deposit.json(&json!({ "amount": "10" })).send().await.unwrap();
    assert_eq!(sent.status(), 201);
    api
}

/// Every so many milliseconds, longer than a test: figures are sent at the end and not before.
const AT_THE_END: &str = "600000";

/// Often.
const OFTEN: &str = "100";

/// The next request that comes, as it comes.
async fn received(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request);
        let length = text.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: "));
        let head = request.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let is_whole = head.zip(length).is_some_and(|(head, length)| {
            request.len() >= head + 4 + length.trim().parse::<usize>().unwrap()
        });
        if is_whole {
            break;
        }
        assert!(stream.read_buf(&mut request).await.unwrap() > 0, "it is not whole");
    }
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    // Texts are in the clear in a message of OTLP.
    String::from_utf8_lossy(&request).into_owned()
}

#[tokio::test]
async fn a_collector_is_sent_the_last_figures_when_the_process_ends() {
    let (store, dir) = (Store::postgres(1).await, TempDir::new().unwrap());
    let (listener, collector) = collector().await;
    let mut api = service(&dir, &store, &collector, AT_THE_END).await;
    let (status, text) = tokio::join!(api.terminate(), received(&listener));
    assert!(status.success());
    assert!(text.starts_with("POST /v1/metrics "), "{text}");
    for word in ["florin-api", "florin.commands", "deposit", "http.server.request.duration"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[tokio::test]
async fn a_collector_is_sent_what_postgres_knows_though_nobody_asks() {
    let (store, dir) = (Store::postgres(1).await, TempDir::new().unwrap());
    let (listener, collector) = collector().await;
    let mut api = service(&dir, &store, &collector, OFTEN).await;
    let mut last = String::new();
    let sent = timeout(DEADLINE, async {
        while !last.contains("florin.journal.events") {
            last = received(&listener).await;
        }
    });
    assert!(sent.await.is_ok(), "{last}");
    // Nobody takes what comes last.
    drop(listener);
    assert!(api.terminate().await.success());
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nobody_up() {
    let (store, dir) = (Store::postgres(1).await, TempDir::new().unwrap());
    let mut api = service(&dir, &store, &at(free_port()), AT_THE_END).await;
    let ended = timeout(std::time::Duration::from_secs(10), api.terminate()).await;
    assert!(ended.expect("it ends").success());
    let told = api.log().matches("the collector does not take figures").count();
    assert_eq!(told, 1, "{}", api.log());
}

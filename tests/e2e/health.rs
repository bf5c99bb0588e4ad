//! How a process is, as probes ask: `florin health`, and the ports themselves.

use florin_tests::own_postgres::OwnPostgres;
use florin_tests::process::{Florin, Ran, free_port, run};
use florin_tests::scrape::Scrape;
use florin_tests::store::eventually;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

async fn probe(port: u16) -> Ran {
    run(["health", "--port", &port.to_string()]).await
}

/// Asks until it ends so, and has said that.
async fn until(port: u16, code: i32, said: &str) {
    eventually("the probe tells how the service is", async || {
        let ran = probe(port).await;
        let is_so = ran.code == Some(code) && [&*ran.out, &*ran.err].concat().contains(said);
        if is_so { Ok(()) } else { Err(ran) }
    })
    .await;
}

#[tokio::test]
async fn a_probe_succeeds_for_as_long_as_the_service_is_ready() {
    let server = OwnPostgres::start().await;
    let urls = server.ledger(1).await;
    let (dir, port) = (TempDir::new().unwrap(), free_port());
    until(port, 1, "does not answer").await;
    let mut florin = Florin::serve(dir.path(), port, &urls.service, &[]);
    until(port, 0, "200 OK").await;
    server.kill_hard().await;
    until(port, 1, "postgres").await;
    server.restart().await;
    until(port, 0, "200 OK").await;
    florin.terminate().await;
    until(port, 1, "does not answer").await;
    server.stop().await;
}

#[tokio::test]
async fn a_probe_asks_what_it_is_told_to() {
    let ran = run(["health", "--url", "http://127.0.0.1:1/livez"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("http://127.0.0.1:1/livez does not answer: "), "{}", ran.err);
}

async fn sent(request: RequestBuilder) -> Result<Response, String> {
    request.send().await.map_err(|error| error.to_string())
}

/// Asks until the answer has this status.
async fn answered(url: &str, status: StatusCode) -> Response {
    let client = Client::new();
    eventually(url, async || {
        let answer = sent(client.get(url)).await?;
        if answer.status() == status { Ok(answer) } else { Err(answer.status().to_string()) }
    })
    .await
}

async fn expect_waiting(answer: Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "unavailable");
    assert_eq!(problem["missing"], json!(["postgres"]));
    assert!(problem["traceId"].is_string(), "{problem}");
}

async fn is_up(operators: &str) -> Vec<String> {
    let scrape = Scrape::of(operators).await.unwrap();
    scrape.values("florin_database_up", &[]).into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn processes_that_start_before_their_postgres_say_what_they_wait_for() {
    let server = OwnPostgres::start().await;
    let urls = server.ledger(1).await;
    server.kill_hard().await;
    let (dir, port) = (TempDir::new().unwrap(), free_port());
    let [operators, workers] = [(); 2].map(|()| free_port().to_string());
    let mut api = Florin::serve(dir.path(), port, &urls.service, &["--operator-port", &operators]);
    let mut worker = Florin::worker_told(dir.path(), &urls.service, &["--operator-port", &workers]);
    let [public, operators, workers] =
        [&port.to_string(), &operators, &workers].map(|port| format!("http://127.0.0.1:{port}"));

    answered(&format!("{public}/livez"), StatusCode::OK).await;
    expect_waiting(answered(&format!("{public}/v1/readyz"), StatusCode::SERVICE_UNAVAILABLE).await)
        .await;
    let open = Client::new().post(format!("{public}/wallets")).json(&json!({"id": "alice"}));
    expect_waiting(sent(open).await.unwrap()).await;
    until(port, 1, "postgres").await;
    for operators in [&operators, &workers] {
        answered(&format!("{operators}/livez"), StatusCode::OK).await;
        let ready = format!("{operators}/readyz");
        expect_waiting(answered(&ready, StatusCode::SERVICE_UNAVAILABLE).await).await;
        assert_eq!(is_up(operators).await, ["0"]);
    }

    server.restart().await;
    for url in [&public, &operators, &workers] {
        answered(&format!("{url}/readyz"), StatusCode::OK).await;
    }
    for operators in [&operators, &workers] {
        assert_eq!(is_up(operators).await, ["1"]);
    }
    let open = Client::new().post(format!("{public}/wallets")).json(&json!({"id": "alice"}));
    assert_eq!(sent(open).await.unwrap().status(), StatusCode::CREATED);
    assert!(api.terminate().await.success() && worker.terminate().await.success());
    server.stop().await;
}

#[tokio::test]
async fn a_process_that_waits_for_its_postgres_stops_when_it_is_asked_to() {
    let (dir, port) = (TempDir::new().unwrap(), free_port());
    let (nobody, operators) = ("postgres://florin@127.0.0.1:1/florin", free_port().to_string());
    let mut api = Florin::serve(dir.path(), port, nobody, &[]);
    let mut worker = Florin::worker_told(dir.path(), nobody, &["--operator-port", &operators]);
    answered(&format!("http://127.0.0.1:{port}/livez"), StatusCode::OK).await;
    answered(&format!("http://127.0.0.1:{operators}/livez"), StatusCode::OK).await;
    assert!(api.terminate().await.success() && worker.terminate().await.success());
}

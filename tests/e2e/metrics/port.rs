//! Who answers what, on which port.

use florin_tests::process::{Florin, free_port, run};
use florin_tests::scrape::Scrape;
use florin_tests::store::Store;
use reqwest::StatusCode;
use tempfile::TempDir;

use super::{Deployment, at, service_url};

async fn status(url: &str) -> StatusCode {
    reqwest::get(url).await.unwrap().status()
}

/// While it runs; and what is no filter changes nothing.
async fn changes_what_is_logged(operators: &str) {
    let url = format!("{operators}/log-filter");
    let put = async |filter: &'static str| {
        let sent = reqwest::Client::new().put(&url).body(filter).send().await.unwrap();
        (sent.status(), sent.text().await.unwrap())
    };
    let now = async || reqwest::get(&url).await.unwrap().text().await.unwrap();
    let before = now().await;
    assert_eq!(put("warn,florin_adapters=debug").await.0, StatusCode::OK);
    let changed = now().await;
    assert!(changed.contains("florin_adapters=debug") && changed != before, "{changed}");
    let (status, why) = put("loud").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{why}");
    assert_eq!(now().await, changed);
}

#[tokio::test]
async fn figures_are_on_the_operator_port_and_not_on_the_public_one() {
    let deployment = Deployment::whole(1).await;
    for path in ["/metrics", "/v1/metrics", "/log-filter"] {
        assert_eq!(deployment.get(path).await, 404, "{path}");
    }
    for operators in [&deployment.operators, &deployment.workers_operators] {
        for path in ["/metrics", "/livez", "/readyz"] {
            assert_eq!(status(&format!("{operators}{path}")).await, StatusCode::OK, "{path}");
        }
        for path in ["/", "/wallets", "/openapi.json", "/projections", "/metrics/x"] {
            assert_eq!(
                status(&format!("{operators}{path}")).await,
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
        changes_what_is_logged(operators).await;
        let answer = reqwest::get(format!("{operators}/metrics")).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4");
    }
    deployment.stop().await;
}

#[tokio::test]
async fn there_is_no_operator_port_unless_it_is_asked_for() {
    let (store, dir, port) = (Store::postgres(1).await, TempDir::new().unwrap(), free_port());
    let mut api = Florin::serve(dir.path(), port, service_url(&store), &[]);
    api.ready(&at(port)).await;
    assert!(!api.log().contains("operators are answered"), "{}", api.log());
    assert_eq!(status(&format!("{}/metrics", at(port))).await, StatusCode::NOT_FOUND);
    assert!(api.terminate().await.success());
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let store = Store::postgres(1).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for verb in ["serve", "worker"] {
        let ran =
            run([verb, "--database-url", service_url(&store), "--operator-port", &port]).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(&format!("127.0.0.1:{port} ")), "{}", ran.err);
        assert!(ran.err.contains("FLORIN_OPERATOR_PORT"), "{}", ran.err);
    }
}

#[tokio::test]
async fn looking_changes_nothing_of_what_is_seen() {
    let deployment = Deployment::of_service(Store::postgres(1).await).await;
    let requests =
        |scrape: &Scrape| scrape.count("http_server_request_duration_seconds_count", &[]);
    for _ in 0..3 {
        assert_eq!(requests(&deployment.scrape().await), 0);
    }
    deployment.stop().await;
}

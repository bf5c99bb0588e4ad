//! The document of the API, and the pages that show it. That every answer is in it is seen by every
//! other test here: each answer is held against it.

use florin_adapters::http::openapi;
use florin_tests::contract::nobodys;
use florin_tests::service::Service;
use reqwest::Method;
use serde_json::Value;

/// The document as it was committed, for whoever generates a client from it.
const COMMITTED: &str = include_str!("../../../adapters/openapi.json");

#[tokio::test]
async fn the_served_document_is_the_committed_one() {
    let service = Service::start(1).await;
    let served = service.get("/openapi.json").await;
    assert_eq!(served.body["openapi"], "3.1.0");
    let mend =
        "adapters/openapi.json is of another version: florin openapi > adapters/openapi.json";
    assert!(served.text == COMMITTED, "{mend}");
    assert!(openapi::text().unwrap() == COMMITTED, "{mend}");
    service.finish().await;
}

#[tokio::test]
async fn every_documented_operation_is_served_under_every_prefix() {
    let service = Service::start(1).await;
    let document = service.get("/openapi.json").await.body;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            for prefix in ["", "/v1"] {
                let path = format!("{prefix}{}", nobodys(path, operation));
                let answer = service.call(method.clone(), &path).await;
                let is_served = answer.status != 405 && answer.body["code"] != "not-found";
                assert!(is_served, "{method} {path}: {answer}");
            }
            for part in ["summary", "operationId", "tags"] {
                assert_ne!(operation[part], Value::Null, "{method} {path} has no {part}");
            }
        }
    }
    service.finish().await;
}

#[tokio::test]
async fn the_pages_that_show_it_need_nothing_from_elsewhere() {
    let service = Service::start(1).await;
    let page = service.page("/docs/").await;
    assert!(page.contains("swagger-ui"), "{page}");
    // What the page loads, it loads from beside itself.
    for file in page.split('"').filter(|text| text.ends_with(".js") || text.ends_with(".css")) {
        assert!(!file.contains("//"), "{file} is elsewhere");
        assert!(!service.page(&format!("/docs/{file}")).await.is_empty());
    }
    let script = service.page("/docs/swagger-initializer.js").await;
    assert!(script.contains("/openapi.json"), "{script}");
    service.finish().await;
}

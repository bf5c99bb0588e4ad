//! `florin health`, as a probe runs it.

use florin_tests::own_postgres::OwnPostgres;
use florin_tests::process::{Florin, Ran, free_port, run};
use florin_tests::store::eventually;
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

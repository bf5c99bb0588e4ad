//! What is in the logs, and what is not.

use std::fs;
use std::path::Path;

use florin_tests::issuer::{SECRET, token};
use florin_tests::store::eventually;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Told;

/// Everything but what a library says of every byte.
const FILTER: &str = "debug,hyper=info,hyper_util=info,rustls=info,async_nats=info";

/// What a caller sends that no log is to have.
const PRIVATE: [&str; 6] =
    ["Ada Lovelace", "ada@example.com", "the rent of May", "eyJ", SECRET, "key-of-a-command"];

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

#[tokio::test]
async fn no_log_has_a_secret_or_anything_personal_in_it() {
    let dir = TempDir::new().unwrap();
    let logs = dir.path().join("logs");
    let both = ["--log", FILTER, "--log-dir", logs.to_str().unwrap()];
    let mut told = Told::start_in(dir, &both, &["--jwt-secret", SECRET], &[]).await;
    let bearer = format!("Bearer {}", token("ada", "ledger:read ledger:write"));
    let headers = [("authorization", &*bearer), ("idempotency-key", "key-of-a-command")];
    let owner = json!({
        "id": "w-1", "owner": "Ada Lovelace", "metadata": { "mail": "ada@example.com" },
    });
    told.post("/wallets", &headers, owner).await;
    let deposit =
        |amount: &str| json!({ "amount": amount, "metadata": { "for": "the rent of May" } });
    for (wallet, amount) in [("w-1", "12.50"), ("w-2", "1"), ("w-3", "nonsense ada@example.com")] {
        let headers = [("authorization", &*bearer)];
        told.post(&format!("/wallets/{wallet}/deposit"), &headers, deposit(amount)).await;
    }
    // Nor of those who do not get in.
    let stranger = [("authorization", "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.x")];
    told.post("/wallets/w-1/deposit", &stranger, deposit("1")).await.expect(401);

    eventually("both have told of it", async || {
        let (api, worker) = (read(&logs.join("api.log")), read(&logs.join("worker.log")));
        let requests = api.matches(r#""message":"request""#).count();
        if requests >= 5 && !worker.is_empty() { Ok(()) } else { Err((api, worker)) }
    })
    .await;
    told.stop().await;
    let files = ["api.log", "worker.log"].map(|name| read(&logs.join(name)));
    for text in files.iter().chain(&[told.api.log(), told.worker.log()]) {
        assert!(!text.is_empty());
        for private in PRIVATE {
            let line = text.lines().find(|line| line.contains(private));
            assert_eq!(line, None, "{private}");
        }
    }
    for (text, file) in [told.api.log(), told.worker.log()].iter().zip(&files) {
        assert_eq!(text, file, "a file has what stdout has");
        let is_whole = |line: &str| serde_json::from_str::<Value>(line).is_ok();
        assert!(file.lines().all(is_whole), "{file}");
    }
    told.finish_servers().await;
}

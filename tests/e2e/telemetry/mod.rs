//! What a running service tells of itself: traces, and its logs.

mod logs;
mod traces;

use florin_tests::nats::OwnNats;
use florin_tests::own_postgres::OwnPostgres;
use florin_tests::process::{Florin, free_port};
use florin_tests::service::{Answer, send};
use serde_json::Value;
use tempfile::TempDir;

/// `florin serve` and `florin worker`, on a Postgres and a NATS of their own.
struct Told {
    api: Florin,
    worker: Florin,
    url: String,
    nats: OwnNats,
    postgres: OwnPostgres,
    client: reqwest::Client,
    // After the processes, which write there to their end.
    _dir: TempDir,
}

impl Told {
    /// Starts both with these arguments, and the service with more.
    async fn start(both: &[&str], service: &[&str], worker: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), both, service, worker).await
    }

    /// The same, with a directory that is there.
    async fn start_in(dir: TempDir, both: &[&str], service: &[&str], worker: &[&str]) -> Self {
        let (postgres, nats) = tokio::join!(OwnPostgres::start(), OwnNats::start());
        let database = postgres.ledger(1).await;
        let (port, nats_url) = (free_port(), nats.url());
        let more = [&["--nats-url", &nats_url], both, service].concat();
        let api = Florin::serving(dir.path(), port, &database.service, &more);
        let more = [both, worker].concat();
        let worker = Florin::worker_with("worker", dir.path(), &database.service, &nats_url, &more);
        let (url, client) = (format!("http://127.0.0.1:{port}"), reqwest::Client::new());
        let mut told = Self { api, worker, url, nats, postgres, client, _dir: dir };
        told.api.ready(&told.url).await;
        told
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut request = self.client.post(format!("{}{path}", self.url)).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(request).await
    }

    /// Both end well.
    async fn stop(&mut self) {
        for florin in [&mut self.api, &mut self.worker] {
            let ended = florin.terminate().await;
            assert!(ended.success(), "{ended}: {}", florin.log());
        }
    }

    /// The servers, too.
    async fn finish(mut self) {
        self.stop().await;
        self.finish_servers().await;
    }

    /// The servers, after both have ended.
    async fn finish_servers(self) {
        self.nats.stop().await;
        self.postgres.stop().await;
    }
}

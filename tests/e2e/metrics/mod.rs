//! The operator port: figures, probes, and what is made of the figures under `deploy/`.

mod dashboards;
mod export;
mod figures;
mod port;
mod recorded;

use florin_tests::nats::OwnNats;
use florin_tests::process::{Florin, free_port};
use florin_tests::scrape::Scrape;
use florin_tests::store::{Store, eventually};
use tempfile::TempDir;

/// A service and, if it is wanted, a worker, with their operator ports.
struct Deployment {
    api: Florin,
    url: String,
    operators: String,
    worker: Option<Florin>,
    workers_operators: String,
    nats: Option<OwnNats>,
    store: Store,
    dir: TempDir,
}

fn service_url(store: &Store) -> &str {
    let Store::Postgres(_, urls) = store else { panic!("it is not in Postgres") };
    &urls.service
}

fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

impl Deployment {
    /// A service alone.
    async fn of_service(store: Store) -> Self {
        let dir = TempDir::new().unwrap();
        let (port, operator_port) = (free_port(), free_port());
        let operator = operator_port.to_string();
        let more = ["--operator-port", operator.as_str()];
        let mut api = Florin::serve(dir.path(), port, service_url(&store), &more);
        api.ready(&at(operator_port)).await;
        Self {
            api,
            url: at(port),
            operators: at(operator_port),
            worker: None,
            workers_operators: String::new(),
            nats: None,
            store,
            dir,
        }
    }

    /// A service, and a worker with a NATS.
    async fn whole(partitions: u32) -> Self {
        let service = Self::of_service(Store::postgres(partitions).await).await;
        service.joined_by_worker(OwnNats::start().await).await
    }

    /// A worker that goes on with what is in a NATS.
    async fn joined_by_worker(self, nats: OwnNats) -> Self {
        let port = free_port();
        let operator = port.to_string();
        let more = ["--operator-port", operator.as_str()];
        let (dir, url) = (self.dir.path(), service_url(&self.store));
        let mut worker = Florin::worker_with("worker", dir, url, &nats.url(), &more);
        worker.ready(&at(port)).await;
        let (worker, nats) = (Some(worker), Some(nats));
        Self { worker, workers_operators: at(port), nats, ..self }
    }

    async fn scrape(&self) -> Scrape {
        Scrape::of(&self.operators).await.unwrap()
    }

    async fn post(&self, path: &str, body: &serde_json::Value) -> u16 {
        let client = reqwest::Client::new();
        let sent = client.post(format!("{}{path}", self.url)).json(body).send().await.unwrap();
        sent.status().as_u16()
    }

    async fn get(&self, path: &str) -> u16 {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap().status().as_u16()
    }

    /// What the figures are once they are as wanted.
    async fn until(&self, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
        eventually(what, async || {
            let scrape = Scrape::of(&self.operators).await?;
            if is_so(&scrape) { Ok(scrape) } else { Err(format!("{scrape:?}")) }
        })
        .await
    }

    async fn stop(mut self) {
        assert!(self.api.terminate().await.success());
        if let Some(mut worker) = self.worker.take() {
            assert!(worker.terminate().await.success());
        }
        if let Some(nats) = self.nats.take() {
            nats.stop().await;
        }
    }
}

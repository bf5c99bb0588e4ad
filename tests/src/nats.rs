//! A NATS for one test alone: what it holds, and workers that publish there.
//!
//! Streams have the same names in every ledger, so tests cannot share a server; one starts within a
//! tenth of a second.

use std::sync::Arc;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::{Context, Message};
use florin_adapters::dev::{DataDir, Port, PrivateNats};
use florin_adapters::nats;
use florin_adapters::nats::message::{event, subjects_of};
use florin_adapters::nats::relay::RelayStatus;
use florin_adapters::nats::stream::{LEDGER, StreamSettings};
use florin_adapters::postgres::{PostgresJournal, follow, relay_cursor};
use florin_adapters::worker::{Parts, Worker};
use florin_domain::journal::RecordedEvent;
use florin_projections::read_model::Projection;
use futures::StreamExt;
use sqlx::PgPool;
use tempfile::TempDir;

use crate::store::{Store, eventually};

/// A server in a directory of its own.
pub struct OwnNats {
    server: PrivateNats,
    // After the server, which writes there to its end.
    _dir: TempDir,
}

impl OwnNats {
    /// Starts it.
    pub async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let home = DataDir::open(dir.path()).unwrap();
        let server = PrivateNats::start(&home, Port::Any).await.unwrap();
        Self { server, _dir: dir }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// A client as the service makes it.
    pub async fn client(&self) -> async_nats::Client {
        nats::connect(Some(&self.url())).await.unwrap().unwrap()
    }

    /// JetStream, for what no Florin does.
    pub async fn jetstream(&self) -> Context {
        self.server.jetstream().await.unwrap()
    }

    /// A process that relays what is in the store.
    pub async fn worker(&self, store: &Store) -> Worker {
        self.worker_with(store, Vec::new()).await
    }

    /// One that keeps these read models up to date, too.
    pub async fn worker_with(&self, store: &Store, models: Vec<Arc<dyn Projection>>) -> Worker {
        let Store::Postgres(journal, urls) = store else { panic!("a worker works on Postgres") };
        Worker::start(Parts {
            database_url: urls.service.clone(),
            journal: PostgresJournal::clone(journal),
            nats: Some(self.client().await),
            streams: StreamSettings::default(),
            models,
            policy: None,
        })
        .unwrap()
    }

    /// Every message of a partition, in the order of the stream.
    pub async fn messages(&self, partition: u32) -> Vec<Message> {
        let jetstream = self.jetstream().await;
        let config = pull::Config {
            filter_subject: subjects_of(partition),
            ack_policy: AckPolicy::None,
            ..pull::Config::default()
        };
        let consumer: Consumer<pull::Config> =
            jetstream.create_consumer_on_stream(config, LEDGER.name).await.unwrap();
        let count = usize::try_from(consumer.cached_info().num_pending).unwrap();
        let messages = consumer.fetch().max_messages(count.max(1)).messages().await.unwrap();
        messages.map(|message| message.unwrap()).collect().await
    }

    /// Every event of a partition, in the order of the stream.
    pub async fn events(&self, partition: u32) -> Vec<RecordedEvent> {
        self.messages(partition).await.iter().map(|message| event(message).unwrap()).collect()
    }

    /// Their positions, in order and once each.
    pub async fn positions(&self, partition: u32) -> Vec<u64> {
        let events = self.events(partition).await;
        let positions: std::collections::BTreeSet<u64> =
            events.iter().map(|e| e.position).collect();
        positions.into_iter().collect()
    }

    /// Deletes the stream with everything in it.
    pub async fn delete_stream(&self) {
        self.jetstream().await.delete_stream(LEDGER.name).await.unwrap();
    }

    /// Ends it as `kill -9` does.
    pub async fn kill_hard(&self) {
        self.server.kill_hard().await;
    }

    /// Starts it again, on its port.
    pub async fn restart(&self) {
        self.server.restart().await.unwrap();
    }

    /// Stops it for good.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// The pool of a store in Postgres.
pub fn pool(store: &Store) -> &PgPool {
    let Store::Postgres(journal, _) = store else { panic!("it is not in Postgres") };
    journal.pool()
}

/// The head of each partition.
pub async fn heads(store: &Store) -> Vec<(u32, u64)> {
    let heads = follow::heads(pool(store)).await.unwrap();
    heads.into_iter().map(|(partition, head, _)| (partition, head)).collect()
}

/// Waits until the cursor of every partition is at its head.
pub async fn all_published(store: &Store, worker: &Worker) {
    let status =
        || worker.relays().iter().map(|relay| relay.status()).collect::<Vec<RelayStatus>>();
    eventually("everything is published", async || {
        let cursors = relay_cursor::all(pool(store)).await.unwrap();
        let heads = heads(store).await;
        if cursors == heads { Ok(()) } else { Err((cursors, heads, status())) }
    })
    .await;
}

//! A NATS for one test alone: what it holds, and workers that publish there.
//!
//! Streams have the same names in every ledger, so tests cannot share a server; one starts within a
//! tenth of a second.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::stream::State;
use async_nats::jetstream::{Context, Message};
use async_nats::message::OutboundMessage;
use florin_adapters::dev::{DataDir, Port, PrivateNats};
use florin_adapters::nats;
use florin_adapters::nats::message::{event, message, subjects_of};
use florin_adapters::nats::relay::RelayStatus;
use florin_adapters::nats::stream::{LEDGER, OPERATIONS, StreamSettings};
use florin_adapters::postgres::{PostgresJournal, relay_cursor};
use florin_adapters::worker::{Parts, Worker};
use florin_domain::journal::RecordedEvent;
use florin_projections::read_model::Projection;
use futures::StreamExt;
use sqlx::PgPool;
use tempfile::TempDir;

use crate::lag;
use crate::process::{runs, signal};
use crate::store::{Store, eventually};

/// How many messages a test has in flight: fewer than those after which the client waits for an
/// acknowledgement to be taken.
const IN_FLIGHT: usize = 1_000;

/// A server in a directory of its own.
pub struct OwnNats {
    server: PrivateNats,
    // After the server, which writes there to its end.
    dir: TempDir,
}

impl OwnNats {
    /// Starts it.
    pub async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let home = DataDir::open(dir.path()).unwrap();
        let server = PrivateNats::start(&home, Port::Any).await.unwrap();
        Self { server, dir }
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
            operations: None,
            intake: None,
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

    /// Publishes events as the relay does, in this order, but under ids that end in `suffix`: the
    /// server does not know them, whatever it has. Returns when it has them all.
    pub async fn publish(&self, events: impl IntoIterator<Item = RecordedEvent>, suffix: &str) {
        let jetstream = self.jetstream().await;
        let mut events = events.into_iter();
        loop {
            let mut acknowledged = Vec::new();
            for event in events.by_ref().take(IN_FLIGHT) {
                let OutboundMessage { subject, headers, payload, .. } =
                    message(event, Some(suffix));
                let sent = jetstream.publish_with_headers(subject, headers.unwrap(), payload);
                acknowledged.push(sent.await.unwrap());
            }
            if acknowledged.is_empty() {
                break;
            }
            for sent in acknowledged {
                let ack = sent.await.unwrap();
                assert!(!ack.duplicate, "the server takes it for one that it has");
            }
        }
    }

    /// Waits until every consumer of the ledger has been sent everything, and has acknowledged it.
    pub async fn consumed(&self, count: usize) {
        let stream = self.jetstream().await.get_stream(LEDGER.name).await.unwrap();
        eventually("every consumer has consumed everything", async || {
            let mut all: Vec<_> = stream.consumers().map(|info| info.unwrap()).collect().await;
            // Those that tests look with are not.
            all.retain(|info| info.config.durable_name.is_some());
            let left = all.into_iter().map(|info| {
                let left = info.num_pending + info.num_ack_pending as u64;
                (info.name, left)
            });
            let left: Vec<(String, u64)> = left.collect();
            let is_done = left.len() == count && left.iter().all(|(_, left)| *left == 0);
            if is_done { Ok(()) } else { Err(left) }
        })
        .await;
    }

    /// Deletes the stream with everything in it.
    pub async fn delete_stream(&self) {
        self.jetstream().await.delete_stream(LEDGER.name).await.unwrap();
    }

    /// Deletes the work queue of operations with everything in it.
    pub async fn delete_queue(&self) {
        self.jetstream().await.delete_stream(OPERATIONS.name).await.unwrap();
    }

    /// Takes every message out of it.
    pub async fn purge_queue(&self) {
        let queue = self.jetstream().await.get_stream(OPERATIONS.name).await.unwrap();
        queue.purge().await.unwrap();
    }

    /// How many messages it has; none when there is no such stream.
    pub async fn queued(&self) -> Option<u64> {
        let queue = self.jetstream().await.get_stream(OPERATIONS.name).await.ok()?;
        Some(queue.cached_info().state.messages)
    }

    /// What the stream has; nothing when there is no stream.
    pub async fn stream_state(&self) -> Option<State> {
        let stream = self.jetstream().await.get_stream(LEDGER.name).await.ok()?;
        Some(stream.cached_info().state.clone())
    }

    /// Ends it as `kill -9` does.
    pub async fn kill_hard(&self) {
        self.server.kill_hard().await;
    }

    /// Starts it again, on its port.
    pub async fn restart(&self) {
        self.server.restart().await.unwrap();
    }

    /// Ends it as a power cut does that takes the messages which a stream has had meanwhile, and starts it
    /// again. What its consumers know stays, all of it: the server writes that before it ends.
    pub async fn loses(&self, stream: &str, meanwhile: impl AsyncFnOnce()) {
        let messages = self.messages_of(stream);
        let before = TempDir::new_in(self.dir.path()).unwrap();
        copy(&messages, before.path());
        meanwhile().await;
        let pid = self.server.pid();
        signal("TERM", pid).await;
        eventually("the server has ended", async || if runs(pid) { Err(pid) } else { Ok(()) })
            .await;
        for entry in std::fs::read_dir(&messages).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        copy(before.path(), &messages);
        self.restart().await;
    }

    /// Where the server has the messages of a stream.
    fn messages_of(&self, stream: &str) -> PathBuf {
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            if folder.ends_with(Path::new("streams").join(stream).join("msgs")) {
                return folder;
            }
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            folders.extend(entries.filter(|path| path.is_dir()));
        }
        panic!("the server has no messages of {stream}");
    }

    /// Stops it for good.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// Copies the files of a folder, which has no other folders in it, into another one, whose owner they
/// have then: the server may be another user than the test.
fn copy(from: &Path, to: &Path) {
    let owner = std::fs::metadata(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let copy = to.join(entry.file_name());
        std::fs::copy(entry.path(), &copy).unwrap();
        chown(copy, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}

/// The pool of a store in Postgres.
pub fn pool(store: &Store) -> &PgPool {
    let Store::Postgres(journal, _) = store else { panic!("it is not in Postgres") };
    journal.pool()
}

/// The head of each partition.
pub async fn heads(store: &Store) -> Vec<(u32, u64)> {
    lag::heads(pool(store)).await
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

//! Carries what waits in a table to its streams, again and again: what it is, and what becomes of the
//! row, is the [`Errand`]'s.
//!
//! ```text
//! rows ─pass─▶ messages ─publish─▶ stream ─acknowledged─▶ the errand notes it
//!   ▲ wakes                                └─ not: the errand comes with them again
//! ```
//!
//! With NATS or Postgres away it waits, longer each time; nothing is lost meanwhile, because the tables
//! are what is to be published. To be run by one process at a time: a second one would publish
//! everything twice, which is a waste and no more.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::{CreateStreamError, GetStreamError, PublishError};
use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use futures::future::join_all;
use sqlx::PgPool;
use thiserror::Error;
use tokio::time::sleep;

use super::connect::is_connected;
use super::stream::{Stream, StreamSettings, ensure, jetstream};
use crate::postgres::wake::Wake;

/// The first and the longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What is carried, and what bounds it.
#[async_trait]
pub(crate) trait Errand {
    /// What waits, as the log calls it.
    const NAME: &'static str;
    /// Where it goes.
    const STREAMS: &'static [Stream];
    /// Who calls when there is more.
    const CHANNEL: &'static str;
    /// Up to how many bytes stay in each stream.
    const MAX_BYTES: i64;
    /// For how long JetStream knows a message that it has already.
    const DUPLICATE_WINDOW: Duration;

    /// Publishes what comes next; says whether there may be more.
    async fn pass(&self, courier: &Courier) -> Result<bool, Trouble>;
}

/// Why it waits.
#[derive(Debug, Error)]
pub(crate) enum Trouble {
    #[error("NATS is away")]
    NatsAway,
    #[error("Postgres is away: {0}")]
    PostgresAway(#[from] sqlx::Error),
    #[error("the stream cannot be had: {0}")]
    Stream(#[from] CreateStreamError),
    #[error("the stream cannot be looked at: {0}")]
    Look(#[from] GetStreamError),
    #[error("JetStream does not take {id}: {cause}")]
    Publish {
        id: String,
        #[source]
        cause: PublishError,
    },
}

/// What is published.
pub(crate) struct Message {
    /// By which JetStream knows it again.
    pub(crate) id: String,
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// What came of a batch.
#[derive(Default)]
pub(crate) struct Sent {
    /// The ids that are acknowledged, each with its place in the stream.
    pub(crate) acknowledged: HashMap<String, u64>,
    /// Why the others are not.
    pub(crate) trouble: Option<Trouble>,
}

/// The way, in this process.
pub(crate) struct Courier {
    pool: PgPool,
    client: Client,
    ledger: StreamSettings,
}

impl Courier {
    /// One that carries nothing yet. While it runs, it holds one connection of the pool, and now and
    /// then another. Replicas and age of its streams are those of the ledger's.
    pub(crate) fn new(pool: PgPool, client: Client, ledger: StreamSettings) -> Self {
        Self { pool, client, ledger }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Carries for ever. To be dropped when the lease is lost.
    pub(crate) async fn run<E: Errand>(&self, errand: &E) -> Infallible {
        let mut wait = BACKOFF.0;
        loop {
            let Err(error) = self.attempt(errand, &mut wait).await;
            // Once, when it goes.
            if wait == BACKOFF.0 {
                tracing::warn!(%error, "{} wait", E::NAME);
            }
            sleep(wait).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    async fn attempt<E: Errand>(
        &self,
        errand: &E,
        wait: &mut Duration,
    ) -> Result<Infallible, Trouble> {
        self.connected().await?;
        let settings = StreamSettings {
            max_bytes: E::MAX_BYTES.min(self.ledger.max_bytes),
            duplicate_window: E::DUPLICATE_WINDOW,
            ..self.ledger
        };
        for stream in E::STREAMS {
            ensure(&self.client, *stream, &settings).await?;
        }
        let mut wake = Wake::new(self.pool.clone(), E::CHANNEL);
        loop {
            let is_full = errand.pass(self).await?;
            if std::mem::replace(wait, BACKOFF.0) != BACKOFF.0 {
                tracing::info!("{} are published again", E::NAME);
            }
            if !is_full {
                wake.next().await;
            }
        }
    }

    /// What is asked without a connection would wait for one, and be told to nobody.
    pub(crate) async fn connected(&self) -> Result<(), Trouble> {
        match is_connected(&self.client).await {
            true => Ok(()),
            false => Err(Trouble::NatsAway),
        }
    }

    /// Publishes these, all in flight at once.
    pub(crate) async fn send(&self, messages: Vec<Message>) -> Sent {
        let jetstream = jetstream(self.client.clone());
        let (mut acknowledgements, mut trouble) = (Vec::with_capacity(messages.len()), None);
        for Message { id, subject, mut headers, body } in messages {
            headers.insert(NATS_MESSAGE_ID, id.as_str());
            match jetstream.publish_with_headers(subject, headers, body.into()).await {
                Ok(sent) => acknowledgements.push(async move { (id, sent.await) }),
                Err(cause) => {
                    trouble = Some(Trouble::Publish { id, cause });
                    break;
                }
            }
        }
        let mut acknowledged = HashMap::with_capacity(acknowledgements.len());
        for (id, answer) in join_all(acknowledgements).await {
            match answer {
                Ok(taken) => drop(acknowledged.insert(id, taken.sequence)),
                Err(cause) => trouble = Some(Trouble::Publish { id, cause }),
            }
        }
        Sent { acknowledged, trouble }
    }
}

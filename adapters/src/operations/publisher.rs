//! Sends a message for every operation that is to be begun.
//!
//! **At least once**: a message counts as lost if its operation is not begun within
//! [`REPUBLISH_AFTER`], and at once if JetStream does not acknowledge it: then another one goes out.
//! One that is begun is sent again when whoever began it is given up, and one that is tried later, when
//! it is due. So a stream may be purged or deleted, and NATS may be away: everything is in the table.
//!
//! To be run by one process at a time, under the lease of the outbox: a second one would publish
//! everything twice, which is a waste and no more.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::{CreateStreamError, PublishError};
use async_nats::{Client, HeaderMap};
use futures::future::join_all;
use sqlx::PgPool;
use thiserror::Error;
use tokio::time::sleep;
use uuid::Uuid;

use super::CHANNEL;
use crate::nats::connect::is_connected;
use crate::nats::stream::{OPERATIONS, StreamSettings, ensure, jetstream};
use crate::postgres::wake::Wake;

/// How many are published before their acknowledgements are awaited: a hundred kilobytes in flight,
/// and ten thousands a second.
pub const BATCH: u32 = 500;

/// After how long a message counts as lost whose operation nobody has begun: longer than it waits
/// behind others, unless there are more than workers keep up with. One too many does no harm.
pub const REPUBLISH_AFTER: Duration = Duration::from_secs(20);

/// Up to how many bytes of messages stay in the stream: three times all operations that there may be.
/// JetStream sets the space aside.
pub const MAX_BYTES: i64 = 64 << 20;

/// For how long JetStream knows a message that it has already: longer than its acknowledgement is
/// missed.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(60);

/// The first and the longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Put off before the messages go out: whoever gets one finds the row free.
const TAKE: &str = "
UPDATE operations o SET publish_at = now() + $2, publications = o.publications + 1
  FROM (SELECT id FROM operations WHERE publish_at <= now()
         ORDER BY publish_at LIMIT $1 FOR UPDATE SKIP LOCKED) AS due
 WHERE o.id = due.id
RETURNING o.id, o.partition, o.publications + o.attempts";

/// What was begun meanwhile did go out.
const PUT_BACK: &str = "
UPDATE operations SET publish_at = now() WHERE id = ANY ($1) AND state = 'queued'";

/// Where messages go, in this process.
pub struct Publisher {
    pool: PgPool,
    client: Client,
    settings: StreamSettings,
}

/// Why it waits.
#[derive(Debug, Error)]
enum Trouble {
    #[error("NATS is away")]
    NatsAway,
    #[error("Postgres is away: {0}")]
    PostgresAway(#[from] sqlx::Error),
    #[error("the stream cannot be had: {0}")]
    Stream(#[from] CreateStreamError),
    #[error("JetStream does not take a message: {0}")]
    Publish(#[from] PublishError),
}

/// An operation that is to be published: its id and partition, and how often it was published or
/// begun.
type Due = (Uuid, i32, i32);

impl Publisher {
    /// A publisher that does nothing yet. While it runs, it holds one connection of the pool, and now
    /// and then another. Replicas and age are those of the ledger's stream.
    pub fn new(pool: PgPool, client: Client, ledger: StreamSettings) -> Self {
        let settings = StreamSettings {
            max_bytes: MAX_BYTES.min(ledger.max_bytes),
            duplicate_window: DUPLICATE_WINDOW,
            ..ledger
        };
        Self { pool, client, settings }
    }

    /// Publishes for ever. To be dropped when the lease is lost.
    pub async fn run(&self) -> Infallible {
        let mut wait = BACKOFF.0;
        loop {
            let Err(error) = self.attempt(&mut wait).await;
            // Once, when it goes.
            if wait == BACKOFF.0 {
                tracing::warn!(%error, "operations wait");
            }
            sleep(wait).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    async fn attempt(&self, wait: &mut Duration) -> Result<Infallible, Trouble> {
        self.connected().await?;
        ensure(&self.client, OPERATIONS, &self.settings).await?;
        let mut wake = Wake::new(self.pool.clone(), CHANNEL);
        loop {
            let is_full = self.pass().await?;
            if std::mem::replace(wait, BACKOFF.0) != BACKOFF.0 {
                tracing::info!("operations are published again");
            }
            if !is_full {
                wake.next().await;
            }
        }
    }

    /// What is asked without a connection would wait for one, and be told to nobody.
    async fn connected(&self) -> Result<(), Trouble> {
        match is_connected(&self.client).await {
            true => Ok(()),
            false => Err(Trouble::NatsAway),
        }
    }

    /// Publishes what is due; says whether there may be more.
    async fn pass(&self) -> Result<bool, Trouble> {
        self.connected().await?;
        let query = sqlx::query_as(TAKE).bind(i64::from(BATCH)).bind(REPUBLISH_AFTER);
        let due: Vec<Due> = query.fetch_all(&self.pool).await?;
        let Some((unsent, error)) = self.send(&due).await else {
            return Ok(due.len() >= BATCH as usize);
        };
        sqlx::query(PUT_BACK).bind(unsent).execute(&self.pool).await?;
        Err(error.into())
    }

    /// Publishes these; returns those that are not acknowledged, and why.
    async fn send(&self, due: &[Due]) -> Option<(Vec<Uuid>, PublishError)> {
        let jetstream = jetstream(self.client.clone());
        let (mut acknowledgements, mut trouble) = (Vec::with_capacity(due.len()), None);
        for (id, partition, number) in due {
            let mut headers = HeaderMap::new();
            // Another one each time, or JetStream would take the second for the first.
            headers.insert(NATS_MESSAGE_ID, format!("{id}-{number}"));
            let subject = format!("operations.{partition}.{id}");
            match jetstream.publish_with_headers(subject, headers, "".into()).await {
                Ok(sent) => acknowledgements.push(async move { (*id, sent.await) }),
                Err(error) => {
                    trouble = Some(error);
                    break;
                }
            }
        }
        let mut sent = HashSet::with_capacity(acknowledgements.len());
        for (id, acknowledged) in join_all(acknowledgements).await {
            match acknowledged {
                Ok(_) => drop(sent.insert(id)),
                Err(error) => trouble = Some(error),
            }
        }
        let unsent = due.iter().map(|(id, ..)| *id).filter(|id| !sent.contains(id)).collect();
        trouble.map(|error| (unsent, error))
    }
}

//! Publishes alerts and dead letters, each on its stream, in the order in which they are found.
//!
//! ```text
//! fraud_alerts, dead_letters ─unpublished─▶ notice ─▶ ALERTS, DEAD_LETTERS ─acknowledged─▶ on record
//! ```
//!
//! **At least once**: what was acknowledged is put on record, and what was not is published again,
//! under the same id, so that JetStream drops it within its window of duplicates. What is on record
//! is never published again, though a rebuild makes its row anew.
//!
//! With NATS or Postgres away it waits; nothing is lost meanwhile, because the tables are what is to
//! be published. To be run by one process at a time, under the lease [`Outbox::LEASE`]: a second one
//! would publish everything twice, which is a waste and no more.

mod notice;

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{CreateStreamError, PublishError};
use florin_projections::outbox::{CHANNEL, published, record};
use florin_projections::{dead_letters, fraud};
use futures::future::join_all;
use sqlx::PgPool;
use thiserror::Error;
use tokio::time::sleep;

use super::connect::is_connected;
use super::stream::{self, ALERTS, DEAD_LETTERS, StreamSettings, ensure};
use crate::operations::letters;
use crate::postgres::wake::Wake;
use notice::Notice;

/// How many are published before their acknowledgements are awaited: a few hundred kilobytes in
/// flight, and thousands a second.
pub const BATCH: u32 = 100;

/// Up to how many bytes of alerts, and of dead letters, stay in their streams: half a million of
/// them. JetStream sets the space aside.
pub const MAX_BYTES: i64 = 256 << 20;

/// For how long JetStream knows an alert or letter that it has already: longer than a process takes
/// to be replaced. There are few of them, so that it costs little.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(10 * 60);

/// The first and the longest wait after a failure.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What is published, in this process.
pub struct Outbox {
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
    #[error("JetStream does not take {id}: {cause}")]
    Publish {
        id: String,
        #[source]
        cause: PublishError,
    },
}

/// What came of a batch.
#[derive(Default)]
struct Sent {
    /// What was on record already.
    old: Vec<String>,
    /// What is acknowledged, and is to be put on record.
    new: Vec<String>,
    trouble: Option<Trouble>,
}

impl Sent {
    /// What was published, whenever that was.
    fn ids(&self) -> Vec<String> {
        self.old.iter().chain(&self.new).cloned().collect()
    }
}

impl Outbox {
    /// The lease under which it runs.
    pub const LEASE: &'static str = "outbox";

    /// An outbox that does nothing yet. While it runs, it holds one connection of the pool, and now
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
                tracing::warn!(%error, "alerts and dead letters wait");
            }
            sleep(wait).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    async fn attempt(&self, wait: &mut Duration) -> Result<Infallible, Trouble> {
        self.connected().await?;
        for stream in [ALERTS, DEAD_LETTERS] {
            ensure(&self.client, stream, &self.settings).await?;
        }
        let mut wake = Wake::new(self.pool.clone(), CHANNEL);
        loop {
            let is_full = self.alerts().await? | self.letters().await?;
            if std::mem::replace(wait, BACKOFF.0) != BACKOFF.0 {
                tracing::info!("alerts and dead letters are published again");
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

    /// Publishes the next alerts; says whether there may be more.
    async fn alerts(&self) -> Result<bool, Trouble> {
        let alerts = fraud::publish::unpublished(&self.pool, BATCH).await?;
        let is_full = alerts.len() >= BATCH as usize;
        let sent = self.send(alerts.iter().map(Notice::of_alert).collect()).await?;
        // Together, so that nobody sees a row that tells other than the record.
        let mut transaction = self.pool.begin().await?;
        record(&mut *transaction, &sent.new).await?;
        fraud::publish::mark_published(&mut *transaction, &sent.ids()).await?;
        transaction.commit().await?;
        sent.trouble.map_or(Ok(is_full), Err)
    }

    /// Publishes the next dead letters; says whether there may be more.
    async fn letters(&self) -> Result<bool, Trouble> {
        let letters = dead_letters::unpublished(&self.pool, BATCH).await?;
        let is_full = letters.len() >= BATCH as usize;
        let sent = self.send(letters.iter().map(Notice::of_letter).collect()).await?;
        let is_sent: HashSet<String> = sent.ids().into_iter().collect();
        let told = letters.iter().filter(|letter| is_sent.contains(&notice::id_of(letter)));
        let (of_operations, of_events): (Vec<_>, Vec<_>) =
            told.partition(|letter| letter.id.projection == dead_letters::OPERATIONS);
        let ids: Vec<_> = of_events.into_iter().map(|letter| letter.id.clone()).collect();
        let mut transaction = self.pool.begin().await?;
        record(&mut *transaction, &sent.new).await?;
        dead_letters::mark_published(&mut *transaction, &ids).await?;
        letters::mark_told(&mut *transaction, &of_operations).await?;
        transaction.commit().await?;
        sent.trouble.map_or(Ok(is_full), Err)
    }

    /// Publishes what is not on record, up to the first one that JetStream does not acknowledge.
    async fn send(&self, notices: Vec<Notice>) -> Result<Sent, Trouble> {
        if notices.is_empty() {
            return Ok(Sent::default());
        }
        self.connected().await?;
        let ids: Vec<String> = notices.iter().map(|notice| notice.id.clone()).collect();
        let on_record = published(&self.pool, &ids).await?;
        let jetstream = stream::jetstream(self.client.clone());
        let mut acknowledgements = Vec::new();
        for notice in notices {
            if !on_record.contains(&notice.id) {
                let Notice { id, subject, headers, body } = notice;
                let sent = jetstream.publish_with_headers(subject, headers, body.into()).await;
                let sent = sent.map_err(|cause| Trouble::Publish { id: id.clone(), cause })?;
                acknowledgements.push(async move { (id, sent.await) });
            }
        }
        let (mut new, mut trouble) = (Vec::new(), None);
        for (id, acknowledged) in join_all(acknowledgements).await {
            match acknowledged {
                Ok(_) => new.push(id),
                Err(cause) => {
                    trouble = Some(Trouble::Publish { id, cause });
                    break;
                }
            }
        }
        Ok(Sent { old: on_record.into_iter().collect(), new, trouble })
    }
}

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
//! To be run by one process at a time, under the lease [`Outbox::LEASE`].

pub(crate) mod notice;

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use async_nats::Client;
use async_trait::async_trait;
use florin_projections::outbox::{CHANNEL, published, record};
use florin_projections::{dead_letters, fraud};
use sqlx::PgPool;

use super::courier::{Courier, Errand, Message, Trouble};
use super::stream::{ALERTS, DEAD_LETTERS, Stream, StreamSettings};

/// How many are published before their acknowledgements are awaited: a few hundred kilobytes in
/// flight, and thousands a second.
pub const BATCH: u32 = 100;

/// Up to how many bytes of alerts, and of dead letters, stay in their streams: half a million of
/// them. JetStream sets the space aside.
pub const MAX_BYTES: i64 = 256 << 20;

/// For how long JetStream knows an alert or letter that it has already: longer than a process takes
/// to be replaced. There are few of them, so that it costs little.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(10 * 60);

/// What is published, in this process.
pub struct Outbox(Courier);

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
        Self(Courier::new(pool, client, ledger))
    }

    /// Publishes for ever. To be dropped when the lease is lost.
    pub async fn run(&self) -> Infallible {
        self.0.run(&Notices).await
    }
}

/// Alerts and dead letters.
struct Notices;

#[async_trait]
impl Errand for Notices {
    const NAME: &'static str = "alerts and dead letters";
    const STREAMS: &'static [Stream] = &[ALERTS, DEAD_LETTERS];
    const CHANNEL: &'static str = CHANNEL;
    const MAX_BYTES: i64 = MAX_BYTES;
    const DUPLICATE_WINDOW: Duration = DUPLICATE_WINDOW;

    async fn pass(&self, courier: &Courier) -> Result<bool, Trouble> {
        Ok(alerts(courier).await? | letters(courier).await?)
    }
}

/// Publishes the next alerts; says whether there may be more.
async fn alerts(courier: &Courier) -> Result<bool, Trouble> {
    let alerts = fraud::publish::unpublished(courier.pool(), BATCH).await?;
    let is_full = alerts.len() >= BATCH as usize;
    let sent = send(courier, alerts.iter().map(Message::of_alert).collect()).await?;
    // Together, so that nobody sees a row that tells other than the record.
    let mut transaction = courier.pool().begin().await?;
    record(&mut *transaction, &sent.new).await?;
    fraud::publish::mark_published(&mut *transaction, &sent.ids()).await?;
    transaction.commit().await?;
    sent.trouble.map_or(Ok(is_full), Err)
}

/// Publishes the next dead letters; says whether there may be more.
async fn letters(courier: &Courier) -> Result<bool, Trouble> {
    let letters = dead_letters::unpublished(courier.pool(), BATCH).await?;
    let is_full = letters.len() >= BATCH as usize;
    let sent = send(courier, letters.iter().map(Message::of_letter).collect()).await?;
    let is_sent: HashSet<String> = sent.ids().into_iter().collect();
    let told = letters.iter().filter(|letter| is_sent.contains(&notice::id_of(letter)));
    let (of_operations, others): (Vec<_>, Vec<_>) =
        told.partition(|letter| letter.id.projection == dead_letters::OPERATIONS);
    let (of_messages, of_events): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|letter| letter.id.projection == dead_letters::INTAKE);
    let ids: Vec<_> = of_events.into_iter().map(|letter| letter.id.clone()).collect();
    let mut transaction = courier.pool().begin().await?;
    record(&mut *transaction, &sent.new).await?;
    dead_letters::mark_published(&mut *transaction, &ids).await?;
    crate::operations::letters::mark_told(&mut *transaction, &of_operations).await?;
    crate::intake::letters::mark_told(&mut *transaction, &of_messages).await?;
    transaction.commit().await?;
    sent.trouble.map_or(Ok(is_full), Err)
}

/// Publishes what is not on record.
async fn send(courier: &Courier, mut notices: Vec<Message>) -> Result<Sent, Trouble> {
    if notices.is_empty() {
        return Ok(Sent::default());
    }
    courier.connected().await?;
    let ids: Vec<String> = notices.iter().map(|notice| notice.id.clone()).collect();
    let on_record = published(courier.pool(), &ids).await?;
    notices.retain(|notice| !on_record.contains(&notice.id));
    let sent = courier.send(notices).await;
    Ok(Sent {
        old: on_record.into_iter().collect(),
        new: sent.acknowledged.into_keys().collect(),
        trouble: sent.trouble,
    })
}

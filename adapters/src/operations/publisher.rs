//! Sends a message for every operation that is to be begun.
//!
//! **At least once**: a message counts as lost if its operation is not begun within
//! [`REPUBLISH_AFTER`], and at once if JetStream does not acknowledge it: then another one goes out.
//! One that is begun is sent again when whoever began it is given up, and one that is tried later, when
//! it is due. So a stream may be purged or deleted, and NATS may be away: everything is in the table.
//!
//! To be run by one process at a time, under the lease of the outbox: a second one would publish
//! everything twice, which is a waste and no more.

use std::convert::Infallible;
use std::time::Duration;

use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use sqlx::PgPool;
use uuid::Uuid;

use super::CHANNEL;
use crate::nats::courier::{Courier, Errand, Message, Sent, Trouble};
use crate::nats::stream::{OPERATIONS, Stream, StreamSettings};

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
pub struct Publisher(Courier);

/// An operation that is to be published: its id and partition, and how often it was published or
/// begun.
type Due = (Uuid, i32, i32);

impl Publisher {
    /// A publisher that does nothing yet. While it runs, it holds one connection of the pool, and now
    /// and then another. Replicas and age are those of the ledger's stream.
    pub fn new(pool: PgPool, client: Client, ledger: StreamSettings) -> Self {
        Self(Courier::new(pool, client, ledger))
    }

    /// Publishes for ever. To be dropped when the lease is lost.
    pub async fn run(&self) -> Infallible {
        self.0.run(&Operations).await
    }
}

/// Operations that are to be begun.
struct Operations;

#[async_trait]
impl Errand for Operations {
    const NAME: &'static str = "operations";
    const STREAMS: &'static [Stream] = &[OPERATIONS];
    const CHANNEL: &'static str = CHANNEL;
    const MAX_BYTES: i64 = MAX_BYTES;
    const DUPLICATE_WINDOW: Duration = DUPLICATE_WINDOW;

    async fn pass(&self, courier: &Courier) -> Result<bool, Trouble> {
        // Before any are put off.
        courier.connected().await?;
        let query = sqlx::query_as(TAKE).bind(i64::from(BATCH)).bind(REPUBLISH_AFTER);
        let due: Vec<Due> = query.fetch_all(courier.pool()).await?;
        let Sent { acknowledged, trouble } = courier.send(due.iter().map(message).collect()).await;
        let Some(trouble) = trouble else { return Ok(due.len() >= BATCH as usize) };
        let unsent = due.iter().filter(|due| !acknowledged.contains_key(&message_id(due)));
        let unsent: Vec<Uuid> = unsent.map(|(id, ..)| *id).collect();
        sqlx::query(PUT_BACK).bind(unsent).execute(courier.pool()).await?;
        Err(trouble)
    }
}

fn message(due: &Due) -> Message {
    let (id, partition, _) = due;
    Message {
        id: message_id(due),
        subject: format!("operations.{partition}.{id}"),
        headers: HeaderMap::new(),
        body: Vec::new(),
    }
}

/// Another one each time, or JetStream would take the second for the first.
fn message_id((id, _, number): &Due) -> String {
    format!("{id}-{number}")
}

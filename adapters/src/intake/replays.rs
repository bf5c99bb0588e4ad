//! Sends messages again that operators replay.
//!
//! ```text
//! intake_letters ─replayed─▶ INTAKE ─dealt with─▶ not sent any more
//! ```
//!
//! A letter is put off before it goes out, and sent again until it has been dealt with.

use std::time::Duration;

use async_nats::HeaderMap;
use async_trait::async_trait;

use super::letters::HEADER;
use super::{CHANNEL, DUPLICATE_WINDOW};
use crate::nats::courier::{Courier, Errand, Message, Sent, Trouble};
use crate::nats::stream::Stream;

/// How many are published before their acknowledgements are awaited.
const BATCH: u32 = 500;

/// After how long a message is sent again that nobody has dealt with: longer than it waits behind
/// others, and no longer than people wait who have replayed it. One too many does no harm.
pub(super) const REPUBLISH_AFTER: Duration = Duration::from_secs(20);

/// Put off before they go out, so that each has a number of its own.
const TAKE: &str = "
UPDATE intake_letters l SET publish_at = now() + $2, publications = l.publications + 1
  FROM (SELECT letter FROM intake_letters WHERE publish_at <= now()
         ORDER BY publish_at LIMIT $1 FOR UPDATE SKIP LOCKED) AS due
 WHERE l.letter = due.letter
RETURNING l.letter, l.identity, l.subject, l.message::text, l.publications";

/// What was dealt with meanwhile did go out.
const PUT_BACK: &str = "
UPDATE intake_letters SET publish_at = now() WHERE letter = ANY ($1) AND publish_at IS NOT NULL";

type Replayed = (i64, String, String, String, i32);

/// Letters that are to be sent.
pub(super) struct Replays;

#[async_trait]
impl Errand for Replays {
    const NAME: &'static str = "replayed messages";
    /// Those who take in keep it.
    const STREAMS: &'static [Stream] = &[];
    const CHANNEL: &'static str = CHANNEL;
    const MAX_BYTES: i64 = -1;
    const DUPLICATE_WINDOW: Duration = DUPLICATE_WINDOW;

    async fn pass(&self, courier: &Courier) -> Result<bool, Trouble> {
        // Before any are put off.
        courier.connected().await?;
        let query = sqlx::query_as(TAKE).bind(i64::from(BATCH)).bind(REPUBLISH_AFTER);
        let due: Vec<Replayed> = query.fetch_all(courier.pool()).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let Sent { acknowledged, trouble } = courier.send(due.iter().map(message).collect()).await;
        let Some(trouble) = trouble else { return Ok(due.len() >= BATCH as usize) };
        let unsent = due.iter().filter(|letter| !acknowledged.contains_key(&message_id(letter)));
        let unsent: Vec<i64> = unsent.map(|(letter, ..)| *letter).collect();
        sqlx::query(PUT_BACK).bind(unsent).execute(courier.pool()).await?;
        Err(trouble)
    }
}

/// Another one each time, or JetStream would take the second for the first.
fn message_id((letter, .., number): &Replayed) -> String {
    format!("letter-{letter}-{number}")
}

fn message(letter: &Replayed) -> Message {
    let (_, identity, subject, message, _) = letter;
    let mut headers = HeaderMap::new();
    headers.insert(HEADER, identity.as_str());
    Message {
        id: message_id(letter),
        subject: subject.clone(),
        headers,
        body: message.clone().into_bytes(),
    }
}

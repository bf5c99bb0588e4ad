//! Tells other services what became of their transactions, and sends messages again that operators
//! replay.
//!
//! ```text
//! intake_outcomes ─oldest first─▶ OUTCOMES ─acknowledged─▶ removed, some minutes later
//! intake_letters  ─replayed─────▶ INTAKE   ─dealt with───▶ not sent any more
//! ```
//!
//! An outcome is committed with the change that it tells of, and told until JetStream acknowledges it.
//! A server that is killed may have lost what it acknowledged since it last synced: so an outcome is kept
//! for [`KEPT`], and all that are kept are told anew when another server is met, or the same one after a
//! start, which gives itself another id. It is told under the same id each time,
//! `<transaction>:<status>`, so that JetStream drops what it has, within [`DUPLICATE_WINDOW`].
//!
//! So an outcome is not lost while NATS goes and comes. It is told twice, with the same `ce-id`, only if a
//! process dies between an acknowledgement and noting it, and nobody goes on for as long as that window.
//! Of one transaction the second outcome waits for the first.
//!
//! To be run by one process at a time, under the lease [`Publisher::LEASE`].

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::future::join;
use serde_json::json;
use sqlx::PgPool;

use super::contract::{FinalStatus, TRANSACTION_FINALIZED, TransactionFinalized};
use super::letters::HEADER;
use super::{CHANNEL, sweep};
use crate::nats::courier::{Courier, Errand, Message, Sent, Trouble};
use crate::nats::stream::{OUTCOMES, Stream, StreamSettings};

/// How many are published before their acknowledgements are awaited: a hundred kilobytes in flight,
/// and ten thousands a second.
pub const BATCH: u32 = 500;

/// After how long a replayed message is sent again that nobody has dealt with: longer than it waits
/// behind others, and no longer than people wait who have replayed it. One too many does no harm.
pub const REPUBLISH_AFTER: Duration = Duration::from_secs(20);

/// Up to how many bytes stay in the stream: a million outcomes. JetStream sets the space aside.
pub const MAX_BYTES: i64 = 256 << 20;

/// For how long JetStream knows a message that it has already: longer than a process takes to be
/// replaced. The server keeps an id in memory for each of that time: at 3,000 a second two million.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(10 * 60);

/// For how long an outcome is kept that was acknowledged: longer than a server takes to sync its files,
/// two minutes unless it is set otherwise, and shorter than it knows duplicates.
pub const KEPT: Duration = Duration::from_secs(3 * 60);

/// How many that were kept for long enough are removed at once: more than come meanwhile.
const REMOVED: i64 = 2_000;

/// What `ce-source` says.
pub(crate) const SOURCE: &str = "/florin/intake";

/// The oldest of each transaction, oldest first.
const OUTCOMES_DUE: &str = "
SELECT o.number, o.transaction_id, o.status, o.reason, o.recorded_at FROM intake_outcomes o
 WHERE o.told_at IS NULL
   AND NOT EXISTS (SELECT FROM intake_outcomes e
                    WHERE e.transaction_id = o.transaction_id AND e.number < o.number
                      AND e.told_at IS NULL)
 ORDER BY o.number LIMIT $1";

const TOLD: &str = "
UPDATE intake_outcomes SET told_to = $2, told_at = now() WHERE number = ANY ($1)";

/// What another server has acknowledged.
const TELL_ANEW: &str = "
UPDATE intake_outcomes SET told_to = NULL, told_at = NULL
 WHERE told_at IS NOT NULL AND told_to IS DISTINCT FROM $1";

const REMOVE: &str = "
DELETE FROM intake_outcomes
 WHERE number IN (SELECT number FROM intake_outcomes
                   WHERE told_at < now() - $1 ORDER BY told_at LIMIT $2)";

/// Put off before they go out, so that each has a number of its own.
const TAKE_REPLAYED: &str = "
UPDATE intake_letters l SET publish_at = now() + $2, publications = l.publications + 1
  FROM (SELECT letter FROM intake_letters WHERE publish_at <= now()
         ORDER BY publish_at LIMIT $1 FOR UPDATE SKIP LOCKED) AS due
 WHERE l.letter = due.letter
RETURNING l.letter, l.identity, l.subject, l.message::text, l.publications";

/// What was dealt with meanwhile did go out.
const PUT_BACK: &str = "
UPDATE intake_letters SET publish_at = now() WHERE letter = ANY ($1) AND publish_at IS NOT NULL";

pub(crate) type Outcome = (i64, String, String, Option<String>, DateTime<Utc>);
type Replayed = (i64, String, String, String, i32);

/// Where messages go, in this process.
pub struct Publisher {
    courier: Courier,
    client: Client,
}

impl Publisher {
    /// The lease under which it runs.
    pub const LEASE: &'static str = "intake";

    /// A publisher that does nothing yet. While it runs, it holds one connection of the pool, and now
    /// and then another. Replicas and age are those of the ledger's stream.
    pub fn new(pool: PgPool, client: Client, ledger: StreamSettings) -> Self {
        Self { courier: Courier::new(pool, client.clone(), ledger), client }
    }

    /// Publishes for ever, and sweeps. To be dropped when the lease is lost.
    pub async fn run(&self) -> Infallible {
        let telling = Telling { client: self.client.clone(), server: Mutex::default() };
        join(self.courier.run(&telling), sweep::run(&self.client)).await.0
    }
}

/// What is to be told, and to be sent again.
struct Telling {
    client: Client,
    /// The one that was last met.
    server: Mutex<Option<String>>,
}

impl Telling {
    /// The server that is there, and whether it is another one than before.
    fn server(&self) -> (String, bool) {
        let now = self.client.server_info().server_id;
        let mut known = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = known.as_ref() != Some(&now);
        *known = Some(now.clone());
        (now, is_other)
    }
}

#[async_trait]
impl Errand for Telling {
    const NAME: &'static str = "outcomes of transactions";
    const STREAMS: &'static [Stream] = &[OUTCOMES];
    const CHANNEL: &'static str = CHANNEL;
    const MAX_BYTES: i64 = MAX_BYTES;
    const DUPLICATE_WINDOW: Duration = DUPLICATE_WINDOW;

    async fn pass(&self, courier: &Courier) -> Result<bool, Trouble> {
        // Before any are put off.
        courier.connected().await?;
        let (server, is_other) = self.server();
        if is_other {
            let anew = sqlx::query(TELL_ANEW).bind(&server).execute(courier.pool()).await;
            // It is met for the first time once more, if that did not work.
            anew.inspect_err(|_| {
                *self.server.lock().unwrap_or_else(PoisonError::into_inner) = None
            })?;
        }
        Ok(outcomes(courier, &server).await? | replayed(courier).await?)
    }
}

/// Tells the next outcomes; says whether there may be more.
async fn outcomes(courier: &Courier, server: &str) -> Result<bool, Trouble> {
    sqlx::query(REMOVE).bind(KEPT).bind(REMOVED).execute(courier.pool()).await?;
    let query = sqlx::query_as(OUTCOMES_DUE).bind(i64::from(BATCH));
    let due: Vec<Outcome> = query.fetch_all(courier.pool()).await?;
    if due.is_empty() {
        return Ok(false);
    }
    let Sent { acknowledged, trouble } = courier.send(due.iter().map(told).collect()).await;
    let done = due.iter().filter(|outcome| acknowledged.contains(&id_of(outcome)));
    let done: Vec<i64> = done.map(|(number, ..)| *number).collect();
    sqlx::query(TOLD).bind(done).bind(server).execute(courier.pool()).await?;
    // A transaction that was told of may have another outcome behind this one.
    trouble.map_or(Ok(true), Err)
}

/// Sends the next replayed messages; says whether there may be more.
async fn replayed(courier: &Courier) -> Result<bool, Trouble> {
    let query = sqlx::query_as(TAKE_REPLAYED).bind(i64::from(BATCH)).bind(REPUBLISH_AFTER);
    let due: Vec<Replayed> = query.fetch_all(courier.pool()).await?;
    if due.is_empty() {
        return Ok(false);
    }
    let Sent { acknowledged, trouble } = courier.send(due.iter().map(again).collect()).await;
    let Some(trouble) = trouble else { return Ok(due.len() >= BATCH as usize) };
    let unsent = due.iter().filter(|letter| !acknowledged.contains(&again_id(letter)));
    let unsent: Vec<i64> = unsent.map(|(letter, ..)| *letter).collect();
    sqlx::query(PUT_BACK).bind(unsent).execute(courier.pool()).await?;
    Err(trouble)
}

/// The same for every attempt to tell it.
fn id_of((_, transaction, status, ..): &Outcome) -> String {
    format!("{transaction}:{status}")
}

/// The message that tells it.
pub(crate) fn told(outcome: &Outcome) -> Message {
    let (_, transaction, status, reason, at) = outcome;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("ce-id", id_of(outcome)),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-source", SOURCE.to_owned()),
        ("ce-type", TRANSACTION_FINALIZED.to_owned()),
        ("ce-subject", format!("transaction/{transaction}")),
        ("ce-time", at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        ("content-type", "application/json".to_owned()),
    ] {
        headers.insert(name, value);
    }
    let body = json!(TransactionFinalized {
        transaction_id: transaction.clone(),
        // The table has these two.
        status: FinalStatus::named(status).unwrap_or(FinalStatus::Failed),
        reason: reason.clone(),
    });
    let subject = TRANSACTION_FINALIZED.to_owned();
    Message { id: id_of(outcome), subject, headers, body: body.to_string().into_bytes() }
}

/// Another one each time, or JetStream would take the second for the first.
fn again_id((letter, .., number): &Replayed) -> String {
    format!("letter-{letter}-{number}")
}

fn again(letter: &Replayed) -> Message {
    let (_, identity, subject, message, _) = letter;
    let mut headers = HeaderMap::new();
    headers.insert(HEADER, identity.as_str());
    Message {
        id: again_id(letter),
        subject: subject.clone(),
        headers,
        body: message.clone().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_told_under_the_same_id_each_time() {
        let outcome: Outcome = (
            7,
            "t-1".to_owned(),
            "Failed".to_owned(),
            Some("why".to_owned()),
            DateTime::UNIX_EPOCH,
        );
        let message = told(&outcome);
        assert_eq!(message.id, "t-1:Failed");
        assert_eq!(message.subject, "wallet.transactionFinalized");
        let header = |name: &str| message.headers.get(name).unwrap().as_str();
        assert_eq!((header("ce-id"), header("ce-subject")), ("t-1:Failed", "transaction/t-1"));
        let body = r#"{"reason":"why","status":"Failed","transactionId":"t-1"}"#;
        assert_eq!(String::from_utf8(message.body).unwrap(), body);
    }
}

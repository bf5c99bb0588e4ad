//! Tells other services what became of their transactions.
//!
//! ```text
//! intake_outcomes ─oldest first─▶ OUTCOMES ─acknowledged─▶ removed, some minutes later
//! ```
//!
//! An outcome is committed with the change that it tells of, and told until JetStream acknowledges it,
//! under the same id each time, `<transaction>:<status>`, so that JetStream drops what it has, within
//! [`DUPLICATE_WINDOW`]. Of one transaction the second outcome waits for the first.
//!
//! A nats-server that is killed may lose the end of what it acknowledged since it last synced. So an
//! outcome is kept for [`KEPT`] with its place in the stream, and is told anew when the stream is found
//! to end before that place, which is looked at whenever another server is met. Nobody else publishes
//! there, and each message names the last place that it expects: a stream that has lost its end takes
//! nothing until it has been looked at.
//!
//! So an outcome is not lost while NATS goes and comes. It is told twice, with the same `ce-id`, only if a
//! process dies between an acknowledgement and noting it, and nobody goes on for as long as that window.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SEQUENCE;
use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::CHANNEL;
use super::contract::{FinalStatus, TRANSACTION_FINALIZED, TransactionFinalized};
use crate::nats::courier::{Courier, Errand, Message, Sent, Trouble};
use crate::nats::message::encoded;
use crate::nats::stream::{OUTCOMES, Stream, jetstream};

/// How many are published before their acknowledgements are awaited: a hundred kilobytes in flight,
/// and ten thousands a second.
const BATCH: i64 = 500;

/// Up to how many bytes stay in the stream: a million outcomes. JetStream sets the space aside.
pub(crate) const MAX_BYTES: i64 = 256 << 20;

/// For how long JetStream knows a message that it has already: longer than a process takes to be
/// replaced. The server keeps an id in memory for each of that time: at 3,000 a second two million.
pub(crate) const DUPLICATE_WINDOW: Duration = Duration::from_secs(10 * 60);

/// For how long an outcome is kept that was acknowledged: longer than a server takes to sync its files,
/// two minutes unless it is set otherwise, and shorter than it knows duplicates.
const KEPT: Duration = Duration::from_secs(3 * 60);

/// How many that were kept for long enough are removed at once: more than come meanwhile.
const REMOVED: i64 = 2_000;

/// What `ce-source` says.
pub(crate) const SOURCE: &str = "/florin/intake";

/// The oldest, and of each transaction the first alone. One that comes before another of its transaction
/// is among the oldest with it, so that nothing else has to be looked through, however many wait.
const DUE: &str = "
WITH oldest AS (
  SELECT number, transaction_id, status, reason, recorded_at FROM intake_outcomes
   WHERE told_at IS NULL ORDER BY number LIMIT $1),
firsts AS (SELECT DISTINCT ON (transaction_id) * FROM oldest ORDER BY transaction_id, number)
SELECT number, transaction_id, status, reason, recorded_at FROM firsts ORDER BY number";

const TOLD: &str = "
UPDATE intake_outcomes o SET told_sequence = t.sequence, told_at = now()
  FROM unnest($1::bigint[], $2::bigint[]) AS t (number, sequence)
 WHERE o.number = t.number";

/// What the stream has lost.
const TELL_ANEW: &str = "
UPDATE intake_outcomes SET told_sequence = NULL, told_at = NULL
 WHERE told_at IS NOT NULL AND coalesce(told_sequence > $1, true)";

const REMOVE: &str = "
DELETE FROM intake_outcomes
 WHERE number IN (SELECT number FROM intake_outcomes
                   WHERE told_at < now() - $1 ORDER BY told_at LIMIT $2)";

pub(crate) type Outcome = (i64, String, String, Option<String>, DateTime<Utc>);

/// What is to be told.
pub(super) struct Outcomes {
    client: Client,
    /// Which server has the stream, and the last place there; nothing if it has to be looked at.
    end: Mutex<Option<(String, u64)>>,
}

impl Outcomes {
    pub(super) fn new(client: Client) -> Self {
        Self { client, end: Mutex::default() }
    }

    fn end(&self) -> MutexGuard<'_, Option<(String, u64)>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last place of the stream. When it is looked at, what lay behind it is to be told anew.
    async fn last(&self, courier: &Courier) -> Result<u64, Trouble> {
        // A server gives itself another id at each start.
        let server = self.client.server_info().server_id;
        if let Some((known, last)) = &*self.end()
            && *known == server
        {
            return Ok(*last);
        }
        let stream = jetstream(self.client.clone()).get_stream(OUTCOMES.name).await?;
        let last = stream.cached_info().state.last_sequence;
        let anew = sqlx::query(TELL_ANEW).bind(signed(last)).execute(courier.pool()).await?;
        if anew.rows_affected() > 0 {
            let outcomes = anew.rows_affected();
            tracing::warn!(outcomes, "NATS has lost outcomes that it had: they are told again");
        }
        *self.end() = Some((server, last));
        Ok(last)
    }

    /// The stream has taken what it was sent, up to this place, or it is to be looked at again.
    fn moved(&self, to: Option<u64>) {
        let mut end = self.end();
        *end = end.take().zip(to).map(|((server, _), last)| (server, last));
    }
}

#[async_trait]
impl Errand for Outcomes {
    const NAME: &'static str = "outcomes of transactions";
    const STREAMS: &'static [Stream] = &[OUTCOMES];
    const CHANNEL: &'static str = CHANNEL;
    const MAX_BYTES: i64 = MAX_BYTES;
    const DUPLICATE_WINDOW: Duration = DUPLICATE_WINDOW;

    async fn pass(&self, courier: &Courier) -> Result<bool, Trouble> {
        courier.connected().await?;
        let last = self.last(courier).await?;
        sqlx::query(REMOVE).bind(KEPT).bind(REMOVED).execute(courier.pool()).await?;
        let due: Vec<Outcome> = sqlx::query_as(DUE).bind(BATCH).fetch_all(courier.pool()).await?;
        if due.is_empty() {
            return Ok(false);
        }
        let messages = (last..).zip(&due).map(|(expected, outcome)| told(outcome, expected));
        let Sent { acknowledged, trouble } = courier.send(messages.collect()).await;
        let place = |outcome: &Outcome| Some((outcome.0, *acknowledged.get(&id_of(outcome))?));
        let (numbers, places): (Vec<i64>, Vec<u64>) = due.iter().filter_map(place).unzip();
        let newest = places.iter().copied().max().unwrap_or(0).max(last);
        let places: Vec<i64> = places.into_iter().map(signed).collect();
        // What it has now is known only if it has taken all.
        self.moved(trouble.is_none().then_some(newest));
        sqlx::query(TOLD).bind(numbers).bind(places).execute(courier.pool()).await?;
        // A transaction that was told of may have another outcome behind this one.
        trouble.map_or(Ok(true), Err)
    }
}

/// Places are counted from 1, and never come to the end of a `bigint`.
fn signed(place: u64) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

/// The same for every attempt to tell it.
fn id_of((_, transaction, status, ..): &Outcome) -> String {
    format!("{}:{status}", encoded(transaction))
}

/// The message that tells it, to a stream that ends at this place.
pub(crate) fn told(outcome: &Outcome, expected: u64) -> Message {
    let (_, transaction, status, reason, at) = outcome;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("ce-id", id_of(outcome)),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-source", SOURCE.to_owned()),
        ("ce-type", TRANSACTION_FINALIZED.to_owned()),
        ("ce-subject", format!("transaction/{}", encoded(transaction))),
        ("ce-time", at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        ("content-type", "application/json".to_owned()),
    ] {
        headers.insert(name, value);
    }
    headers.insert(NATS_EXPECTED_LAST_SEQUENCE, expected.to_string());
    let body = json!(TransactionFinalized {
        transaction_id: transaction.clone(),
        // The table has these two.
        status: FinalStatus::named(status).unwrap_or(FinalStatus::Failed),
        reason: reason.clone(),
    });
    let subject = TRANSACTION_FINALIZED.to_owned();
    Message { id: id_of(outcome), subject, headers, body: body.to_string().into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_told_under_the_same_id_each_time() {
        for (transaction, written) in [("t-1", "t-1"), ("50%25", "50%2525"), ("a\"b", "a%22b")] {
            let outcome: Outcome = (
                7,
                transaction.to_owned(),
                "Failed".to_owned(),
                Some("why".to_owned()),
                DateTime::UNIX_EPOCH,
            );
            let message = told(&outcome, 41);
            assert_eq!(message.id, format!("{written}:Failed"));
            assert_eq!(message.subject, "wallet.transactionFinalized");
            let header = |name: &str| message.headers.get(name).unwrap().as_str();
            assert_eq!(header("ce-id"), message.id);
            assert_eq!(header("ce-subject"), format!("transaction/{written}"));
            assert_eq!(header("Nats-Expected-Last-Sequence"), "41");
            let body: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
            let expected =
                json!({ "reason": "why", "status": "Failed", "transactionId": transaction });
            assert_eq!(body, expected);
        }
    }
}

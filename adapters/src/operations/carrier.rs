//! Carries operations out, through the front door.
//!
//! ```text
//! messages ─ids─▶ claim ─▶ Ledger::submit, all at once ─▶ step ─▶ save ─▶ acknowledge
//! ```
//!
//! To be run by as many processes as one likes: the claim decides whose an operation is. What somebody
//! began and did not save, because they died or Postgres did, is begun again after the lease, under the
//! same key. Postgres being away is waited for with the batch in hand, as long as the lease lasts.

use std::convert::Infallible;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{AckKind, Message};
use florin_application::{Answer, Ledger, Request, SubmitError};
use futures::future::join_all;
use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::claim::{Claimed, Done, LEASE, claim, save};
use super::retry::{Retries, Step, step};
use crate::nats::hands::Hands;
use crate::nats::pull::{Pull, Queue, answer};
use crate::nats::stream::OPERATIONS;
use crate::postgres::patience::Patience;
use crate::telemetry::traces::{Asked, AskedFor};

/// How many operations are claimed, submitted and saved together: a quarter of what one append
/// carries.
pub const BATCH: usize = 256;

/// How many batches are in hand at once, so that one whose wallets cannot be had now holds up no
/// others: together a quarter of what waits for a partition at most.
pub const BATCHES: u32 = 8;

/// How long the ledger is waited for. It answers in milliseconds, or something is the matter; what it
/// decides later is found under the key.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is pulled: a message is given up with whoever began its operation, and four workers have that
/// many in hand.
const QUEUE: Queue = Queue {
    name: "operations",
    consumer: "operations",
    stream: OPERATIONS,
    subjects: "",
    kept: None,
    ack_wait: LEASE,
    max_ack_pending: 8_192,
};

/// Who carries out, in this process. Cheap to clone.
#[derive(Clone)]
pub struct Carrier {
    ledger: Ledger,
    pool: PgPool,
    client: Client,
    retries: Retries,
    hands: Hands,
}

impl Carrier {
    /// One that does nothing yet. Of the pool it needs one connection, and a second is good to have.
    pub fn new(ledger: Ledger, pool: PgPool, client: Client, retries: Retries) -> Self {
        Self { ledger, pool, client, retries, hands: Hands::new(BATCHES) }
    }

    /// Carries out for ever. What it has in hand when it is dropped is begun again after the lease.
    pub async fn run(&self) -> Infallible {
        let pull = Pull::new(self.client.clone(), QUEUE);
        let deal = |messages| {
            let carrier = self.clone();
            async move { carrier.carry(messages).await }
        };
        self.hands.work(pull, BATCH, deal).await
    }

    /// Begins nothing more, and waits until what is in hand has been dealt with, but not for long.
    pub async fn finish(&self) {
        self.hands.finish().await;
    }

    /// Deals with what the messages name. Those that cannot be dealt with come again.
    async fn carry(&self, messages: Vec<Message>) {
        let Some((claimed, asked_at)) = self.claim(&named(&messages)).await else { return };
        // This process stood still meanwhile, and others have begun them again. What stands still
        // from here on, or with its machine, which stops this clock too, submits all the same: its
        // keys let each take effect once, and `retry::DOUBT` is how long others reckon with it.
        if !claimed.is_empty() && asked_at.elapsed() >= LEASE {
            let count = claimed.len();
            tracing::warn!(count, "operations were begun too long ago, and are left to others");
            return;
        }
        let done = join_all(claimed.into_iter().map(|claimed| self.submit(claimed))).await;
        if done.is_empty() || self.save(&done).await {
            let answers = messages.iter().map(|message| (message, AckKind::Ack)).collect();
            answer(&self.client, answers).await;
        }
    }

    /// What was begun, and when that was asked for: the lease is no older. None when Postgres does not
    /// answer.
    async fn claim(&self, ids: &[Uuid]) -> Option<(Vec<Claimed>, Instant)> {
        let mut patience = Patience::new("operations", "begun", LEASE);
        loop {
            let asked_at = Instant::now();
            match claim(&self.pool, ids).await {
                Ok(claimed) => return Some((claimed, asked_at)),
                Err(error) if patience.has_ended(&error).await => return None,
                Err(_) => {}
            }
        }
    }

    /// Whether Postgres took it.
    async fn save(&self, done: &[Done]) -> bool {
        let mut patience = Patience::new("operations", "saved", LEASE);
        loop {
            match save(&self.pool, done).await {
                Ok(()) => return true,
                Err(error) if patience.has_ended(&error).await => return false,
                Err(_) => {}
            }
        }
    }

    async fn submit(&self, Claimed { id, attempt, request }: Claimed) -> Done {
        let step = match request {
            Ok(_) if attempt.in_a_row > self.retries.max_attempts => {
                Step::Fail("it was begun again and again, and nobody came to an end".to_owned())
            }
            Ok(request) => {
                let answered = self.ask(id, request).await;
                step(attempt, answered, &self.retries)
            }
            Err(error) => Step::Fail(format!("it cannot be read: {error}")),
        };
        match &step {
            Step::End(_) => {}
            Step::Later { wait, why, .. } => {
                tracing::debug!(operation = %id, ?wait, why, "tried later")
            }
            Step::Fail(why) => tracing::error!(operation = %id, why, "operation set aside"),
        }
        Done { id, attempt: attempt.number, step }
    }

    /// Nothing if the ledger does not answer in time.
    async fn ask(&self, id: Uuid, mut request: Request) -> Option<Result<Answer, SubmitError>> {
        let asked = AskedFor { stream: OPERATIONS.name, message: Some(id) };
        let traced = Asked::later(asked, request.origin.traceparent.as_deref());
        if let Some(span) = &traced {
            request.origin.traceparent = Some(span.traceparent());
        }
        let answered = timeout(PATIENCE, self.ledger.submit(request)).await.ok();
        if let Some(span) = traced
            && !matches!(answered, Some(Ok(_)))
        {
            span.failed("no-outcome");
        }
        answered
    }
}

/// The operations that messages name, each once.
fn named(messages: &[Message]) -> Vec<Uuid> {
    let mut ids: Vec<_> = messages.iter().filter_map(operation_of).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The operation that a message names.
fn operation_of(message: &Message) -> Option<Uuid> {
    let (_, id) = message.subject.rsplit_once('.')?;
    id.parse().ok()
}

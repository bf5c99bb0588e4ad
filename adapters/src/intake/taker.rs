//! Takes messages in, and deals with them, many at once.
//!
//! To be run by as many processes as one likes: a message is with one of them at a time, and one that
//! was with two all the same, because the first was slow, is found dealt with by the second. Each subject
//! has a consumer of its own: money that waits for a user does not keep that user's signup waiting.

use std::convert::Infallible;
use std::sync::Arc;

use async_nats::Client;
use async_nats::jetstream::Message;
use florin_application::Ledger;
use futures::future::join3;
use sqlx::PgPool;

use super::contract::{TRANSACTION_COMPLETED, TRANSACTION_FAILED, USER_SIGNUP};
use super::desk::Desk;
use super::taken::{Fate, Taken};
use super::{ACK_WAIT, Settings};
use crate::nats::hands::Hands;
use crate::nats::pull::{Pull, Queue, answer};
use crate::nats::stream::{INTAKE, StreamSettings};

/// How many messages are dealt with together: a quarter of what one append carries.
pub const BATCH: usize = 256;

/// How many batches are in hand at once: while some are with the ledger, others are recorded and saved.
/// All of them together are a quarter of what waits for a partition at most.
pub const BATCHES: u32 = 8;

/// How many messages may wait for their acknowledgement: what four workers have in hand, and then those
/// that wait for a user to sign up, which is some minutes of a tenth of all at 1,000 a second. Beyond
/// it nothing is delivered until some of them are set aside.
const MAX_ACK_PENDING: i64 = 65_536;

/// The consumers, each with its subject.
pub(super) const CONSUMERS: [(&str, &str); 3] = [
    ("signups", USER_SIGNUP),
    ("completed", TRANSACTION_COMPLETED),
    ("failed", TRANSACTION_FAILED),
];

/// What a consumer brings.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Signups,
    Completed,
    Failed,
}

/// Who takes in, in this process. Cheap to clone.
#[derive(Clone)]
pub struct Taker {
    desk: Arc<Desk>,
    client: Client,
    stream: StreamSettings,
    hands: Hands,
}

impl Taker {
    /// One that does nothing yet. Of the pool it needs one connection, and some more are good to have.
    pub fn new(
        ledger: Ledger,
        pool: PgPool,
        client: Client,
        settings: Settings,
        streams: StreamSettings,
    ) -> Self {
        Self {
            stream: settings.stream(&streams),
            desk: Arc::new(Desk::new(ledger, pool, settings)),
            client,
            hands: Hands::new(BATCHES),
        }
    }

    /// Takes in for ever. What it has in hand when it is dropped comes again.
    pub async fn run(&self) -> Infallible {
        let kinds = [Kind::Signups, Kind::Completed, Kind::Failed].map(|kind| self.take(kind));
        let [signups, completed, failed] = kinds;
        join3(signups, completed, failed).await.0
    }

    /// Begins nothing more, and waits until what is in hand has been dealt with, but not for long.
    pub async fn finish(&self) {
        self.hands.finish().await;
    }

    async fn take(&self, kind: Kind) -> Infallible {
        let pull = Pull::new(self.client.clone(), self.queue(kind));
        let deal = |messages: Vec<Message>| {
            let taker = self.clone();
            async move { taker.deal(kind, &messages).await }
        };
        self.hands.work(pull, BATCH, deal).await
    }

    fn queue(&self, kind: Kind) -> Queue {
        let [signups, completed, failed] = CONSUMERS;
        let (name, (consumer, subjects)) = match kind {
            Kind::Signups => ("signups", signups),
            Kind::Completed => ("completed transactions", completed),
            Kind::Failed => ("failed transactions", failed),
        };
        Queue {
            name,
            consumer,
            stream: INTAKE,
            subjects,
            kept: Some(self.stream),
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
        }
    }

    /// Deals with messages. Those that cannot be dealt with come again.
    async fn deal(&self, kind: Kind, messages: &[Message]) {
        let batch: Vec<Taken> = messages.iter().map(Taken::of).collect();
        let dealt = match kind {
            Kind::Signups => self.desk.signups(&batch).await,
            Kind::Completed | Kind::Failed => self.desk.transactions(&batch).await,
        };
        let Some(fates) = dealt else { return };
        if !self.desk.noted(&batch, &fates).await {
            return;
        }
        let answers = messages.iter().zip(fates.into_iter().map(Fate::answer)).collect();
        answer(&self.client, answers).await;
    }
}

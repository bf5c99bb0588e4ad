//! What a worker pulls: one durable consumer, which all workers share.
//!
//! A batch is whatever is there: the first message is waited for, and those behind it that have come
//! already are taken with it. Each is acknowledged by itself when its operation has been dealt with;
//! one that is not comes again after [`ACK_WAIT`], to whoever pulls then.
//!
//! A consumer that was deleted, that cannot be pulled from [`STALLED`] times in a row, or whose stream
//! was created anew, is created again.

use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::{Context, Message};
use futures::{FutureExt, StreamExt};
use tokio::task::unconstrained;
use tokio::time::sleep;
use uuid::Uuid;

use super::claim::LEASE;
use crate::nats::connect::is_connected;
use crate::nats::stream::{OPERATIONS, jetstream};

/// The name of the consumer.
const CONSUMER: &str = "operations";

/// How many messages one pull request asks for. The next one is sent at half of it.
const PULL: usize = 256;

/// How long a pull request lies at the server.
const PULL_EXPIRES: Duration = Duration::from_secs(10);

/// How often the server says that it is there while it has nothing.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long the server waits for an acknowledgement: until whoever began the operation is given up.
const ACK_WAIT: Duration = LEASE;

/// How many messages may wait for their acknowledgement: what four workers have in hand.
const MAX_ACK_PENDING: i64 = 8_192;

/// How long to leave a server alone that could not be pulled from.
const RETRY: Duration = Duration::from_millis(500);

/// After how many failures in a row the consumer itself is taken to be at fault, and created anew.
const STALLED: u32 = 2;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The messages for this worker.
pub(super) struct Pull {
    context: Context,
    messages: Option<pull::Stream>,
    /// How often it has failed since it last went well.
    failures: u32,
}

impl Pull {
    /// One that connects when it is first asked.
    pub(super) fn new(client: Client) -> Self {
        Self { context: jetstream(client), messages: None, failures: 0 }
    }

    /// The messages that are there, at most `max`, as soon as there are any.
    pub(super) async fn next(&mut self, max: usize) -> Vec<Message> {
        loop {
            match self.pull(max).await {
                Ok(messages) => {
                    if std::mem::take(&mut self.failures) > 0 {
                        tracing::info!("operations are pulled again");
                    }
                    return messages;
                }
                Err(error) => {
                    if self.failures == 0 {
                        tracing::warn!(%error, "operations are not pulled for now");
                    }
                    self.failures = self.failures.saturating_add(1);
                    self.messages = None;
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn pull(&mut self, max: usize) -> Result<Vec<Message>, Cause> {
        let mut messages = match self.messages.take() {
            Some(messages) => messages,
            None => self.open().await?,
        };
        let mut taken = Vec::new();
        // The first one is waited for, those behind it are not.
        let mut next = messages.next().await;
        loop {
            taken.push(next.ok_or("it ended")??);
            if taken.len() >= max {
                break;
            }
            // Not within the task's budget, which would end the batch after 128 messages.
            match unconstrained(messages.next()).now_or_never() {
                Some(message) => next = message,
                None => break,
            }
        }
        self.messages = Some(messages);
        Ok(taken)
    }

    async fn open(&mut self) -> Result<pull::Stream, Cause> {
        if !is_connected(&self.context.client()).await {
            return Err("NATS is away".into());
        }
        let found = if self.failures >= STALLED {
            // It may not be there; if it is something else, creating it fails the same way.
            let _ = self.context.delete_consumer_from_stream(CONSUMER, OPERATIONS.name).await;
            None
        } else {
            self.context.get_consumer_from_stream(CONSUMER, OPERATIONS.name).await.ok()
        };
        let consumer: Consumer<pull::Config> = match found {
            Some(consumer) => consumer,
            None => self.context.create_consumer_on_stream(config(), OPERATIONS.name).await?,
        };
        let stream = consumer.stream().max_messages_per_batch(PULL).expires(PULL_EXPIRES);
        Ok(stream.heartbeat(HEARTBEAT).messages().await?)
    }
}

fn config() -> pull::Config {
    pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: MAX_ACK_PENDING,
        ..pull::Config::default()
    }
}

/// The operation that a message names.
pub(super) fn operation_of(message: &Message) -> Option<Uuid> {
    let (_, id) = message.subject.rsplit_once('.')?;
    id.parse().ok()
}

/// Says that these have been dealt with. While NATS is away this does nothing: they come again, and
/// find nothing to do.
pub(super) async fn acknowledge(client: &Client, messages: &[Message]) {
    for message in messages {
        if client.connection_state() != State::Connected {
            return;
        }
        if let Err(error) = message.ack().await {
            tracing::debug!(%error, "an operation's message is not acknowledged");
        }
    }
}

//! What a worker pulls from a work queue: one durable consumer, which all workers share.
//!
//! A batch is whatever is there: the first message is waited for, and those behind it that have come
//! already are taken with it. Each is acknowledged by itself when it has been dealt with; one that is
//! not comes again after [`Queue::ack_wait`], to whoever pulls then.
//!
//! A consumer that was deleted, that cannot be pulled from [`STALLED`] times in a row, or whose stream
//! was created anew, is created again. A pull that has stood for [`STANDS`] went well, though nothing
//! came; and whoever has created the consumer begins to count anew, or two workers, each of whom ends
//! the other's pull by that, would do it in turn for ever.

use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::{AckKind, Context, Message};
use futures::{FutureExt, StreamExt};
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep};

use super::connect::is_connected;
use super::stream::{Stream, StreamSettings, ensure, jetstream};
use crate::telemetry::metrics::recorded;

/// How many messages one pull request asks for. The next one is sent at half of it.
const PULL: usize = 256;

/// How many dots a reply subject has at least, behind its prefix, that names the domain and the account.
const WITH_DOMAIN: usize = 8;

/// How long a pull request lies at the server.
const PULL_EXPIRES: Duration = Duration::from_secs(10);

/// How often the server says that it is there while it has nothing.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// After how long a pull that waits has been heard of: one that is not fails at the second heartbeat
/// that it misses.
const STANDS: Duration = Duration::from_secs(4);

/// How long to leave a server alone that could not be pulled from.
const RETRY: Duration = Duration::from_millis(500);

/// After how many failures in a row the consumer itself is taken to be at fault, and created anew.
const STALLED: u32 = 2;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What is pulled from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queue {
    /// What its messages are about, as the log calls it.
    pub(crate) name: &'static str,
    /// The name of the consumer.
    pub(crate) consumer: &'static str,
    /// Of which stream.
    pub(crate) stream: Stream,
    /// Which of its subjects; empty for all.
    pub(crate) subjects: &'static str,
    /// How the stream is to be kept, if whoever pulls is to see to it.
    pub(crate) kept: Option<StreamSettings>,
    /// How long the server waits for an acknowledgement: until whoever has a message is given up.
    pub(crate) ack_wait: Duration,
    /// How many messages may wait for their acknowledgement.
    pub(crate) max_ack_pending: i64,
}

/// The messages for this worker.
pub(crate) struct Pull {
    queue: Queue,
    context: Context,
    messages: Option<pull::Stream>,
    /// Since when they are pulled.
    opened_at: Option<Instant>,
    /// Whether it was said that nothing is pulled.
    is_down: bool,
    /// How often it has failed since it last went well, NATS being there.
    failures: u32,
}

impl Pull {
    /// One that connects when it is first asked.
    pub(crate) fn new(client: Client, queue: Queue) -> Self {
        let context = jetstream(client);
        Self { queue, context, messages: None, opened_at: None, is_down: false, failures: 0 }
    }

    /// The messages that are there, at most `max`, as soon as there are any.
    pub(crate) async fn next(&mut self, max: usize) -> Vec<Message> {
        loop {
            match self.pull(max).await {
                Ok(messages) => {
                    self.failures = 0;
                    if std::mem::take(&mut self.is_down) {
                        tracing::info!("{} are pulled again", self.queue.name);
                    }
                    return messages;
                }
                Err(error) => {
                    self.failed(&error);
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn failed(&mut self, error: &Cause) {
        self.messages = None;
        if self.opened_at.take().is_some_and(|at| at.elapsed() >= STANDS) {
            self.failures = 0;
            self.is_down = false;
        }
        if !std::mem::replace(&mut self.is_down, true) {
            tracing::warn!(%error, "{} are not pulled for now", self.queue.name);
        }
        // The consumer is not at fault for what is the matter with NATS.
        if self.context.client().connection_state() == State::Connected {
            self.failures = self.failures.saturating_add(1);
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
        if recorded::is_on() {
            let again = taken.iter().filter(|message| is_again(message)).count();
            let again = u64::try_from(again).unwrap_or(u64::MAX);
            recorded::redelivered(self.queue.consumer, again);
        }
        Ok(taken)
    }

    async fn open(&mut self) -> Result<pull::Stream, Cause> {
        if !is_connected(&self.context.client()).await {
            return Err("NATS is away".into());
        }
        let Queue { consumer, stream: Stream { name: stream, .. }, .. } = self.queue;
        if let Some(settings) = &self.queue.kept {
            ensure(&self.context.client(), self.queue.stream, settings).await?;
        }
        let found = if self.failures >= STALLED {
            // It may not be there; if it is something else, creating it fails the same way.
            let _ = self.context.delete_consumer_from_stream(consumer, stream).await;
            None
        } else {
            self.context.get_consumer_from_stream(consumer, stream).await.ok()
        };
        let consumer: Consumer<pull::Config> = match found {
            Some(consumer) => consumer,
            None => {
                let created = self.context.create_consumer_on_stream(config(&self.queue), stream);
                let created = created.await?;
                self.failures = 0;
                created
            }
        };
        let stream = consumer.stream().max_messages_per_batch(PULL).expires(PULL_EXPIRES);
        let messages = stream.heartbeat(HEARTBEAT).messages().await?;
        self.opened_at = Some(Instant::now());
        Ok(messages)
    }
}

/// Whether a message was delivered before, to whomever.
pub(super) fn is_again(message: &Message) -> bool {
    message.reply.as_deref().and_then(deliveries).is_some_and(|deliveries| deliveries > 1)
}

/// How often a message was delivered, which its reply subject says: `$JS.ACK.<stream>.<consumer>.<that>`
/// and four more tokens, or with the domain and the account before the stream. Whoever counts asks this
/// of every message of every consumer, so the rest, which `Message::info` has, is not parsed.
fn deliveries(reply: &str) -> Option<u64> {
    let tokens = reply.strip_prefix("$JS.ACK.")?.as_bytes();
    let dots = tokens.iter().filter(|byte| **byte == b'.').count();
    let before = if dots < WITH_DOMAIN { 2 } else { 4 };
    let token = tokens.split(|byte| *byte == b'.').nth(before)?;
    str::from_utf8(token).ok()?.parse().ok()
}

fn config(queue: &Queue) -> pull::Config {
    pull::Config {
        durable_name: Some(queue.consumer.to_owned()),
        filter_subject: queue.subjects.to_owned(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: queue.ack_wait,
        max_ack_pending: queue.max_ack_pending,
        ..pull::Config::default()
    }
}

/// Answers for messages: that they have been dealt with, or that they are to come again. While NATS is
/// away this does nothing: they come again, and find nothing to do.
pub(crate) async fn answer(client: &Client, answers: Vec<(&Message, AckKind)>) {
    for (message, kind) in answers {
        if client.connection_state() != State::Connected {
            return;
        }
        if let Err(error) = message.ack_with(kind).await {
            tracing::debug!(%error, "a message is not acknowledged");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_subject_says_how_often_its_message_was_delivered() {
        let token = "$JS.ACK.hub.AC9Z.LEDGER.balance.12.7000.6000.1700000000000000000.44.x1Y2";
        for (reply, expected) in [
            ("$JS.ACK.LEDGER.balance.1.7000.6000.1700000000000000000.0", Some(1)),
            ("$JS.ACK.LEDGER.balance.3.7000.6000.1700000000000000000.44", Some(3)),
            (token.strip_suffix(".x1Y2").unwrap(), Some(12)),
            (token, Some(12)),
            ("$JS.ACK.LEDGER.balance", None),
            ("$JS.ACK.LEDGER.balance.often.7000.6000.1700000000000000000.44", None),
            ("_INBOX.LEDGER.balance.3.7000.6000.1700000000000000000.44", None),
        ] {
            assert_eq!(deliveries(reply), expected, "{reply}");
        }
    }
}

//! What is pulled from JetStream: one durable consumer of the stream `LEDGER` for a subscription.
//!
//! It delivers, and nothing more: what it repeats is skipped, what it loses is read from the journal.
//! A consumer of something else than is subscribed to is replaced. A consumer that was deleted, that cannot be pulled from [`STALLED`] times in a row, or whose stream
//! was created anew, is created again from about where the subscription is.
//!
//! | what is asked of NATS | subject |
//! |---|---|
//! | the consumer | `$JS.API.CONSUMER.INFO.LEDGER.<name>`, `…DURABLE.CREATE…` or `…CREATE…`, `…DELETE…` |
//! | messages | `$JS.API.CONSUMER.MSG.NEXT.LEDGER.<name>`, answered in an inbox |
//! | acknowledgements | `$JS.ACK.LEDGER.<name>.>` |
//!
//! Bounds: a pull request asks for [`PULL`] messages, and one and a half of them are outstanding at
//! most, some two megabytes.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, Subject, datetime};
use chrono::{DateTime, TimeDelta, Utc};
use futures::{FutureExt, StreamExt};
use thiserror::Error;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::event::LedgerEvent;
use crate::message::read;
use crate::subscription::Subscription;

/// The events of the ledger.
const STREAM: &str = "LEDGER";

/// How many messages one pull request asks for. The next one is sent at half of it.
pub(crate) const PULL: usize = 1_000;

/// How long a pull request lies at the server.
const PULL_EXPIRES: Duration = Duration::from_secs(10);

/// How often the server says that it is there while it has nothing. Two that do not come make the
/// consumer one that stalls.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long the server waits for an acknowledgement before it sends a message again: longer than a
/// service takes over a batch.
const ACK_WAIT: Duration = Duration::from_secs(15);

/// How many messages may wait for their acknowledgement: what several processes that died one after
/// the other had pulled, besides what this one has.
const MAX_ACK_PENDING: i64 = 10 * PULL as i64;

/// After how long without anybody who pulls the server forgets the consumer. The service has its
/// position itself, so nothing is lost with it.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long JetStream may take to answer a request about the consumer.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// How long a client that was made just now is given to connect before its server counts as away.
const FIRST_CONNECT_WAIT: Duration = Duration::from_secs(1);

/// The first and the longest time to leave a server alone that could not be pulled from.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// After how many failures in a row the consumer itself is taken to be at fault, and created anew.
const STALLED: u32 = 3;

/// What the clocks of the journal and of NATS may differ by.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);

/// There is nothing to pull from just now.
#[derive(Debug, Error)]
pub(crate) enum SourceError {
    #[error("NATS is away")]
    Away,
    #[error("the consumer cannot be pulled from: {0}")]
    Consumer(Box<dyn std::error::Error + Send + Sync>),
}

impl SourceError {
    fn consumer(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Consumer(cause.into())
    }
}

/// A message that is an event.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) event: LedgerEvent,
    /// Its number among the deliveries of the consumer.
    pub(crate) number: u64,
    /// Where to acknowledge it and everything before it.
    pub(crate) reply: Option<Subject>,
}

/// What came of looking for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// There may be some.
    Pulled,
    /// The consumer was opened just now, after so many deliveries; what those were, others know.
    Opened(Option<u64>),
}

/// The messages of one subscription.
pub(crate) struct Source {
    context: Context,
    name: String,
    filter: String,
    messages: Option<pull::Stream>,
    /// How often the client had connected when they were opened.
    connects: u64,
    /// Whether the consumer is to be created anew when it is next opened.
    renews: bool,
    retry_at: Instant,
    wait: Duration,
    /// Whether nothing has come since it failed.
    is_failing: bool,
    /// How often the consumer has failed since.
    failures: u32,
}

impl Source {
    /// One that connects when it is first asked.
    pub(crate) fn new(client: Client, subscription: &Subscription) -> Self {
        Self {
            context: ContextBuilder::new().timeout(ANSWER_WAIT).build(client),
            name: subscription.name.to_string(),
            filter: subscription.wanted.filter(),
            messages: None,
            connects: 0,
            renews: false,
            retry_at: Instant::now(),
            wait: RETRY.0,
            is_failing: false,
            failures: 0,
        }
    }

    /// Appends the messages that are there, at most [`PULL`]; waits for the first until then. A
    /// consumer that must be created delivers what was recorded from `since` on, or everything. May be
    /// given up: nothing is lost with it.
    pub(crate) async fn next(
        &mut self,
        into: &mut VecDeque<Delivered>,
        since: Option<DateTime<Utc>>,
        until: Instant,
    ) -> Result<Looked, SourceError> {
        let looked = self.look(into, since, until).await;
        match &looked {
            Ok(_) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(subscription = self.name, %error, "events are not pulled for now");
                }
                match error {
                    SourceError::Away => {}
                    SourceError::Consumer(_) => self.failures = self.failures.saturating_add(1),
                }
                self.messages = None;
                self.retry_at = Instant::now() + self.wait;
                self.wait = (self.wait * 2).min(RETRY.1);
            }
        }
        looked
    }

    async fn look(
        &mut self,
        into: &mut VecDeque<Delivered>,
        since: Option<DateTime<Utc>>,
        until: Instant,
    ) -> Result<Looked, SourceError> {
        let Some(messages) = &mut self.messages else {
            sleep_until(self.retry_at.min(until)).await;
            if Instant::now() < self.retry_at {
                return Ok(Looked::Pulled);
            }
            let connects = self.connected();
            let (messages, delivered) = self.open(since).await?;
            self.messages = Some(messages);
            self.connects = connects;
            self.renews = false;
            return Ok(Looked::Opened(delivered));
        };
        // The first one is waited for, those behind it are not.
        let mut next = timeout_at(until, messages.next()).await.ok();
        let (mut taken, before) = (0, into.len());
        while let Some(message) = next {
            let message = message.ok_or_else(|| SourceError::consumer("it ended"))?;
            into.extend(delivered(&self.name, message.map_err(SourceError::consumer)?));
            taken += 1;
            next = match taken < PULL {
                // Not within the task's budget, which would end the batch after 128 messages.
                true => unconstrained(messages.next()).now_or_never(),
                false => None,
            };
        }
        // NATS was away in between, if only for a moment in which nobody looked: what comes after it may
        // come before what was lost.
        if self.connected() != self.connects {
            into.truncate(before);
            return Err(SourceError::Away);
        }
        if taken > 0 && std::mem::take(&mut self.is_failing) {
            tracing::info!(subscription = self.name, "events are pulled again");
            self.wait = RETRY.0;
            self.failures = 0;
        }
        Ok(Looked::Pulled)
    }

    /// How often the client has connected.
    fn connected(&self) -> u64 {
        self.context.client().statistics().connects.load(Ordering::Relaxed)
    }

    /// Finds or creates the consumer, and begins to pull.
    async fn open(
        &self,
        since: Option<DateTime<Utc>>,
    ) -> Result<(pull::Stream, Option<u64>), SourceError> {
        if !is_connected(&self.context.client()).await {
            return Err(SourceError::Away);
        }
        let found = if self.renews || self.failures > 0 && self.failures.is_multiple_of(STALLED) {
            // It may not be there; if it is something else, creating it fails the same way.
            let _ = self.context.delete_consumer_from_stream(&self.name, STREAM).await;
            None
        } else {
            self.context.get_consumer_from_stream(&self.name, STREAM).await.ok()
        };
        let found = match found {
            Some(consumer) if !self.is_ours(&consumer) => {
                self.context
                    .delete_consumer_from_stream(&self.name, STREAM)
                    .await
                    .map_err(SourceError::consumer)?;
                None
            }
            found => found,
        };
        let consumer: Consumer<pull::Config> = match found {
            Some(consumer) => consumer,
            None => self
                .context
                .create_consumer_on_stream(self.config(since), STREAM)
                .await
                .map_err(SourceError::consumer)?,
        };
        let delivered = consumer.cached_info().delivered.consumer_sequence;
        let messages = consumer
            .stream()
            .max_messages_per_batch(PULL)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(SourceError::consumer)?;
        Ok((messages, Some(delivered)))
    }

    /// Whether it delivers what is subscribed to now: a service may have subscribed to something else
    /// under this name before.
    fn is_ours(&self, consumer: &Consumer<pull::Config>) -> bool {
        let config = &consumer.cached_info().config;
        config.filter_subject == self.filter && config.ack_policy == AckPolicy::All
    }

    fn config(&self, since: Option<DateTime<Utc>>) -> pull::Config {
        pull::Config {
            durable_name: Some(self.name.clone()),
            filter_subject: self.filter.clone(),
            deliver_policy: deliver_policy(since),
            ack_policy: AckPolicy::All,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            inactive_threshold: FORGOTTEN_AFTER,
            ..pull::Config::default()
        }
    }

    /// The consumer is at fault: it is created anew.
    pub(crate) fn renew(&mut self) {
        self.messages = None;
        self.renews = true;
    }

    /// Nothing is pulled until it is next asked.
    pub(crate) fn pause(&mut self) {
        self.messages = None;
    }

    /// Acknowledges a message and everything before it. While NATS is away this does nothing: the
    /// server sends again what it thinks is open.
    pub(crate) async fn acknowledge(&self, reply: Subject) {
        let client = self.context.client();
        if client.connection_state() == State::Connected {
            // A client that is closed for good shows when it is next pulled from.
            let _ = client.publish(reply, "+ACK".into()).await;
        }
    }
}

/// The event in a message; none in one of somebody else, which is skipped.
fn delivered(name: &str, message: jetstream::Message) -> Option<Delivered> {
    let number = match message.info() {
        Ok(info) => info.consumer_sequence,
        Err(error) => {
            tracing::warn!(subscription = name, %error, "a message is skipped");
            return None;
        }
    };
    match read(&message.message) {
        Ok(event) => Some(Delivered { event, number, reply: message.message.reply }),
        Err(error) => {
            tracing::warn!(subscription = name, %error, "a message is skipped");
            None
        }
    }
}

/// From a while before the wanted event was recorded: it was published after that. What comes too
/// much is skipped by its position.
fn deliver_policy(since: Option<DateTime<Utc>>) -> DeliverPolicy {
    let start = since.and_then(|since| since.checked_sub_signed(CLOCK_SKEW));
    let nanoseconds = start.and_then(|start| start.timestamp_nanos_opt());
    let start = nanoseconds.and_then(|nanos| datetime::from_nanos(nanos.into()).ok());
    start.map_or(DeliverPolicy::All, |start_time| DeliverPolicy::ByStartTime { start_time })
}

/// Whether there is a connection. What is asked without one waits until there is.
async fn is_connected(client: &Client) -> bool {
    if client.connection_state() == State::Pending {
        // Answered as soon as the connection is made; how it ends is seen below.
        let _ = timeout(FIRST_CONNECT_WAIT, client.flush()).await;
    }
    client.connection_state() == State::Connected
}

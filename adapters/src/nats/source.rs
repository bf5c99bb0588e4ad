//! What a projection pulls: one durable consumer a projection and partition.
//!
//! A batch is whatever is there: `next` waits for the first message and takes those behind it that
//! have come already. Pull requests overlap, so that the server always has one to answer. One
//! acknowledgement answers for everything before it.
//!
//! Returned events may be repeated, out of order, or have gaps: the server redelivers what was not
//! acknowledged, and the stream may be gone. A consumer that was deleted, that cannot be pulled from
//! [`STALLED`] times in a row, or whose stream was created anew, is created again from where it was.
//!
//! Bounds: a pull request asks for [`PULL`] messages, and one and a half of them are outstanding at most.
//! An event has 20 KiB at the very most and usually one and a half, so that a source holds some two
//! megabytes; there is no bound in bytes on the wire, because a request that ends by bytes ends early
//! for the client and the server at different counts.

use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::{self, Context};
use async_nats::{Subject, datetime};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use florin_domain::journal::RecordedEvent;
use florin_projections::ports;
use futures::{FutureExt, StreamExt};
use thiserror::Error;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connect::is_connected;
use super::message::{event, subjects_of};
use super::pull::is_again;
use super::stream::{LEDGER, jetstream as context};
use crate::telemetry::metrics::recorded;

/// How many messages one pull request asks for. The next one is sent at half of it, so at 50,000 a
/// second there are a hundred requests a second.
pub const PULL: usize = 1_000;

/// How long a pull request lies at the server.
const PULL_EXPIRES: Duration = Duration::from_secs(10);

/// How often the server says that it is there while it has nothing. Two that do not come make the
/// consumer one that stalls.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long the server waits for an acknowledgement before it sends a message again: longer than a
/// batch takes, Postgres being busy.
const ACK_WAIT: Duration = Duration::from_secs(15);

/// How many messages may wait for their acknowledgement: what several processes that died one after
/// the other had pulled, besides what this one has.
const MAX_ACK_PENDING: i64 = 10 * PULL as i64;

/// How long to leave a server alone that could not be pulled from.
const RETRY: Duration = Duration::from_millis(500);

/// After how many failures in a row the consumer itself is taken to be at fault, and created anew.
const STALLED: u32 = 2;

/// What the clocks of the journal and of NATS may differ by.
const CLOCK_SKEW: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// There is nothing to pull from just now.
#[derive(Debug, Error)]
pub enum SourceError {
    /// NATS is away.
    #[error("NATS is away")]
    Away,
    /// The consumer cannot be had, or does not answer any more.
    #[error("the consumer {consumer} cannot be pulled from: {cause}")]
    Consumer {
        /// Its name.
        consumer: String,
        /// What the server says.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Which part of the ledger a source is for.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// The partition.
    pub partition: u32,
    /// Of how many. If it is the only one, the consumer has no filter: with a filter, nats-server 2.9
    /// creates it by a walk through all subjects, 2.5 s for two million of them.
    pub partitions: u32,
}

/// The events of one partition for one projection.
pub struct JetStreamSource {
    context: Context,
    consumer: String,
    partition: u32,
    /// The subjects that it asks for.
    filter: String,
    /// When the next wanted event was recorded, or one before it; everything if unknown.
    since: Option<DateTime<Utc>>,
    messages: Option<pull::Stream>,
    /// Whether what the stream has by then is not wanted when it is next pulled from.
    skips: bool,
    /// Where to acknowledge everything that was returned.
    last: Option<Subject>,
    retry_at: Instant,
    /// How often it has failed since it last went well.
    failures: u32,
}

impl JetStreamSource {
    /// A source that connects when it is first asked. A consumer that must be created delivers what
    /// was recorded from `since` on, or everything that the stream has.
    pub fn new(
        client: Client,
        projection: &str,
        Share { partition, partitions }: Share,
        since: Option<DateTime<Utc>>,
    ) -> Self {
        Self {
            context: context(client),
            consumer: format!("{projection}-{partition}"),
            partition,
            filter: if partitions == 1 { String::new() } else { subjects_of(partition) },
            since,
            messages: None,
            skips: false,
            last: None,
            retry_at: Instant::now(),
            failures: 0,
        }
    }

    /// The events that are there, at most `max`; waits up to `wait` for the first, and returns
    /// nothing when none comes.
    ///
    /// # Errors
    /// [`SourceError`], after a moment; the next call tries again.
    pub async fn next(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<RecordedEvent>, SourceError> {
        let deadline = Instant::now() + wait;
        if self.messages.is_none() {
            sleep_until(self.retry_at.min(deadline)).await;
        }
        let pulled = self.pull(max, deadline).await;
        match &pulled {
            Ok(_) => {
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(consumer = self.consumer, "events are pulled again");
                }
            }
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!(consumer = self.consumer, %error, "events are not pulled for now");
                }
                self.failures = self.failures.saturating_add(1);
                self.messages = None;
                self.last = None;
                self.retry_at = Instant::now() + RETRY;
            }
        }
        pulled
    }

    /// Everything that was returned has been dealt with. While NATS is away this does nothing: the
    /// server sends again what it thinks is open.
    ///
    /// # Errors
    /// [`SourceError::Away`] if the connection is closed for good.
    pub async fn ack(&mut self) -> Result<(), SourceError> {
        let client = self.context.client();
        if client.connection_state() != State::Connected {
            return Ok(());
        }
        match self.last.take() {
            Some(subject) => {
                client.publish(subject, "+ACK".into()).await.map_err(|_| SourceError::Away)
            }
            None => Ok(()),
        }
    }

    /// What was not returned yet is not wanted any more. The next call begins at what the stream is
    /// given from then on, and returns at once, with nothing: what came before must be had elsewhere.
    pub fn skip(&mut self) {
        self.messages = None;
        self.last = None;
        self.skips = true;
    }

    async fn pull(
        &mut self,
        max: usize,
        deadline: Instant,
    ) -> Result<Vec<RecordedEvent>, SourceError> {
        let mut messages = match self.messages.take() {
            Some(messages) => messages,
            None => {
                let messages = self.open().await?;
                if std::mem::take(&mut self.skips) {
                    self.messages = Some(messages);
                    return Ok(Vec::new());
                }
                messages
            }
        };
        let (mut events, mut again) = (Vec::new(), 0);
        // The first one is waited for, those behind it are not.
        let mut next = timeout_at(deadline, messages.next()).await.ok();
        while let Some(message) = next {
            let Some(message) = message else { return Err(self.broken("it ended")) };
            let message = message.map_err(|error| self.broken(error))?;
            again += u64::from(recorded::is_on() && is_again(&message));
            self.take(message, &mut events);
            next = match events.len() < max {
                // Not within the task's budget, which would end the batch after 128 messages.
                true => unconstrained(messages.next()).now_or_never(),
                false => None,
            };
        }
        self.messages = Some(messages);
        recorded::redelivered(&self.consumer, again);
        Ok(events)
    }

    fn take(&mut self, message: jetstream::Message, events: &mut Vec<RecordedEvent>) {
        match event(&message.message) {
            Ok(event) if event.partition != self.partition => {
                tracing::warn!(consumer = self.consumer, event.partition, "skipped");
            }
            Ok(event) => {
                self.since = self.since.max(Some(event.recorded_at));
                events.push(event);
            }
            Err(error) => tracing::warn!(consumer = self.consumer, %error, "skipped"),
        }
        self.last = message.message.reply;
    }

    /// Finds or creates the consumer, and begins to pull. One that is at fault, or has what is not
    /// wanted, is created anew.
    async fn open(&mut self) -> Result<pull::Stream, SourceError> {
        if !is_connected(&self.context.client()).await {
            return Err(SourceError::Away);
        }
        let found = if self.skips || self.failures >= STALLED {
            // It may not be there; if it is something else, creating it fails the same way.
            let _ = self.context.delete_consumer_from_stream(&self.consumer, LEDGER.name).await;
            None
        } else {
            self.context.get_consumer_from_stream(&self.consumer, LEDGER.name).await.ok()
        };
        let consumer: Consumer<pull::Config> = match found {
            Some(consumer) => consumer,
            // Not there, most likely; if it is something else, creating it fails the same way.
            None => self
                .context
                .create_consumer_on_stream(self.config(), LEDGER.name)
                .await
                .map_err(|error| self.broken(error))?,
        };
        consumer
            .stream()
            .max_messages_per_batch(PULL)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|error| self.broken(error))
    }

    fn config(&self) -> pull::Config {
        pull::Config {
            durable_name: Some(self.consumer.clone()),
            filter_subject: self.filter.clone(),
            deliver_policy: self.deliver_policy(),
            ack_policy: AckPolicy::All,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            ..pull::Config::default()
        }
    }

    /// From a while before the wanted event was recorded: it was published after that. What comes
    /// too much is skipped by its position. From now on, where what there is is not wanted.
    fn deliver_policy(&self) -> DeliverPolicy {
        if self.skips {
            return DeliverPolicy::New;
        }
        let start = self.since.and_then(|since| since.checked_sub_signed(CLOCK_SKEW));
        let nanoseconds = start.and_then(|start| start.timestamp_nanos_opt());
        let start = nanoseconds.and_then(|nanos| datetime::from_nanos(nanos.into()).ok());
        start.map_or(DeliverPolicy::All, |start_time| DeliverPolicy::ByStartTime { start_time })
    }

    fn broken(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SourceError {
        SourceError::Consumer { consumer: self.consumer.clone(), cause: cause.into() }
    }
}

#[async_trait]
impl ports::Source for JetStreamSource {
    async fn next(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<RecordedEvent>, ports::SourceError> {
        Self::next(self, max, wait).await.map_err(|error| ports::SourceError(error.into()))
    }

    async fn ack(&mut self) -> Result<(), ports::SourceError> {
        Self::ack(self).await.map_err(|error| ports::SourceError(error.into()))
    }
}

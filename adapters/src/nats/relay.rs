//! The relay: copies one partition of the journal to JetStream, in order, for as long as its process
//! holds the lease `relay:<partition>`.
//!
//! ```text
//! heads ─wake─▶ feed: page ─▶ message ─▶ publisher ─▶ JetStream
//!                                           │ acknowledged
//! relay_cursors ◀─ keep: one UPDATE for many ◀─┘
//! ```
//!
//! The parts run side by side in one task: while one page is sent the next is read, and the
//! cursor follows without anybody waiting for it. Whatever fails ends the attempt, and the next one
//! begins at the cursor: events may be published twice and are never left out. The server drops the
//! second one within its window of duplicates, and readers skip by position.
//!
//! A stream that is gone is created again, and one that is empty and takes nothing is replaced. What
//! it held is not published again: whoever reads it counts positions and finds the rest in the
//! journal.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::CreateStreamError;
use florin_application::journal::JournalError;
use florin_domain::journal::RecordedEvent;
use florin_projections::ports::{JournalAway, JournalReader};
use futures::try_join;
use sqlx::PgPool;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connect::is_connected;
use super::message::message;
use super::publisher::{PublishFailure, Publisher};
use super::stream::{LEDGER, StreamSettings, delete_empty, ensure};
use super::trim::keep_below;
use crate::postgres::heads::Heads;
use crate::postgres::relay_cursor;
use crate::telemetry::traces;

/// How many events are read at a time: a second page is read while this one is sent, and both
/// together are some megabytes.
pub const PAGE: usize = 2_000;

/// How far reads begin apart that are not of a backlog: a read for each of five hundred appends a
/// second would cost more than all else. The first event after a pause does not wait.
pub const PACE: Duration = Duration::from_millis(5);

/// How long the cursor rests after it was moved: what a takeover publishes twice at most, besides
/// what is in flight.
pub const CURSOR_REST: Duration = Duration::from_millis(50);

/// How long the cursor is taken to be where it was moved to. A crash of Postgres takes it back by what
/// was not on the disk, which nobody would notice before the next event.
pub const CURSOR_TRUST: Duration = Duration::from_secs(1);

/// The first and the longest wait after a failure.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long to leave the server alone when the stream is gone: nats-server 2.9 takes a moment to
/// delete one, and what is created within it is broken.
pub const DELETION_REST: Duration = Duration::from_millis(500);

/// After how many attempts in a row that end because of the stream it is taken to be at fault.
pub const IN_VAIN: u32 = 4;

/// How many pages with traced events are in flight at most whose end is noted: one begins every
/// [`PACE`], and is acknowledged within some of these.
const TRACED_PAGES: usize = 64;

/// The lease under which a partition is published.
pub fn lease_of(partition: u32) -> String {
    format!("relay:{partition}")
}

/// Why an attempt to publish ended.
#[derive(Debug, Error)]
pub enum RelayError {
    /// The cursor cannot be read or moved.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The stream cannot be created or updated.
    #[error("the stream of the ledger cannot be had: {0}")]
    Stream(#[from] CreateStreamError),
    /// The journal cannot be read.
    #[error(transparent)]
    Away(#[from] JournalAway),
    /// JetStream does not take the events.
    #[error(transparent)]
    Publish(#[from] PublishFailure),
    /// Another process moved the cursor, because it holds the lease now; or a crash of Postgres took
    /// it back.
    #[error("the cursor of partition {0} is not where this process moved it")]
    Moved(u32),
    /// The journal's positions are not dense.
    #[error("the journal of partition {partition} has {found} after {after}")]
    Gap {
        /// Which.
        partition: u32,
        /// The last good position.
        after: u64,
        /// What came next.
        found: u64,
    },
}

impl RelayError {
    /// Whether the stream is there and does not take the events, or cannot be had.
    fn is_of_the_stream(&self) -> bool {
        match self {
            Self::Stream(_) => true,
            Self::Publish(failure) => match failure {
                PublishFailure::NoStream
                | PublishFailure::Refused(_)
                | PublishFailure::Silent { .. } => true,
                PublishFailure::Away | PublishFailure::Send(_) | PublishFailure::Subscribe(_) => {
                    false
                }
            },
            Self::Journal(_) | Self::Away(_) | Self::Moved(_) | Self::Gap { .. } => false,
        }
    }

    /// How long to wait at least before the next attempt.
    fn rest(&self) -> Duration {
        match self {
            Self::Publish(PublishFailure::NoStream) => DELETION_REST,
            Self::Publish(_)
            | Self::Stream(_)
            | Self::Journal(_)
            | Self::Away(_)
            | Self::Moved(_)
            | Self::Gap { .. } => Duration::ZERO,
        }
    }
}

/// What a relay does just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayState {
    /// Another process holds the lease, or nobody yet.
    Standby,
    /// It publishes, or has nothing to publish.
    Publishing,
    /// NATS or Postgres is away; it tries again and again.
    Waiting,
}

/// How a relay is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayStatus {
    /// Of which partition.
    pub partition: u32,
    /// What it does.
    pub state: RelayState,
    /// Up to where everything is published, as far as this process knows.
    pub cursor: u64,
    /// How many attempts in a row have failed.
    pub failures: u32,
    /// Why it waits, or last waited.
    pub last_error: Option<Arc<str>>,
}

/// The relay of one partition, in this process.
pub struct Relay {
    partition: u32,
    pool: PgPool,
    journal: Arc<dyn JournalReader>,
    client: Client,
    settings: StreamSettings,
    heads: Heads,
    status: watch::Sender<RelayStatus>,
}

/// A view of a relay.
#[derive(Clone)]
pub struct RelayHandle {
    status: watch::Receiver<RelayStatus>,
    heads: Heads,
}

impl RelayHandle {
    /// How it is doing.
    pub fn status(&self) -> RelayStatus {
        self.status.borrow().clone()
    }

    /// How many events are not published yet, as far as this process knows.
    pub fn lag(&self) -> u64 {
        let RelayStatus { partition, cursor, .. } = *self.status.borrow();
        self.heads.head(partition).saturating_sub(cursor)
    }
}

impl Relay {
    /// A relay that does nothing yet.
    pub fn new(
        partition: u32,
        pool: PgPool,
        journal: Arc<dyn JournalReader>,
        client: Client,
        settings: StreamSettings,
        heads: Heads,
    ) -> Self {
        let state = RelayState::Standby;
        let status = RelayStatus { partition, state, cursor: 0, failures: 0, last_error: None };
        let status = watch::channel(status).0;
        Self { partition, pool, journal, client, settings, heads, status }
    }

    /// What it runs under.
    pub fn lease(&self) -> String {
        lease_of(self.partition)
    }

    /// A view of it.
    pub fn handle(&self) -> RelayHandle {
        RelayHandle { status: self.status.subscribe(), heads: self.heads.clone() }
    }

    /// Publishes for ever. To be run under the lease, and dropped with it.
    pub async fn run(&self) -> Infallible {
        let _standby = Standby(&self.status);
        let (mut wait, mut in_vain) = (BACKOFF.0, 0);
        loop {
            let before = self.status.borrow().cursor;
            let Err(error) = self.attempt().await;
            if self.status.borrow().cursor > before {
                (wait, in_vain) = (BACKOFF.0, 0);
            }
            self.fails(&error);
            sleep(wait.max(error.rest())).await;
            wait = (wait * 2).min(BACKOFF.1);
            in_vain = if error.is_of_the_stream() { in_vain + 1 } else { 0 };
            if in_vain >= IN_VAIN {
                self.renew().await;
                in_vain = 0;
            }
        }
    }

    /// Deletes the stream if it is empty, so that the next attempt creates it anew: one that takes
    /// nothing is of no use, and one that has something is left to its operator.
    async fn renew(&self) {
        let partition = self.partition;
        match delete_empty(&self.client, LEDGER).await {
            Ok(true) => tracing::warn!(partition, "the stream took nothing, and is created anew"),
            Ok(false) => {}
            Err(error) => tracing::debug!(partition, %error, "the stream cannot be looked at"),
        }
    }

    /// From the cursor on, until something fails.
    async fn attempt(&self) -> Result<Infallible, RelayError> {
        // A request without a connection would wait for one; and so would all that is published.
        if !is_connected(&self.client).await {
            return Err(PublishFailure::Away.into());
        }
        ensure(&self.client, LEDGER, &self.settings).await?;
        let cursor = relay_cursor::load(&self.pool, self.partition).await?;
        self.status.send_modify(|status| status.cursor = cursor);
        let (publisher, mut answers) = Publisher::after(self.client.clone(), cursor).await?;
        let collect = async { Ok(publisher.collect(&mut answers).await?) };
        let trim = async { Ok(keep_below(&self.client, self.settings.max_bytes).await) };
        let (traced, traces) = mpsc::channel(TRACED_PAGES);
        let trace = async { Ok(trace(publisher.acknowledged(), traces).await) };
        let (never, _, _, _, _) = try_join!(
            collect,
            self.feed(&publisher, cursor, &traced),
            self.keep(publisher.acknowledged(), cursor),
            trim,
            trace,
        )?;
        Ok(never)
    }

    /// Sends what comes after the position.
    async fn feed(
        &self,
        publisher: &Publisher,
        after: u64,
        traced: &mpsc::Sender<traces::Batch>,
    ) -> Result<Infallible, RelayError> {
        let (mut heads, mut after) = (self.heads.clone(), after);
        let mut read_at = Instant::now();
        let mut page = self.page(after).await?;
        loop {
            let Some(last) = page.last().map(|event| event.position) else {
                if *publisher.acknowledged().borrow() == after {
                    self.is_well();
                }
                heads.beyond(self.partition, after).await;
                sleep_until(read_at + PACE).await;
                read_at = Instant::now();
                page = self.page(after).await?;
                continue;
            };
            let is_full = page.len() >= PAGE;
            let batch = traces::Batch::begin(traces::Stage::Publish, self.partition, &page);
            if let Some(batch) = batch {
                // Where there is no room, it leaves no span.
                let _ = traced.try_send(batch);
            }
            let next = async {
                match is_full {
                    true => self.page(last).await,
                    false => Ok(Vec::new()),
                }
            };
            ((), page) = try_join!(self.send(publisher, after, page), next)?;
            after = last;
        }
    }

    async fn send(
        &self,
        publisher: &Publisher,
        mut after: u64,
        page: Vec<RecordedEvent>,
    ) -> Result<(), RelayError> {
        for event in page {
            // The publisher counts; a position that it does not expect would be another's.
            if event.position != after + 1 {
                let (partition, found) = (self.partition, event.position);
                return Err(RelayError::Gap { partition, after, found });
            }
            after = event.position;
            publisher.send(message(event, None)).await?;
        }
        Ok(())
    }

    async fn page(&self, after: u64) -> Result<Vec<RecordedEvent>, RelayError> {
        Ok(self.journal.page(self.partition, after, PAGE).await?)
    }

    /// Moves the cursor behind what is acknowledged, and sees that it stays there.
    async fn keep(
        &self,
        mut acknowledged: watch::Receiver<u64>,
        mut cursor: u64,
    ) -> Result<Infallible, RelayError> {
        loop {
            let more = acknowledged.wait_for(|position| *position > cursor);
            let position = match timeout(CURSOR_TRUST, more).await {
                Ok(Ok(position)) => *position,
                Ok(Err(_)) => return Err(PublishFailure::Away.into()),
                Err(_) => cursor,
            };
            if position == cursor {
                if relay_cursor::load(&self.pool, self.partition).await? != cursor {
                    return Err(RelayError::Moved(self.partition));
                }
                continue;
            }
            if !relay_cursor::advance(&self.pool, self.partition, cursor, position).await? {
                return Err(RelayError::Moved(self.partition));
            }
            cursor = position;
            self.status.send_modify(|status| status.cursor = cursor);
            self.is_well();
            sleep(CURSOR_REST).await;
        }
    }

    fn is_well(&self) {
        let partition = self.partition;
        self.status.send_if_modified(|status| {
            if status.state == RelayState::Waiting {
                tracing::info!(partition, "events are published again");
            }
            status.failures = 0;
            std::mem::replace(&mut status.state, RelayState::Publishing) != RelayState::Publishing
        });
    }

    fn fails(&self, error: &RelayError) {
        let partition = self.partition;
        self.status.send_modify(|status| {
            match status.state {
                RelayState::Waiting => tracing::debug!(partition, %error, "still not published"),
                RelayState::Standby | RelayState::Publishing => {
                    tracing::warn!(partition, %error, "events are not published for now");
                }
            }
            status.state = RelayState::Waiting;
            status.failures = status.failures.saturating_add(1);
            status.last_error = Some(error.to_string().into());
        });
    }
}

/// Ends the spans of pages when they are acknowledged.
async fn trace(
    mut acknowledged: watch::Receiver<u64>,
    mut pages: mpsc::Receiver<traces::Batch>,
) -> Infallible {
    while let Some(page) = pages.recv().await {
        if acknowledged.wait_for(|position| *position >= page.last()).await.is_ok() {
            page.end(None);
        }
    }
    std::future::pending().await
}

/// Says that the relay stands by again when it is dropped with its lease.
struct Standby<'a>(&'a watch::Sender<RelayStatus>);

impl Drop for Standby<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|status| status.state = RelayState::Standby);
    }
}

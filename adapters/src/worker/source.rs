//! Where a read model's events come from: JetStream; and while NATS is away, or without one, a knock
//! whenever the journal goes on, at which the runner reads it by itself.
//!
//! So readers hardly see that NATS is away: a model is then as far behind as a notification of
//! Postgres takes, and not as long as a silence.
//!
//! A model that was too far behind for its source goes on like this for a while ([`DETOUR`]): pages of
//! the journal cost a fraction of what messages do, so a machine under more load than its models can
//! follow through JetStream has them at hand all the same. Then JetStream is followed again, from its
//! end.

use std::time::Duration;

use async_trait::async_trait;
use florin_domain::journal::RecordedEvent;
use florin_projections::ports::{Source, SourceError};
use tokio::time::{Instant, timeout_at};

use crate::nats::source::JetStreamSource;
use crate::postgres::heads::Heads;

/// How long NATS is left alone after it failed, while the journal is followed.
const RETRY: Duration = Duration::from_millis(500);

/// How long the journal is followed before JetStream is tried again, at first and at most: long
/// enough that a consumer is not created anew all the time. Each detour that soon follows another one
/// is twice as long.
const DETOUR: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(80));

/// JetStream with the journal's heads behind it.
pub(super) struct WakingSource {
    jetstream: Option<JetStreamSource>,
    heads: Heads,
    partition: u32,
    /// The head at the last knock.
    seen: u64,
    failed: Option<(Instant, String)>,
    detour: Duration,
    detour_until: Instant,
}

impl WakingSource {
    pub(super) fn new(jetstream: Option<JetStreamSource>, heads: Heads, partition: u32) -> Self {
        let (detour, detour_until) = (DETOUR.0, Instant::now());
        Self { jetstream, heads, partition, seen: 0, failed: None, detour, detour_until }
    }

    /// Waits until the journal goes on.
    async fn knock(&mut self, deadline: Instant) {
        // Whether it did or not: the runner looks.
        let _ = timeout_at(deadline, self.heads.beyond(self.partition, self.seen)).await;
        self.seen = self.heads.head(self.partition);
    }
}

#[async_trait]
impl Source for WakingSource {
    async fn next(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<RecordedEvent>, SourceError> {
        let now = Instant::now();
        if now < self.detour_until {
            self.knock(self.detour_until.min(now + wait)).await;
            return Ok(Vec::new());
        }
        if let Some((at, error)) = self.failed.clone()
            && now < at + RETRY
        {
            self.knock((at + RETRY).min(now + wait)).await;
            return Err(SourceError(error.into()));
        }
        let Some(jetstream) = &mut self.jetstream else {
            self.knock(now + wait).await;
            return Ok(Vec::new());
        };
        let pulled = jetstream.next(max, wait).await;
        self.failed = pulled.as_ref().err().map(|error| (Instant::now(), error.to_string()));
        pulled.map_err(|error| SourceError(error.into()))
    }

    async fn ack(&mut self) -> Result<(), SourceError> {
        match &mut self.jetstream {
            Some(jetstream) => jetstream.ack().await.map_err(|error| SourceError(error.into())),
            None => Ok(()),
        }
    }

    fn heard(&self) -> u64 {
        self.heads.head(self.partition)
    }

    fn skip(&mut self) {
        let now = Instant::now();
        self.detour = match now < self.detour_until + DETOUR.0 {
            true => (self.detour * 2).min(DETOUR.1),
            false => DETOUR.0,
        };
        self.detour_until = now + self.detour;
        if let Some(jetstream) = &mut self.jetstream {
            jetstream.skip();
        }
    }
}

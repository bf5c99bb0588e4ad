//! Exactly once: a service's own state and its position, saved together.
//!
//! The stream delivers at least once and a process may die at any point; so the one place that decides
//! whether an event has been dealt with is the service's own transaction. It writes what the events do
//! and where they end, and only if the position is still where the batch begins. Whoever comes second,
//! another process or the same one after a crash, finds it moved and does nothing.

use std::time::Duration;

use async_nats::Client;
use thiserror::Error;
use tokio::time::sleep;

use crate::http::Florin;
use crate::positions::Positions;
use crate::subscriber::{Batch, SubscribeError, Subscriber};
use crate::subscription::Subscription;

/// How often a batch is tried to be saved: for half a minute, in which a database starts again.
const SAVE_TRIES: u32 = 10;

/// The first and the longest wait between two tries.
const SAVE_WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How long a process that finds another one ahead of it leaves it alone: one of them works, and the
/// other stands by.
const STAND_BY: Duration = Duration::from_secs(1);

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// Its events are applied, and its positions saved.
    Done,
    /// Nothing was done: the positions are not where the batch begins. Another process has gone on.
    Elsewhere,
}

/// Where a service saves what it makes of events. [`Pg`](crate::pg::Pg) is one, for services that
/// have their state in Postgres.
pub trait Progress: Send {
    /// Why it cannot.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Up to where everything is applied.
    fn load(&mut self) -> impl Future<Output = Result<Positions, Self::Error>> + Send;

    /// Applies the events of a batch and saves where it ends, both or neither, and only if the saved
    /// positions are where it begins.
    fn save(&mut self, batch: &Batch) -> impl Future<Output = Result<Saved, Self::Error>> + Send;
}

/// Why a subscription is over.
#[derive(Debug, Error)]
pub enum FollowError<E: std::error::Error + 'static> {
    /// It cannot go on.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// The service cannot save, and has been tried for half a minute.
    #[error("what the events do cannot be saved: {0}")]
    Progress(#[source] E),
}

/// Follows the ledger from where `progress` is: each event is applied exactly once and in order, until
/// `stop` is over. Any number of processes may do this with the same name and the same state; one of
/// them works.
///
/// # Errors
/// [`FollowError`]. Whoever calls it again goes on where it was.
pub async fn follow<P: Progress>(
    api: &Florin,
    nats: &Client,
    subscription: &Subscription,
    progress: &mut P,
    stop: impl Future<Output = ()>,
) -> Result<(), FollowError<P::Error>> {
    tokio::select! {
        ended = follow_for_ever(api, nats, subscription, progress) => ended,
        () = stop => Ok(()),
    }
}

async fn follow_for_ever<P: Progress>(
    api: &Florin,
    nats: &Client,
    subscription: &Subscription,
    progress: &mut P,
) -> Result<(), FollowError<P::Error>> {
    loop {
        let after = load(progress).await?;
        let (api, nats, subscription) = (api.clone(), nats.clone(), subscription.clone());
        let mut subscriber = Subscriber::open(api, nats, subscription, after).await?;
        loop {
            let batch = subscriber.next().await?;
            match save(progress, &batch).await? {
                Saved::Done => subscriber.acknowledge().await,
                Saved::Elsewhere => break,
            }
        }
        subscriber.pause();
        tracing::info!("another process is ahead: this one stands by");
        sleep(STAND_BY).await;
    }
}

async fn load<P: Progress>(progress: &mut P) -> Result<Positions, FollowError<P::Error>> {
    let mut backoff = Backoff::default();
    loop {
        match progress.load().await {
            Ok(positions) => return Ok(positions),
            Err(error) => backoff.wait(error).await?,
        }
    }
}

async fn save<P: Progress>(
    progress: &mut P,
    batch: &Batch,
) -> Result<Saved, FollowError<P::Error>> {
    let mut backoff = Backoff::default();
    loop {
        // If it was saved though there was an error, the next try finds the positions moved.
        match progress.save(batch).await {
            Ok(saved) => return Ok(saved),
            Err(error) => backoff.wait(error).await?,
        }
    }
}

/// The waits between the tries of one thing.
struct Backoff {
    tries: u32,
    wait: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { tries: 0, wait: SAVE_WAIT.0 }
    }
}

impl Backoff {
    /// Waits after a failure, or gives it back after the last.
    async fn wait<E: std::error::Error + 'static>(
        &mut self,
        error: E,
    ) -> Result<(), FollowError<E>> {
        self.tries += 1;
        if self.tries >= SAVE_TRIES {
            return Err(FollowError::Progress(error));
        }
        tracing::warn!(%error, "the service's own state cannot be reached for now");
        sleep(self.wait).await;
        self.wait = (self.wait * 2).min(SAVE_WAIT.1);
        Ok(())
    }
}

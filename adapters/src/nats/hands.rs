//! The batches of messages that a process has in hand, over all work queues that it shares the room for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::pull::Pull;

/// How long a process that is to stop waits for what it has in hand: that takes milliseconds, or
/// Postgres is away and nothing would come of it.
const FINISH_WAIT: Duration = Duration::from_secs(2);

/// Room for so many batches at once. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hands {
    room: Arc<Semaphore>,
    batches: u32,
}

impl Hands {
    /// Empty.
    pub(crate) fn new(batches: u32) -> Self {
        Self { room: Arc::new(Semaphore::new(batches as usize)), batches }
    }

    /// Deals with what is pulled, for ever, so many messages at a time. What is in hand when this is
    /// dropped comes again.
    pub(crate) async fn work<F>(
        &self,
        mut pull: Pull,
        batch: usize,
        deal: impl Fn(Vec<Message>) -> F,
    ) -> Infallible
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut batches = JoinSet::new();
        loop {
            let messages = pull.next(batch).await;
            // It is closed when no more is to be begun.
            let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else {
                return std::future::pending().await;
            };
            while batches.try_join_next().is_some() {}
            let dealing = deal(messages);
            batches.spawn(async move {
                dealing.await;
                drop(permit);
            });
        }
    }

    /// Begins nothing more, and waits until what is in hand has been dealt with, but not for long.
    pub(crate) async fn finish(&self) {
        let all = timeout(FINISH_WAIT, self.room.acquire_many(self.batches)).await;
        self.room.close();
        drop(all);
    }
}

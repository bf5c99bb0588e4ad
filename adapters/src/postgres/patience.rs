//! How long whoever has a batch in hand waits for Postgres before they leave it to others.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The first and the longest wait between two attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// With a Postgres that does not answer.
pub(crate) struct Patience {
    what: &'static str,
    done: &'static str,
    lasts: Duration,
    began: Instant,
    wait: Duration,
}

impl Patience {
    /// It begins now, and lasts so long. The log then says that these things cannot be had done.
    pub(crate) fn new(what: &'static str, done: &'static str, lasts: Duration) -> Self {
        Self { what, done, lasts, began: Instant::now(), wait: BACKOFF.0 }
    }

    /// Waits a while, longer each time; or says that it has come to its end.
    pub(crate) async fn has_ended(&mut self, error: &sqlx::Error) -> bool {
        if self.began.elapsed() >= self.lasts {
            let (what, done) = (self.what, self.done);
            tracing::warn!(%error, "{what} cannot be {done} now, and are begun again later");
            return true;
        }
        sleep(self.wait).await;
        self.wait = (self.wait * 2).min(BACKOFF.1);
        false
    }
}

//! Waiting for a notification of Postgres, and no longer than a poll: notifications can be lost with
//! the connection that they come over.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::time::{sleep, timeout};

/// How long anything waits for a notification before it looks by itself: what a lost one costs.
pub const POLL: Duration = Duration::from_secs(1);

/// One waiter. It holds a connection of its pool from the first wait on.
pub struct Wake {
    pool: PgPool,
    channel: &'static str,
    listener: Option<PgListener>,
}

impl Wake {
    /// A waiter on a channel, without a connection yet.
    pub fn new(pool: PgPool, channel: &'static str) -> Self {
        Self { pool, channel, listener: None }
    }

    /// Returns when there may be something new: on a notification, when it begins to listen, and
    /// after [`POLL`] at the latest. With Postgres away it waits that long.
    pub async fn next(&mut self) {
        match timeout(POLL, self.heard()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::debug!(channel = self.channel, %error, "not listening");
                self.listener = None;
                sleep(POLL).await;
            }
        }
    }

    async fn heard(&mut self) -> Result<(), sqlx::Error> {
        if let Some(listener) = &mut self.listener {
            listener.recv().await?;
            // Those that came meanwhile say the same.
            while listener.next_buffered().is_some() {}
            return Ok(());
        }
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(self.channel).await?;
        self.listener = Some(listener);
        Ok(())
    }
}

//! What leaves the intake: outcomes, which other services are told, and messages that operators replay.
//! Each is an errand of its own: a message that the stream does not take keeps no outcome waiting.

use std::convert::Infallible;

use async_nats::Client;
use futures::future::join3;
use sqlx::PgPool;

use super::outcomes::Outcomes;
use super::replays::Replays;
use super::sweep;
use crate::nats::courier::Courier;
use crate::nats::stream::StreamSettings;

/// Where messages go, in this process. To be run by one process at a time, under [`Publisher::LEASE`].
pub struct Publisher {
    courier: Courier,
    client: Client,
}

impl Publisher {
    /// The lease under which it runs.
    pub const LEASE: &'static str = "intake";

    /// A publisher that does nothing yet. While it runs, it holds two connections of the pool, and now
    /// and then two more. Replicas and age are those of the ledger's stream.
    pub fn new(pool: PgPool, client: Client, ledger: StreamSettings) -> Self {
        Self { courier: Courier::new(pool, client.clone(), ledger), client }
    }

    /// Publishes for ever, and sweeps. To be dropped when the lease is lost.
    pub async fn run(&self) -> Infallible {
        let outcomes = Outcomes::new(self.client.clone());
        let (told, sent) = (self.courier.run(&outcomes), self.courier.run(&Replays));
        join3(told, sent, sweep::run(&self.client)).await.0
    }
}

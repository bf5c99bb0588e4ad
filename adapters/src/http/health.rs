//! What a ready service needs from others.

use std::time::Duration;

use async_nats::connection::State;
use async_trait::async_trait;
use sqlx::{Connection, PgPool};

use crate::reads::Reads;

/// How long a ping may take: a probe is asked every few seconds and wants an answer in between.
const PING_WAIT: Duration = Duration::from_secs(2);

/// Whether the service can do its work.
#[async_trait]
pub trait Health: Send + Sync {
    /// What is missing now; nothing when all is well.
    async fn missing(&self) -> Vec<Missing>;
}

/// Something that cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// Whether commands need it. What only readers need is reported and not required.
    pub required: bool,
}

/// Postgres, which the command side needs; the read models, for which a new process waits a moment;
/// and NATS, for which the relay waits if it must.
#[derive(Clone)]
pub struct Dependencies {
    /// The journal's.
    pub postgres: PgPool,
    /// The read models, if they are read here.
    pub reads: Option<Reads>,
    /// The relay's, if it runs here.
    pub nats: Option<async_nats::Client>,
}

#[async_trait]
impl Health for Dependencies {
    async fn missing(&self) -> Vec<Missing> {
        let mut missing = vec![];
        let ping = async { self.postgres.acquire().await?.ping().await };
        let answer = tokio::time::timeout(PING_WAIT, ping).await;
        let answer = answer.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        if let Err(error) = answer {
            tracing::warn!(target: "http", %error, "Postgres does not answer");
            missing.push(Missing { name: "postgres", required: true });
        }
        if !self.reads.as_ref().is_none_or(Reads::is_warm) {
            missing.push(Missing { name: "read-models", required: true });
        }
        let connected = |nats: &async_nats::Client| nats.connection_state() == State::Connected;
        if !self.nats.as_ref().is_none_or(connected) {
            missing.push(Missing { name: "nats", required: false });
        }
        missing
    }
}

//! Begins the stream of the ledger anew, for a journal that went back: after a restore to an earlier time
//! its next events get positions that the stream has already, with other events.
//!
//! ```text
//! no relay at work? ▸ delete LEDGER ▸ every cursor to 0        then a worker publishes all, from 1 on
//! ```
//!
//! With the stream go its consumers and what its server knows of ids, so that nothing of what was is
//! mistaken for what is. Whoever reads the stream has to begin anew, too: a position that it has read
//! may be another event now.

use async_nats::Client;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{DeleteStreamError, DeleteStreamErrorKind};
use florin_application::journal::JournalError;
use sqlx::PgPool;
use thiserror::Error;
use tokio::time::timeout;

use super::relay::lease_of;
use super::republish::CONNECT_WAIT;
use super::stream::{LEDGER, jetstream};
use crate::postgres::{lease, relay_cursor};

/// Why the stream is as it was, or its cursors are.
#[derive(Debug, Error)]
pub enum ResetError {
    /// Somebody publishes.
    #[error("{holder} publishes partition {partition}: stop every `florin worker` first")]
    AtWork {
        /// Which.
        partition: u32,
        /// Who.
        holder: String,
    },
    /// The cursors cannot be moved.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// NATS is away.
    #[error("NATS is away")]
    Away,
    /// It does not delete the stream.
    #[error("the stream LEDGER cannot be deleted: {0}")]
    Stream(#[from] DeleteStreamError),
}

/// Deletes the stream and moves the cursors back. To do it again does no harm.
///
/// # Errors
/// [`ResetError`], by name.
pub async fn reset(pool: &PgPool, client: &Client, partitions: u32) -> Result<(), ResetError> {
    let holders = lease::holders(pool).await?;
    for partition in 0..partitions {
        let name = lease_of(partition);
        if let Some(lease) = holders.iter().find(|lease| lease.name == name) {
            return Err(ResetError::AtWork { partition, holder: lease.holder.clone() });
        }
    }
    match timeout(CONNECT_WAIT, client.flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return Err(ResetError::Away),
    }
    match jetstream(client.clone()).delete_stream(LEDGER.name).await {
        Ok(_) => {}
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(relay_cursor::reset(pool).await?)
}

fn is_missing(error: &DeleteStreamError) -> bool {
    match error.kind() {
        DeleteStreamErrorKind::JetStream(said) => said.error_code() == ErrorCode::STREAM_NOT_FOUND,
        DeleteStreamErrorKind::Request
        | DeleteStreamErrorKind::EmptyName
        | DeleteStreamErrorKind::InvalidStreamName => false,
    }
}

//! Publishes a range of the journal again, for a stream that lost it and consumers that cannot read
//! the journal.
//!
//! The messages are the same but for the id by which the server finds duplicates, which gets a suffix:
//! within the window of duplicates the server would drop them otherwise. Consumers skip by position.

use std::time::Duration;

use async_nats::Client;
use florin_application::journal::JournalError;
use florin_domain::journal::RecordedEvent;
use sqlx::PgPool;
use thiserror::Error;
use tokio::time::timeout;

use super::message::message;
use super::publisher::{PublishFailure, Publisher};
use crate::postgres::follow;

/// How many events are read, sent and acknowledged before the next ones are read: some megabytes, and
/// a line of progress.
pub const PAGE: u64 = 5_000;

/// How long a connection to NATS is waited for: a person waits too.
pub const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Positions of one partition, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Where they lie.
    pub partition: u32,
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

/// Why a range was not published again, or not all of it.
#[derive(Debug, Error)]
pub enum RepublishError {
    /// There are no such positions.
    #[error(
        "partition {partition} has the positions 1 to {head}; {from} to {to} is no range of them"
    )]
    Range {
        /// Which.
        partition: u32,
        /// Its last position.
        head: u64,
        /// What was asked for.
        from: u64,
        /// What was asked for.
        to: u64,
    },
    /// The ledger has fewer partitions.
    #[error("the ledger has no partition {0}")]
    Partition(u32),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no connection to NATS.
    #[error("NATS does not answer within {CONNECT_WAIT:?}")]
    Away,
    /// It ended on the way.
    #[error("{cause}; everything before {next} is published again: go on with --from {next}")]
    Stopped {
        /// The first position that is not acknowledged.
        next: u64,
        /// Why.
        cause: Box<RepublishError>,
    },
    /// JetStream does not take the events.
    #[error(transparent)]
    Publish(#[from] PublishFailure),
}

/// Publishes the range again. `suffix` makes the messages other ones than those before, and must
/// differ each time. `progress` is told the last acknowledged position, page by page.
///
/// # Errors
/// [`RepublishError`], by name.
pub async fn republish(
    pool: &PgPool,
    client: &Client,
    range: Range,
    suffix: &str,
    mut progress: impl FnMut(u64),
) -> Result<(), RepublishError> {
    check(pool, range).await?;
    match timeout(CONNECT_WAIT, client.flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return Err(RepublishError::Away),
    }
    let mut done = range.from - 1;
    let publishing = async {
        let (publisher, mut answers) = Publisher::after(client.clone(), done).await?;
        tokio::select! {
            ended = publisher.collect(&mut answers) => match ended? {},
            sent = send(pool, &publisher, range, suffix, |position| {
                done = position;
                progress(position);
            }) => sent,
        }
    };
    let published = publishing.await;
    published.map_err(|cause| RepublishError::Stopped { next: done + 1, cause: Box::new(cause) })
}

async fn check(pool: &PgPool, range: Range) -> Result<(), RepublishError> {
    let Range { partition, from, to } = range;
    let heads = follow::heads(pool).await?;
    let head = heads.iter().find(|(number, ..)| *number == partition).map(|(_, head, _)| *head);
    let head = head.ok_or(RepublishError::Partition(partition))?;
    match 1 <= from && from <= to && to <= head {
        true => Ok(()),
        false => Err(RepublishError::Range { partition, head, from, to }),
    }
}

async fn send(
    pool: &PgPool,
    publisher: &Publisher,
    range: Range,
    suffix: &str,
    mut progress: impl FnMut(u64),
) -> Result<(), RepublishError> {
    let mut acknowledged = publisher.acknowledged();
    let mut after = range.from - 1;
    while after < range.to {
        let limit = i64::try_from(PAGE.min(range.to - after)).unwrap_or(i64::MAX);
        let page: Vec<RecordedEvent> = follow::page(pool, range.partition, after, limit).await?;
        // The range was there when it was checked, and nobody removes events.
        after += page.len().max(1) as u64;
        for event in page {
            publisher.send(message(event, Some(suffix))).await?;
        }
        let all = acknowledged.wait_for(|position| *position >= after).await;
        all.map_err(|_| PublishFailure::Away)?;
        progress(after);
    }
    Ok(())
}

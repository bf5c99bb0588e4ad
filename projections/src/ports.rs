//! Where events come from: a [`Source`] that is fast, and a [`JournalReader`] that is right.
//!
//! The runner owes its correctness to the journal alone. A source may deliver twice, in any order,
//! with gaps, late, or nothing at all: what it lacks is read from the journal.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use florin_domain::TransferId;
use florin_domain::journal::RecordedEvent;
use rust_decimal::Decimal;
use thiserror::Error;

/// A stream of the events of one partition.
#[async_trait]
pub trait Source: Send {
    /// The next events, as soon as there are any; none when there were none for as long as `wait`.
    ///
    /// # Errors
    /// [`SourceError`] when the source is away. It mends itself, and the journal is read meanwhile,
    /// as soon as the error comes: a source that knows when there is something to read may wait for
    /// that, for as long as `wait`.
    async fn next(&mut self, max: usize, wait: Duration)
    -> Result<Vec<RecordedEvent>, SourceError>;

    /// Everything returned so far has been dealt with and need not come again.
    ///
    /// # Errors
    /// [`SourceError`]; it may then come again.
    async fn ack(&mut self) -> Result<(), SourceError>;

    /// The last position that it has heard of, delivered or not; 0 if it hears of none.
    fn heard(&self) -> u64 {
        0
    }

    /// What it has not delivered yet is read from the journal, and need not come. Whatever comes
    /// afterwards may come with a hole before it.
    fn skip(&mut self) {}
}

/// A source does not deliver.
#[derive(Debug, Error)]
#[error("the source does not deliver: {0}")]
pub struct SourceError(#[source] pub Box<dyn Error + Send + Sync>);

/// Who is told of what a runner does. It is told on the runner's way: it must not wait.
pub trait Observer: Send + Sync {
    /// A batch is saved.
    fn saved(&self, saved: &Saved<'_>);
}

/// Nobody is told.
impl Observer for () {
    fn saved(&self, _: &Saved<'_>) {}
}

/// A batch that a projection has saved.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a> {
    /// Which projection.
    pub projection: &'static str,
    /// In which partition.
    pub partition: u32,
    /// Its events, in order.
    pub events: &'a [RecordedEvent],
    /// Whether the source delivered them; otherwise they were read from the journal.
    pub is_delivered: bool,
    /// How long its transaction took.
    pub took: Duration,
}

/// The journal does not answer.
#[derive(Debug, Error)]
#[error("the journal does not answer: {0}")]
pub struct JournalAway(#[source] pub Box<dyn Error + Send + Sync>);

/// The journal, to be read in order.
#[async_trait]
pub trait JournalReader: Send + Sync {
    /// The next events of a partition after a position, in order; none at the end.
    ///
    /// # Errors
    /// [`JournalAway`].
    async fn page(
        &self,
        partition: u32,
        after: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway>;

    /// The last position of a partition.
    ///
    /// # Errors
    /// [`JournalAway`].
    async fn head(&self, partition: u32) -> Result<u64, JournalAway>;

    /// The next events of one wallet after a sequence, in order, up to a position of its partition.
    ///
    /// # Errors
    /// [`JournalAway`].
    async fn wallet(
        &self,
        wallet: &str,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway>;

    /// Every event of these transfers up to a position of their partition, in order. (A transfer has
    /// four events at most.)
    ///
    /// # Errors
    /// [`JournalAway`].
    async fn transfers(
        &self,
        ids: &[TransferId],
        up_to: u64,
    ) -> Result<Vec<RecordedEvent>, JournalAway>;
}

/// The journal, to be asked about the past: what reports need besides its order.
#[async_trait]
pub trait PastReader: JournalReader {
    /// The next events of wallets (and not of transfers) of a partition after a position and up to
    /// another one, in order; none at the end.
    ///
    /// # Errors
    /// [`JournalAway`].
    async fn of_wallets(
        &self,
        partition: u32,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway>;

    /// What each of these wallets held after its event of that sequence, as it was recorded, in any
    /// order.
    ///
    /// # Errors
    /// [`JournalAway`].
    async fn balances_after(
        &self,
        events: &[(Arc<str>, u64)],
    ) -> Result<Vec<(Arc<str>, Decimal)>, JournalAway>;

    /// The last event of each partition that was recorded then or earlier; 0 where there is none.
    ///
    /// # Errors
    /// [`JournalAway`].
    async fn positions_at(&self, time: DateTime<Utc>) -> Result<Vec<(u32, u64)>, JournalAway>;
}

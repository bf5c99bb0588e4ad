//! Sources that do to a projection what messaging may do: deliver as it should, deliver anyhow, keep
//! silent, be away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use florin_domain::journal::RecordedEvent;
use florin_projections::ports::{JournalReader, Source, SourceError};
use tokio::time::{Instant, sleep};

/// How a feed delivers.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Everything, once, in order.
    Faithful,
    /// Shuffled, with duplicates, with older events again, and without some.
    Rough(u64),
    /// Nothing.
    Silent,
    /// Errors, for as long as it says so; faithfully otherwise.
    Away(Arc<AtomicBool>),
}

/// A source that reads the journal and delivers it in its manner.
pub struct Feed {
    journal: Arc<dyn JournalReader>,
    partition: u32,
    manner: Manner,
    cursor: u64,
}

/// How many events the rough feed delivers at once: few, so that there are many deliveries.
const ROUGH: usize = 40;

impl Feed {
    /// From the first event on.
    pub fn new(journal: Arc<dyn JournalReader>, partition: u32, manner: Manner) -> Self {
        Self { journal, partition, manner, cursor: 0 }
    }

    async fn page(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<RecordedEvent>, SourceError> {
        let deadline = Instant::now() + wait;
        loop {
            let page = self.journal.page(self.partition, self.cursor, max).await;
            let page = page.map_err(|error| SourceError(error.into()))?;
            if let Some(last) = page.last() {
                self.cursor = last.position;
                return Ok(page);
            }
            if Instant::now() >= deadline {
                return Ok(Vec::new());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn rough(
        &mut self,
        mut seed: u64,
        wait: Duration,
    ) -> Result<Vec<RecordedEvent>, SourceError> {
        let from = self.cursor;
        let page = self.page(ROUGH, wait).await?;
        let mut events = Vec::new();
        for event in page {
            match random(&mut seed) % 5 {
                0 => {}
                1 => events.extend([event.clone(), event]),
                _ => events.push(event),
            }
        }
        if random(&mut seed).is_multiple_of(4) {
            let old = from.saturating_sub(2 * ROUGH as u64);
            let again = self.journal.page(self.partition, old, ROUGH).await;
            events.extend(again.map_err(|error| SourceError(error.into()))?);
        }
        shuffle(&mut events, &mut seed);
        self.manner = Manner::Rough(seed);
        Ok(events)
    }
}

/// The next number of a sequence that a seed determines (xorshift, by Marsaglia).
pub fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Brings the items into an order that the seed determines.
pub fn shuffle<T>(items: &mut [T], seed: &mut u64) {
    for index in (1..items.len()).rev() {
        items.swap(index, random(seed) as usize % (index + 1));
    }
}

#[async_trait::async_trait]
impl Source for Feed {
    async fn next(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<RecordedEvent>, SourceError> {
        match &self.manner {
            Manner::Faithful => self.page(max, wait).await,
            Manner::Rough(seed) => self.rough(*seed, wait).await,
            Manner::Silent => {
                sleep(wait).await;
                Ok(Vec::new())
            }
            Manner::Away(is_away) if is_away.load(Ordering::Relaxed) => {
                Err(SourceError("it is away".into()))
            }
            Manner::Away(_) => self.page(max, wait).await,
        }
    }

    async fn ack(&mut self) -> Result<(), SourceError> {
        Ok(())
    }
}

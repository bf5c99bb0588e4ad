//! The journal's newest events, in memory: what the relay and four read models follow at the same
//! time is read and decoded once.
//!
//! Whoever asks for what comes next is given what is here, and at its end reads on from Postgres for all
//! the others, who wait for it meanwhile. Only readers within [`KEPT`] events of the journal's end meet
//! here: one with a backlog reads its own pages, which nobody else wants.
//!
//! Bounds: [`KEPT`] events over all partitions.

use std::collections::VecDeque;

use async_trait::async_trait;
use florin_application::Journal;
use florin_domain::TransferId;
use florin_domain::journal::RecordedEvent;
use florin_projections::ports::{JournalAway, JournalReader};
use tokio::sync::Mutex;

use super::PostgresJournal;
use super::heads::Heads;

/// How many events are kept, over all partitions: a second under full load, some 20 MB.
const KEPT: usize = 16_384;

/// A journal whose end is in memory.
pub struct RecentJournal {
    journal: PostgresJournal,
    heads: Heads,
    /// By partition, the last events that were read, without a gap.
    newest: Vec<Mutex<VecDeque<RecordedEvent>>>,
    kept: usize,
}

impl RecentJournal {
    /// Of a journal, with nothing in memory yet.
    pub fn new(journal: PostgresJournal, heads: Heads) -> Self {
        let partitions = journal.partitions();
        let newest = (0..partitions).map(|_| Mutex::default()).collect();
        Self { journal, heads, newest, kept: KEPT / partitions.max(1) as usize }
    }

    /// Whether a reader there may meet others.
    fn is_near(&self, partition: u32, after: u64) -> bool {
        let ahead = self.heads.head(partition).saturating_sub(after);
        usize::try_from(ahead).is_ok_and(|ahead| ahead <= self.kept)
    }
}

/// Where what comes after a position is.
enum Next {
    /// Here.
    Here(Vec<RecordedEvent>),
    /// It was here: the others are ahead of it.
    Gone,
    /// Nobody has read it yet.
    Unread,
}

fn after(newest: &VecDeque<RecordedEvent>, position: u64, limit: usize) -> Next {
    let (Some(first), Some(last)) = (newest.front(), newest.back()) else { return Next::Unread };
    if position >= last.position {
        return Next::Unread;
    }
    let Some(skipped) = (position + 1).checked_sub(first.position) else { return Next::Gone };
    let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
    Next::Here(newest.iter().skip(skipped).take(limit).cloned().collect())
}

/// Keeps what was read behind what is here, and drops what it does not follow.
fn keep(newest: &mut VecDeque<RecordedEvent>, page: &[RecordedEvent], kept: usize) {
    let Some(first) = page.first() else { return };
    match newest.back().map(|event| event.position) {
        Some(end) if first.position == end + 1 => {}
        Some(_) | None => newest.clear(),
    }
    newest.extend(page.iter().cloned());
    let surplus = newest.len().saturating_sub(kept);
    newest.drain(..surplus);
}

#[async_trait]
impl JournalReader for RecentJournal {
    async fn page(
        &self,
        partition: u32,
        position: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        let newest = self.newest.get(partition as usize);
        let Some(newest) = newest.filter(|_| self.is_near(partition, position)) else {
            return self.journal.page(partition, position, limit).await;
        };
        let mut newest = newest.lock().await;
        match after(&newest, position, limit) {
            Next::Here(events) => Ok(events),
            Next::Gone => {
                drop(newest);
                self.journal.page(partition, position, limit).await
            }
            Next::Unread => {
                // Held while Postgres is asked: whoever comes meanwhile wants the same.
                let page = self.journal.page(partition, position, limit).await?;
                keep(&mut newest, &page, self.kept);
                Ok(page)
            }
        }
    }

    async fn head(&self, partition: u32) -> Result<u64, JournalAway> {
        self.journal.head(partition).await
    }

    async fn wallet(
        &self,
        wallet: &str,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        self.journal.wallet(wallet, after, up_to, limit).await
    }

    async fn transfers(
        &self,
        ids: &[TransferId],
        up_to: u64,
    ) -> Result<Vec<RecordedEvent>, JournalAway> {
        self.journal.transfers(ids, up_to).await
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use florin_domain::journal::GENESIS;

    use super::*;

    fn events(positions: std::ops::RangeInclusive<u64>) -> Vec<RecordedEvent> {
        let event = |position| RecordedEvent {
            partition: 0,
            position,
            aggregate_type: "Wallet",
            aggregate_id: "alice".into(),
            sequence: position,
            event_type: "FundsDeposited".into(),
            event_version: "1.0".to_owned(),
            payload: String::new(),
            metadata: "{}".into(),
            balance: None,
            recorded_at: DateTime::UNIX_EPOCH,
            hash: GENESIS,
        };
        positions.map(event).collect()
    }

    /// The positions that are given, or why none are.
    fn given(newest: &VecDeque<RecordedEvent>, position: u64, limit: usize) -> String {
        match after(newest, position, limit) {
            Next::Here(events) => {
                format!("{:?}", events.iter().map(|event| event.position).collect::<Vec<_>>())
            }
            Next::Gone => "gone".to_owned(),
            Next::Unread => "unread".to_owned(),
        }
    }

    #[test]
    fn what_was_read_is_given_from_any_position_that_is_here() {
        let mut newest = VecDeque::new();
        assert_eq!(given(&newest, 0, 9), "unread");
        keep(&mut newest, &events(5..=7), 10);
        keep(&mut newest, &events(8..=9), 10);
        assert_eq!(given(&newest, 4, 99), "[5, 6, 7, 8, 9]");
        assert_eq!(given(&newest, 6, 2), "[7, 8]");
        assert_eq!(given(&newest, 3, 9), "gone");
        for end in [9, 12] {
            assert_eq!(given(&newest, end, 9), "unread", "after {end}");
        }
    }

    #[test]
    fn there_is_never_a_gap_and_never_too_much() {
        let mut newest = VecDeque::new();
        keep(&mut newest, &events(5..=7), 4);
        keep(&mut newest, &events(6..=7), 4);
        keep(&mut newest, &events(8..=10), 4);
        assert_eq!(given(&newest, 6, 9), "[7, 8, 9, 10]");
        keep(&mut newest, &events(12..=13), 4);
        assert_eq!(given(&newest, 11, 9), "[12, 13]");
        assert_eq!(given(&newest, 9, 9), "gone");
        // Overlapping, and further: it does not follow either.
        keep(&mut newest, &events(13..=15), 4);
        assert_eq!(given(&newest, 12, 9), "[13, 14, 15]");
    }
}

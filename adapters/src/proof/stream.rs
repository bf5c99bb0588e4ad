//! JetStream = journal, where JetStream still has the range.
//!
//! Every message that the stream has by now is read and held against the row of the journal that it is
//! a copy of: the whole event, the payload too. A stream is a copy that may lose, repeat and reorder;
//! what it lacks is told, and is no problem. Another event, or one that the journal does not have, is.
//!
//! It is read by a consumer of its own, which the server forgets by itself. Bounds: [`BATCH`] messages
//! in memory, [`MAX_RANGES`] ranges.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::{ErrorCode, Message};
use florin_application::journal::JournalError;
use florin_domain::journal::RecordedEvent;
use florin_projections::audit::Problems;
use futures::StreamExt as _;
use sqlx::PgPool;
use thiserror::Error;

use super::Head;
use crate::nats::connect::is_connected;
use crate::nats::message::event;
use crate::nats::stream::{LEDGER, jetstream};
use crate::postgres::follow;

/// How many messages are compared at a time: some megabytes, and enough that the round trips are
/// nothing.
const BATCH: usize = 1_000;

/// How long a batch is waited for. It comes within milliseconds.
const WAIT: Duration = Duration::from_secs(5);

/// How long the server keeps the consumer after it was last asked.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// How many ranges are told apart in a partition. The relay publishes in order, so that there is one,
/// and another one for every time that the server lost something.
const MAX_RANGES: usize = 1_000;

/// Why it is not known what the stream has.
#[derive(Debug, Error)]
pub enum StreamError {
    /// NATS is away.
    #[error("NATS is away")]
    Away,
    /// It does not answer as it should.
    #[error("the stream LEDGER cannot be read: {0}")]
    Nats(#[source] Box<dyn Error + Send + Sync>),
    /// Postgres is away.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What the stream has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Whether there is a stream.
    pub is_there: bool,
    /// How many messages were compared.
    pub messages: u64,
    /// By partition, the first and the last position of each range that it has.
    pub ranges: BTreeMap<u32, Ranges>,
}

/// The ranges of a partition that were met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    /// First to last.
    ranges: BTreeMap<u64, u64>,
    /// There were so many that some were joined: what lies between was not told apart.
    pub is_coarse: bool,
}

impl Ranges {
    fn add(&mut self, position: u64) {
        let before =
            self.ranges.range(..=position).next_back().map(|(first, last)| (*first, *last));
        match before {
            Some((_, last)) if position <= last => return,
            Some((first, last)) if position == last + 1 => {
                self.ranges.insert(first, position);
                self.join(first, position);
            }
            Some(_) | None => {
                self.ranges.insert(position, position);
                self.join(position, position);
            }
        }
        if self.ranges.len() > MAX_RANGES {
            self.is_coarse = true;
            // The first two become one.
            if let Some((first, _)) = self.ranges.pop_first()
                && let Some((_, last)) = self.ranges.pop_first()
            {
                self.ranges.insert(first, last);
            }
        }
    }

    /// Joins a range with the one behind it, if that follows.
    fn join(&mut self, first: u64, last: u64) {
        if let Some(end) = self.ranges.remove(&(last + 1)) {
            self.ranges.insert(first, end);
        }
    }

    /// What there is not, up to the head.
    pub fn lacks(&self, head: u64) -> Vec<(u64, u64)> {
        let mut lacks = Vec::new();
        let mut next = 1;
        for (first, last) in &self.ranges {
            if *first > next {
                lacks.push((next, *first - 1));
            }
            next = last + 1;
        }
        if next <= head {
            lacks.push((next, head));
        }
        lacks
    }
}

/// Compares all that the stream has with the journal.
///
/// # Errors
/// [`StreamError`]: then nothing is proved of the stream.
pub async fn compare(
    client: &Client,
    pool: &PgPool,
    heads: &[Head],
    problems: &mut Problems,
    mut progress: impl FnMut(u64, u64),
) -> Result<Held, StreamError> {
    if !is_connected(client).await {
        return Err(StreamError::Away);
    }
    let ranges = heads.iter().map(|head| (head.partition, Ranges::default())).collect();
    let mut held = Held { is_there: true, messages: 0, ranges };
    let Some((consumer, all)) = consumer(client).await? else {
        return Ok(Held { is_there: false, ..held });
    };
    let mut left = all;
    while left > 0 {
        let wanted = BATCH.min(usize::try_from(left).unwrap_or(BATCH));
        let batch = consumer.fetch().max_messages(wanted).expires(WAIT).messages().await;
        let mut batch = batch.map_err(|error| StreamError::Nats(error.into()))?;
        let mut messages = Vec::with_capacity(wanted);
        while let Some(message) = batch.next().await {
            messages.push(message.map_err(StreamError::Nats)?);
        }
        let Some(last) = messages.last() else {
            return Err(StreamError::Nats("it does not give what it has".into()));
        };
        // Less than was counted where the server has dropped some meanwhile.
        let pending = last.info().map_err(StreamError::Nats)?.pending;
        left = left.saturating_sub(messages.len() as u64).min(pending);
        held.messages += messages.len() as u64;
        take(pool, messages, &mut held, problems).await?;
        progress(held.messages, all);
    }
    Ok(held)
}

/// A consumer of all that there is, and how much that is; none where there is no stream.
async fn consumer(client: &Client) -> Result<Option<(Consumer<pull::Config>, u64)>, StreamError> {
    let context = jetstream(client.clone());
    let stream = match context.get_stream(LEDGER.name).await {
        Ok(stream) => stream,
        Err(error) if is_not_there(&error) => return Ok(None),
        Err(error) => return Err(StreamError::Nats(error.into())),
    };
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        inactive_threshold: FORGET_AFTER,
        memory_storage: true,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await;
    let consumer = consumer.map_err(|error| StreamError::Nats(error.into()))?;
    let all = consumer.cached_info().num_pending;
    Ok(Some((consumer, all)))
}

fn is_not_there(error: &GetStreamError) -> bool {
    match error.kind() {
        GetStreamErrorKind::JetStream(error) => error.error_code() == ErrorCode::STREAM_NOT_FOUND,
        GetStreamErrorKind::EmptyName
        | GetStreamErrorKind::Request
        | GetStreamErrorKind::InvalidStreamName => false,
    }
}

/// Holds a batch against the journal.
async fn take(
    pool: &PgPool,
    messages: Vec<Message>,
    held: &mut Held,
    problems: &mut Problems,
) -> Result<(), StreamError> {
    let mut by_partition: BTreeMap<u32, Vec<RecordedEvent>> = BTreeMap::new();
    for message in messages {
        match event(&message.message) {
            Ok(event) => by_partition.entry(event.partition).or_default().push(event),
            Err(error) => {
                let number = message.info().map_or(0, |info| info.stream_sequence);
                let stream = LEDGER.name;
                problems.add(None, format_args!("message {number} of {stream}: {error}"));
            }
        }
    }
    for (partition, copies) in by_partition {
        let positions: Vec<u64> = copies.iter().map(|event| event.position).collect();
        let events = events(pool, partition, &positions, problems).await?;
        for copy in copies {
            let place = (partition, copy.position);
            match events.get(&copy.position) {
                Some(event) if *event == copy => {}
                Some(_) => problems.add(place, "JetStream has another event there"),
                None => problems.add(place, "JetStream has an event that the journal has not"),
            }
            if let Some(ranges) = held.ranges.get_mut(&partition) {
                ranges.add(copy.position);
            }
        }
    }
    Ok(())
}

/// The journal's events at these positions.
async fn events(
    pool: &PgPool,
    partition: u32,
    positions: &[u64],
    problems: &mut Problems,
) -> Result<HashMap<u64, RecordedEvent>, JournalError> {
    let by_position = |events: Vec<RecordedEvent>| {
        events.into_iter().map(|event| (event.position, event)).collect()
    };
    match follow::at(pool, partition, positions).await {
        Ok(events) => return Ok(by_position(events)),
        Err(JournalError::Corrupt(_)) => {}
        Err(error @ JournalError::Unavailable(_)) => return Err(error),
    }
    // One of them cannot be read: each by itself, to learn which.
    let mut readable = Vec::new();
    for position in positions {
        match follow::at(pool, partition, &[*position]).await {
            Ok(events) => readable.extend(events),
            Err(error @ JournalError::Unavailable(_)) => return Err(error),
            Err(error @ JournalError::Corrupt(_)) => {
                problems.add((partition, *position), format_args!("beside JetStream: {error}"));
            }
        }
    }
    Ok(by_position(readable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_lacks_is_what_lies_between_its_ranges() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.lacks(3), [(1, 3)]);
        for position in [4, 5, 9, 7, 8, 5, 4] {
            ranges.add(position);
        }
        assert_eq!(ranges.lacks(12), [(1, 3), (6, 6), (10, 12)]);
        ranges.add(6);
        assert_eq!(ranges.lacks(9), [(1, 3)]);
        assert_eq!(ranges.lacks(4), [(1, 3)], "of a later one than the head nothing is said");
    }

    #[test]
    fn ranges_beyond_the_bound_are_joined() {
        let mut ranges = Ranges::default();
        for number in 0..=MAX_RANGES as u64 {
            ranges.add(2 * number + 1);
        }
        assert!(ranges.is_coarse);
        assert_eq!(ranges.ranges.len(), MAX_RANGES);
        let lacks = ranges.lacks(2 * MAX_RANGES as u64 + 1);
        assert_eq!(lacks.first(), Some(&(4, 4)), "what lies between the first two is not told");
    }
}

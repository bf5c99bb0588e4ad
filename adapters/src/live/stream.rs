//! One client's stream: pages of the journal at first, and what it is told from then on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::catch_up::Place;
use super::event::LiveEvent;
use super::follow::Followers;
use super::reader::{Reader, Taken};
use super::wanted::Wanted;
use super::{BACKOFF, Hub};

/// How many events are given at once: some 40 KB, in one write.
const AT_ONCE: usize = 64;

/// What comes next.
pub enum Step {
    /// The next events.
    Events(Vec<Arc<LiveEvent>>),
    /// None for a while; the stream has everything up to there, by partition, where that is known.
    Quiet(Vec<(u32, u64)>),
    /// Nothing any more.
    End(End),
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its client did not take what was there for it.
    Slow,
    /// The process stops.
    Stopping,
    /// It has lasted as long as streams do.
    Aged,
}

/// A stream. It is over when it is dropped.
pub struct Stream {
    hub: Arc<Hub>,
    reader: Arc<Reader>,
    places: Vec<Place>,
    /// Whose page is next.
    turn: usize,
    /// How long to wait after the next failure.
    wait: Duration,
    ends_at: Instant,
    silent_until: Instant,
    stopping: watch::Receiver<bool>,
    _followers: Arc<Followers>,
    _room: OwnedSemaphorePermit,
}

impl Drop for Stream {
    fn drop(&mut self) {
        for place in self.places.iter().filter(|place| place.is_joined) {
            if let Some(partition) = self.hub.partitions.get(place.partition as usize) {
                partition.leave(&self.reader);
            }
        }
    }
}

impl Stream {
    pub(super) fn new(
        hub: Arc<Hub>,
        room: OwnedSemaphorePermit,
        wanted: Wanted,
        after: &[u64],
        now: &[u64],
    ) -> Self {
        let bound = match wanted.wallet {
            Some(_) => hub.bounds.wallet_queue,
            None => hub.bounds.ledger_queue,
        };
        let place = |(partition, after): (u32, &u64)| {
            let target = now.get(partition as usize).copied().unwrap_or(*after);
            Place::new(partition, *after, target)
        };
        let opened = Instant::now();
        Self {
            places: wanted.partitions.clone().zip(after).map(place).collect(),
            reader: Arc::new(Reader::new(wanted, bound)),
            turn: 0,
            wait: BACKOFF.0,
            ends_at: opened + hub.bounds.age,
            silent_until: opened + hub.bounds.heartbeat,
            stopping: hub.stopping.subscribe(),
            _followers: hub.followers(),
            hub,
            _room: room,
        }
    }

    /// Waits for what comes next. May be given up and asked again.
    pub async fn next(&mut self) -> Step {
        let step = loop {
            if *self.stopping.borrow() {
                break Step::End(End::Stopping);
            }
            let now = Instant::now();
            if now >= self.ends_at {
                break Step::End(End::Aged);
            }
            if let Some(step) = self.taken() {
                break step;
            }
            if now >= self.silent_until {
                break Step::Quiet(self.positions().unwrap_or_default());
            }
            let until = self.silent_until.min(self.ends_at);
            let mut stopping = self.stopping.clone();
            let step = tokio::select! {
                _ = stopping.changed() => None,
                () = sleep_until(until) => None,
                step = self.look() => step,
            };
            if let Some(step) = step {
                break step;
            }
        };
        self.silent_until = Instant::now() + self.hub.bounds.heartbeat;
        step
    }

    /// What it was told, once it has caught up with everything before.
    fn taken(&self) -> Option<Step> {
        if !self.places.iter().all(|place| place.is_joined) {
            return None;
        }
        match self.reader.take(AT_ONCE) {
            Taken::Events(events) => Some(Step::Events(events)),
            Taken::Slow => Some(Step::End(End::Slow)),
            Taken::Nothing => None,
        }
    }

    /// Reads a page, or joins, or waits to be told; what it read.
    async fn look(&mut self) -> Option<Step> {
        if let Some(place) = self.next_behind() {
            return self.catch_up(place).await;
        }
        let mut has_joined = true;
        for place in self.places.iter_mut().filter(|place| !place.is_joined) {
            let Some(partition) = self.hub.partitions.get(place.partition as usize) else {
                continue;
            };
            has_joined = false;
            match partition.join(&self.reader, place.partition, place.position) {
                Ok(()) => place.is_joined = true,
                Err(at) => place.target = at,
            }
        }
        if has_joined {
            self.reader.woken().await;
        }
        None
    }

    /// The next partition that is behind, in turn.
    fn next_behind(&mut self) -> Option<usize> {
        let count = self.places.len();
        let from = self.turn;
        let behind = (from..from + count).map(|index| index % count.max(1)).find(|index| {
            self.places.get(*index).is_some_and(|place| !place.is_joined && place.is_behind())
        });
        self.turn = behind.map_or(0, |index| index + 1);
        behind
    }

    async fn catch_up(&mut self, place: usize) -> Option<Step> {
        let place = self.places.get_mut(place)?;
        match place.read(&self.hub, self.reader.wanted()).await {
            Ok(events) => {
                self.wait = BACKOFF.0;
                (!events.is_empty()).then_some(Step::Events(events))
            }
            Err(error) => {
                tracing::debug!(%error, "a stream waits for the journal");
                sleep(self.wait).await;
                self.wait = (self.wait * 2).min(BACKOFF.1);
                None
            }
        }
    }

    /// Up to where it has everything; unknown while there is something for it.
    fn positions(&self) -> Option<Vec<(u32, u64)>> {
        // Looked at first: what was handed on up to there is in the queue, or was taken from it.
        let at: Vec<u64> = self.hub.partitions.iter().map(super::Partition::at).collect();
        let told = self.reader.is_told()?;
        let position = |(place, told): (&Place, u64)| {
            let at = at.get(place.partition as usize).copied().unwrap_or(0);
            let position = if place.is_joined { told.max(at) } else { place.position };
            (place.partition, position)
        };
        Some(self.places.iter().zip(told).map(position).collect())
    }
}

//! What keeps a projection up to date in one partition, for as long as it is let.
//!
//! | it finds | it does |
//! |---|---|
//! | more than [`FAR`] events before it | reads the journal, a page ahead of the one it applies |
//! | events from its source | applies them in order; fills holes from the journal; skips what it has |
//! | a source that is silent for [`SILENCE`], or away | looks whether the journal goes on, and reads it |
//! | a checkpoint that another worker moved, or a crash took back | goes on from there |
//! | Postgres away | tries again, for as long as it takes |
//! | an event that cannot be applied | tries [`ATTEMPTS`] times, then sets it aside with its wallet |
//!
//! Nothing is applied twice, whatever a source does and however many workers there are: the
//! checkpoint moves in the transaction of the rows, and only from where it was known to be.
//! [`Runner::run`] may be dropped at any moment: what was not committed has not happened.
//!
//! Deliberately absent: leases. Two runners on one partition are correct and waste work; who runs
//! what is decided outside.

mod gather;
mod notes;
mod progress;

pub use progress::{Health, Progress, State};

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use florin_domain::journal::RecordedEvent;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::batch::{Audience, BatchError, Culprits, Task};
use crate::checkpoint::{self, Checkpoint};
use crate::ports::{JournalAway, JournalReader, Observer, Saved, Source};
use crate::read_model::{FoldError, Projection};
use gather::{Delivery, Next};
use progress::Meter;

/// The most events of a batch: a few megabytes, a transaction of some tens of milliseconds, and
/// enough that the round trips are shared by thousands.
pub const MAX_BATCH: usize = 5_000;

/// How long a source may be silent before the journal is asked whether there is something.
pub const SILENCE: Duration = Duration::from_secs(1);

/// From how many events on the journal is read instead of the source. Its pages come several times
/// faster than messages, so that a model that cannot keep pace with its source is soon near again: this
/// is a fifth of a second at 15,000 events a second.
pub const FAR: u64 = 3_000;

/// How far batches from the source begin apart while there is much to do, at least and at most: so
/// thousands of small appends a second become fifty transactions. The first event after a pause does not
/// wait.
pub const PACE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(60));

/// In between, how many times as long as it took a batch is waited for the next one. On a busy machine
/// batches take longer, become fewer and larger, and cost less an event.
const REST: u32 = 4;

/// How often a batch with an event that cannot be applied is tried before the event is set aside.
pub const ATTEMPTS: u32 = 3;

/// How long it waits after the first of these attempts; twice as long after each next one.
pub const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);

/// How long it waits before the first new try when Postgres is away, and at most.
pub const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How long it waits for a connection before Postgres counts as away.
pub const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// How long a batch may take: longer than any statement in it. What takes longer is given up and
/// tried again, because its connection may be dead.
pub const BATCH_TIME: Duration = Duration::from_secs(60);

/// What a runner works with.
pub struct Parts {
    /// The projection.
    pub model: Arc<dyn Projection>,
    /// In which partition.
    pub partition: u32,
    /// The read models' database. A runner has one connection of its own.
    pub database: PgConnectOptions,
    /// The truth.
    pub journal: Arc<dyn JournalReader>,
    /// Where events come from as long as all is well.
    pub source: Box<dyn Source>,
    /// Where it writes how it is.
    pub progress: Arc<Progress>,
    /// Who is told of each batch.
    pub observer: Arc<dyn Observer>,
}

/// Where the events of a batch come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Source,
    Journal,
}

/// A projection at work in one partition.
pub struct Runner {
    parts: Parts,
    connection: Option<PgConnection>,
    /// Where the projection is; `None` until it is read, and after it was found elsewhere.
    known: Option<Checkpoint>,
    /// Whether the source may be the only one to ask: `false` until the journal was.
    is_near: bool,
    /// When the next batch from the source may begin; at once if it is not said.
    next_batch: Option<Instant>,
    is_source_away: bool,
    is_retrying: bool,
    meter: Meter,
}

impl Runner {
    /// A runner that does nothing yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            connection: None,
            known: None,
            is_near: false,
            next_batch: None,
            is_source_away: false,
            is_retrying: false,
            meter: Meter::new(),
        }
    }

    /// Keeps the projection up to date until it is dropped.
    pub async fn run(mut self) -> Infallible {
        let mut pause = RETRY_PAUSE.0;
        loop {
            match self.step().await {
                Ok(()) => {
                    pause = RETRY_PAUSE.0;
                    self.note_recovery();
                }
                Err(error) => {
                    self.note_trouble(&error);
                    // Whatever state it is in: the next step begins with a new one.
                    self.connection = None;
                    self.known = None;
                    self.is_near = false;
                    sleep(pause).await;
                    pause = (pause * 2).min(RETRY_PAUSE.1);
                }
            }
        }
    }

    /// Takes what there is next.
    async fn step(&mut self) -> Result<(), BatchError> {
        let at = self.open().await?;
        if self.is_near {
            return self.follow().await;
        }
        let head = self.look(at).await?;
        if head.saturating_sub(at.position) > FAR {
            return self.catch_up(at).await;
        }
        self.is_near = true;
        Ok(())
    }

    /// Where the projection is.
    async fn open(&mut self) -> Result<Checkpoint, BatchError> {
        if let Some(known) = self.known {
            return Ok(known);
        }
        let (name, partition) = (self.parts.model.name(), self.parts.partition);
        let connection = self.connection().await?;
        let at = checkpoint::open(connection, name, partition).await?;
        self.publish(at);
        Ok(at)
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connecting = PgConnection::connect_with(&self.parts.database);
                timeout(CONNECT_WAIT, connecting).await.map_err(std::io::Error::from)??
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Where the journal ends.
    async fn look(&mut self, at: Checkpoint) -> Result<u64, JournalAway> {
        let head = self.parts.journal.head(self.parts.partition).await?;
        self.parts.progress.update(|health| {
            health.head = head.max(at.position);
            if head <= at.position {
                health.behind_since = None;
            }
        });
        Ok(head)
    }

    /// Applies the journal page by page, reading the next page meanwhile, until it is near the end.
    async fn catch_up(&mut self, from: Checkpoint) -> Result<(), BatchError> {
        self.state(State::CatchingUp);
        self.parts.source.skip();
        let mut page = self.read(from.position).await?;
        while let Some(last) = page.last().map(|event| event.position) {
            let journal = Arc::clone(&self.parts.journal);
            let partition = self.parts.partition;
            let ahead = tokio::spawn(async move { journal.page(partition, last, MAX_BATCH).await });
            let at = self.apply(&page, Way::Journal).await?;
            if page.len() < MAX_BATCH || at.position != last {
                // Near the end, or not where it thought: the page ahead is not needed.
                ahead.abort();
                break;
            }
            page = match ahead.await {
                Ok(read) => read?,
                Err(_) => self.read(last).await?,
            };
        }
        Ok(())
    }

    async fn read(&mut self, after: u64) -> Result<Vec<RecordedEvent>, JournalAway> {
        self.parts.journal.page(self.parts.partition, after, MAX_BATCH).await
    }

    /// Applies what the source delivers next.
    async fn follow(&mut self) -> Result<(), BatchError> {
        self.state(State::Following);
        if let Some(next) = self.next_batch.take() {
            sleep_until(next).await;
        }
        let events = self.deliveries().await;
        let heard = self.parts.source.heard();
        self.parts.progress.update(|health| health.head = health.head.max(heard));
        let begun = Instant::now();
        let is_full = events.len() >= MAX_BATCH;
        let at = self.open().await?;
        let before = self.known;
        if events.is_empty() && heard > at.position {
            self.fill(at, MAX_BATCH).await?;
        }
        let mut delivery = Delivery::new(events, self.parts.partition);
        loop {
            let at = self.open().await?;
            match delivery.after(at.position) {
                Next::Run(run) => {
                    self.apply(&run, Way::Source).await?;
                }
                Next::Hole(missing) => {
                    let missing = usize::try_from(missing).unwrap_or(MAX_BATCH).min(MAX_BATCH);
                    if !self.fill(at, missing).await? {
                        break;
                    }
                }
                Next::End => break,
            }
        }
        if self.known == before {
            // Silence, or only what is known already: perhaps the journal has more, or a crash of
            // Postgres has taken batches back, which an idle connection does not notice.
            self.known = None;
            let at = self.open().await?;
            if self.look(at).await? > at.position {
                self.fill(at, MAX_BATCH).await?;
            }
        }
        if is_full || self.lag() > FAR {
            // There may be much more: ask the journal first.
            self.is_near = false;
        } else {
            let pace = (begun.elapsed() * REST).clamp(PACE.0, PACE.1);
            self.next_batch = Some(begun + pace);
        }
        self.acknowledge().await;
        Ok(())
    }

    /// What the source has. It is not trusted to keep to the wait, nor to be there.
    async fn deliveries(&mut self) -> Vec<RecordedEvent> {
        let next = self.parts.source.next(MAX_BATCH, SILENCE);
        let trouble = match timeout(SILENCE * 2, next).await {
            Ok(Ok(events)) => {
                self.note_source(None);
                return events;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the source keeps silent for longer than it was asked to".to_owned(),
        };
        self.note_source(Some(trouble));
        Vec::new()
    }

    async fn acknowledge(&mut self) {
        if let Err(error) = self.parts.source.ack().await {
            self.note_source(Some(error.to_string()));
        }
    }

    /// Applies so many events from the journal; `false` if it has none, which is then not a hole but
    /// a source that tells of another journal.
    async fn fill(&mut self, at: Checkpoint, limit: usize) -> Result<bool, BatchError> {
        let partition = self.parts.partition;
        let page = self.parts.journal.page(partition, at.position, limit).await?;
        if page.is_empty() {
            let projection = self.parts.model.name();
            let position = at.position;
            tracing::error!(projection, partition, position, "the source is ahead of the journal");
            return Ok(false);
        }
        self.apply(&page, Way::Journal).await?;
        Ok(true)
    }

    /// Applies the events that follow the checkpoint: all of them, or none because another worker
    /// was faster. Answers with where the projection is then.
    async fn apply(
        &mut self,
        events: &[RecordedEvent],
        way: Way,
    ) -> Result<Checkpoint, BatchError> {
        let known = self.open().await?;
        let first = events.first().filter(|event| event.position > known.position);
        let last = events.last().map_or(known.position, |event| event.position);
        self.parts.progress.update(|health| {
            health.head = health.head.max(last);
            health.behind_since = first.map(|event| event.recorded_at);
        });
        let mut pause = ATTEMPT_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let culprits = match attempt {
                ATTEMPTS => Culprits::SetAside(ATTEMPTS),
                _ => Culprits::Fail,
            };
            let begun = Instant::now();
            match self.commit(known, events, culprits).await {
                Ok(reached) => {
                    self.publish(reached);
                    self.measure(events.len());
                    self.parts.observer.saved(&Saved {
                        projection: self.parts.model.name(),
                        partition: self.parts.partition,
                        events,
                        is_delivered: way == Way::Source,
                        took: begun.elapsed(),
                    });
                    return Ok(reached);
                }
                Err(BatchError::Moved) => {
                    self.known = None;
                    return self.open().await;
                }
                Err(BatchError::Culprit(error)) => {
                    self.note_culprit(&error, attempt);
                    sleep(pause).await;
                    pause *= 2;
                }
                Err(error @ (BatchError::Away(_) | BatchError::Journal(_))) => return Err(error),
            }
        }
        self.open().await
    }

    async fn commit(
        &mut self,
        known: Checkpoint,
        events: &[RecordedEvent],
        culprits: Culprits,
    ) -> Result<Checkpoint, BatchError> {
        let model = Arc::clone(&self.parts.model);
        let journal = Arc::clone(&self.parts.journal);
        let task = Task {
            model: &*model,
            partition: self.parts.partition,
            journal: &*journal,
            audience: Audience::Readers,
        };
        let connection = self.connection().await?;
        match timeout(BATCH_TIME, task.commit(connection, known, events, culprits)).await {
            Ok(committed) => committed,
            Err(elapsed) => Err(BatchError::Away(std::io::Error::from(elapsed).into())),
        }
    }
}

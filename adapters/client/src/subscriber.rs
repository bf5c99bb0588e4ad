//! A subscription at work: every event once and in order, whatever the stream does.
//!
//! ```text
//! JetStream ─pull▶ held ─judge┬ the next one ───────────────▶ batch ─▶ the service's transaction
//!                             ├ known already: skipped         ▲
//!                             └ something is missing ─▶ GET /events, page by page
//!                                                       ▲
//! every so often: is the journal ahead of where we were and have stayed? ─┘
//! ```
//!
//! | what happens | what follows |
//! |---|---|
//! | the stream repeats, or reorders | what is known is skipped by its position |
//! | the stream has lost events, or they have expired, or were purged | the gap is read from the journal |
//! | NATS restarts, or is away | the journal is followed by pages meanwhile |
//! | the consumer or the stream is deleted, or stalls | it is created anew, from about here |
//! | the service is away | calls are repeated, with bounded waits, until it is back |
//! | the process is killed | it begins after what it saved last |
//!
//! What a loss shows by depends on what is subscribed to: `order` has the table. Every [`CHECK`] the
//! journal is asked, so that a loss at the very end shows too.
//!
//! Bounds: [`PULL`] messages are held, a page has [`MAX_PAGE`] events.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_nats::{Client, Subject};
use chrono::{DateTime, Utc};
use florin_domain::partition_of;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::event::LedgerEvent;
use crate::http::{CallError, EventPage, EventQuery, Florin, MAX_PAGE};
use crate::order::{Order, Verdict};
use crate::positions::Positions;
use crate::source::{Delivered, Looked, Source};
use crate::subscription::{Subscription, Wanted};

/// How often the journal is asked whether something is missing: at first, and once nothing was.
const CHECK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// How often it is asked while nothing can be pulled.
const CHECK_AWAY: Duration = Duration::from_millis(500);

/// How often at most the consumer is created anew because the journal had what it did not deliver.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// The first and the longest wait before a service that is away is asked again, beyond the tries of a
/// call.
const AWAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// A subscription cannot go on.
#[derive(Debug, Error)]
pub enum SubscribeError {
    /// The service refuses, and will do so again: the token, or a position that its journal does not
    /// have, because the positions are those of another ledger.
    #[error("the journal cannot be read: {0}")]
    Refused(CallError),
    /// The pages of the journal are not dense: they are of another ledger, or of another service.
    #[error("what the service tells of partition {partition} does not follow on {after}")]
    Broken {
        /// The partition.
        partition: u32,
        /// After which position.
        after: u64,
    },
}

/// The next events, and up to where they bring the subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// In order within each partition. There may be none: then there is nothing of what is subscribed
    /// to up to there.
    pub events: Vec<LedgerEvent>,
    /// One for each partition that has moved.
    pub moves: Vec<Move>,
}

/// How far a partition has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Which.
    pub partition: u32,
    /// After which position.
    pub from: u64,
    /// Up to which.
    pub to: u64,
}

/// A subscription at work.
pub struct Subscriber {
    api: Florin,
    wanted: Wanted,
    source: Source,
    order: Order,
    /// Pulled, and not judged yet.
    held: VecDeque<Delivered>,
    /// Up to where partitions are to be read from the journal.
    behind: BTreeMap<u32, u64>,
    /// Whether something may be missing anywhere, which has to be looked after first.
    is_in_doubt: bool,
    /// The partitions that it is about.
    partitions: Vec<u32>,
    /// Up to where the last batches bring it.
    given: Positions,
    /// When the last event of each partition was recorded.
    since: BTreeMap<u32, DateTime<Utc>>,
    watch: Watch,
    /// What is acknowledged with the batch that was given last.
    reply: Option<Subject>,
}

/// When the journal was asked last, and what it said.
struct Watch {
    next: Instant,
    every: Duration,
    heads: Positions,
    at: Positions,
    is_away: bool,
    renew_from: Instant,
}

impl Subscriber {
    /// Begins after these positions: those that the service saved, those of
    /// [`Bootstrap`](crate::Bootstrap), or `Positions::default()` for all events.
    ///
    /// # Errors
    /// [`SubscribeError`] when the service refuses. One that is away is waited for.
    pub async fn open(
        api: Florin,
        nats: Client,
        subscription: Subscription,
        after: Positions,
    ) -> Result<Self, SubscribeError> {
        let heads = heads(&api).await?;
        let count = u32::try_from(heads.len()).unwrap_or(u32::MAX);
        let partitions: Vec<u32> = match &subscription.wanted {
            Wanted::Wallet(id) => vec![partition_of(id, count)],
            Wanted::All | Wanted::Type(_) => heads.iter().map(|(partition, _)| partition).collect(),
        };
        let at: Positions =
            partitions.iter().map(|partition| (*partition, after.of(*partition))).collect();
        let now = Instant::now();
        let mut subscriber = Self {
            source: Source::new(nats, &subscription),
            order: Order::new(subscription.wanted.clone(), at.clone()),
            wanted: subscription.wanted,
            api,
            held: VecDeque::new(),
            behind: BTreeMap::new(),
            is_in_doubt: false,
            partitions,
            given: at.clone(),
            since: BTreeMap::new(),
            watch: Watch {
                next: now + CHECK.0,
                every: CHECK.0,
                heads,
                at,
                is_away: false,
                renew_from: now + CHECK.1,
            },
            reply: None,
        };
        subscriber.look_back().await?;
        Ok(subscriber)
    }

    /// Up to where it has given events.
    pub fn positions(&self) -> &Positions {
        &self.given
    }

    /// Waits for the next events. May be given up and asked again.
    ///
    /// # Errors
    /// [`SubscribeError`] when it is of no use to ask again.
    pub async fn next(&mut self) -> Result<Batch, SubscribeError> {
        loop {
            if self.is_in_doubt {
                self.look_everywhere().await?;
            }
            if let Some((partition, up_to)) = self.next_behind() {
                if let Some(batch) = self.repair(partition, up_to).await? {
                    return Ok(batch);
                }
                continue;
            }
            if let Some(batch) = self.judge() {
                return Ok(batch);
            }
            if self.is_in_doubt || !self.held.is_empty() {
                continue;
            }
            // All of it was known, and is saved: the server need not send it again.
            self.acknowledge().await;
            if Instant::now() >= self.watch.next {
                self.check().await?;
                continue;
            }
            let since = self.recorded_since();
            match self.source.next(&mut self.held, since, self.watch.next).await {
                Ok(Looked::Pulled) => {
                    if !self.held.is_empty() {
                        self.watch.is_away = false;
                    }
                }
                Ok(Looked::Opened(deliveries)) => self.opened(deliveries),
                Err(_) => {
                    self.watch.is_away = true;
                    self.watch.next = self.watch.next.min(Instant::now() + CHECK_AWAY);
                }
            }
        }
    }

    /// What was given is saved: JetStream need not send it again. Without this it does, which is
    /// skipped.
    pub async fn acknowledge(&mut self) {
        if let Some(reply) = self.reply.take() {
            self.source.acknowledge(reply).await;
        }
    }

    /// The partition that is to be read from the journal, if there is one.
    fn next_behind(&mut self) -> Option<(u32, u64)> {
        let positions = self.order.positions();
        self.behind.retain(|partition, up_to| positions.of(*partition) < *up_to);
        self.behind.first_key_value().map(|(partition, up_to)| (*partition, *up_to))
    }

    /// Reads a page of the journal.
    async fn repair(
        &mut self,
        partition: u32,
        up_to: u64,
    ) -> Result<Option<Batch>, SubscribeError> {
        let after = self.order.positions().of(partition);
        let query = EventQuery { wanted: &self.wanted, partition, after, limit: MAX_PAGE };
        let page = page(&self.api, query).await?;
        let is_over = !page.has_more && page.next_after < up_to;
        match self.order.take_page(partition, page).filter(|_| !is_over) {
            Some(events) => {
                if let Some(last) = events.last() {
                    self.since.insert(partition, last.recorded_at);
                }
                tracing::debug!(partition, after, events = events.len(), "read from the journal");
                Ok(self.batch(events))
            }
            None => Err(SubscribeError::Broken { partition, after }),
        }
    }

    /// Takes what is held, as far as it goes.
    fn judge(&mut self) -> Option<Batch> {
        let mut events = Vec::new();
        while let Some(front) = self.held.front() {
            let (partition, position) = (front.event.partition, front.event.position);
            match self.order.judge(&front.event, front.number) {
                Verdict::Gap => {
                    self.behind.insert(partition, position);
                    break;
                }
                Verdict::Lost => {
                    self.is_in_doubt = true;
                    break;
                }
                verdict @ (Verdict::Next | Verdict::Repeat | Verdict::Foreign) => {
                    let Some(Delivered { event, reply, .. }) = self.held.pop_front() else { break };
                    self.reply = reply.or(self.reply.take());
                    if verdict == Verdict::Next {
                        self.order.take(&event);
                        self.since.insert(partition, event.recorded_at);
                        events.push(event);
                    }
                }
            }
        }
        self.batch(events)
    }

    /// A batch, if there is anything to be saved.
    fn batch(&mut self, events: Vec<LedgerEvent>) -> Option<Batch> {
        let mut moves = Vec::new();
        for (partition, to) in self.order.positions().iter() {
            let from = self.given.of(partition);
            if from < to {
                moves.push(Move { partition, from, to });
            }
        }
        for Move { partition, to, .. } in &moves {
            self.given.advance(*partition, *to);
        }
        (!moves.is_empty()).then_some(Batch { events, moves })
    }

    /// The consumer was opened: what it delivered before to nobody is not to be waited for.
    fn opened(&mut self, deliveries: Option<u64>) {
        self.held.clear();
        self.watch.is_away = false;
        self.order.deliveries_after(deliveries);
        // Of all events it shows by the positions.
        self.is_in_doubt = self.wanted != Wanted::All;
    }

    /// Something may be missing anywhere: all partitions are to be read up to where they are now.
    async fn look_everywhere(&mut self) -> Result<(), SubscribeError> {
        let heads = heads(&self.api).await?;
        for partition in &self.partitions {
            self.behind.insert(*partition, heads.of(*partition));
        }
        self.watch.heads = heads;
        self.is_in_doubt = false;
        Ok(())
    }

    /// Asks the journal. Where it had been ahead at the last look, and nothing has come since, what is
    /// missing is read from it.
    async fn check(&mut self) -> Result<(), SubscribeError> {
        let heads = heads(&self.api).await?;
        let (at, now) = (self.order.positions().clone(), Instant::now());
        let (is_away, is_exact) = (self.watch.is_away, self.wanted == Wanted::All);
        let mut is_missing = false;
        for partition in &self.partitions {
            let (known, here) = (self.watch.heads.of(*partition), at.of(*partition));
            if is_away {
                self.behind.insert(*partition, heads.of(*partition));
            } else if here < known && here == self.watch.at.of(*partition) {
                is_missing = true;
                // Of all events, what is missing may be on its way still: a page, and then a look.
                let page = here.saturating_add(u64::from(MAX_PAGE));
                self.behind.insert(*partition, if is_exact { known.min(page) } else { known });
            }
        }
        // Of some events, the journal being ahead says nothing: there need not be any.
        let is_at_fault = is_missing && is_exact;
        if is_at_fault && now >= self.watch.renew_from {
            tracing::warn!("the consumer does not deliver what there is: it is created anew");
            self.source.renew();
            self.watch.renew_from = now + RENEW_EVERY;
        }
        let every = if is_at_fault { CHECK.0 } else { (self.watch.every * 2).min(CHECK.1) };
        let next = now + if is_away { CHECK_AWAY } else { every };
        let renew_from = self.watch.renew_from;
        self.watch = Watch { next, every, heads, at, is_away, renew_from };
        Ok(())
    }

    /// When the events were recorded from which on something may be missing; none if that is not known.
    fn recorded_since(&self) -> Option<DateTime<Utc>> {
        let all = self.partitions.iter().map(|partition| self.since.get(partition).copied());
        all.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// When the last events were recorded that the service has: from there on a consumer that must be
    /// created delivers.
    async fn look_back(&mut self) -> Result<(), SubscribeError> {
        for partition in self.partitions.clone() {
            let Some(after) = self.order.positions().of(partition).checked_sub(1) else { continue };
            let query = EventQuery { wanted: &Wanted::All, partition, after, limit: 1 };
            match page(&self.api, query).await?.events.first() {
                Some(last) => drop(self.since.insert(partition, last.recorded_at)),
                None => return Err(SubscribeError::Broken { partition, after }),
            }
        }
        Ok(())
    }

    /// Nothing is pulled until it is next asked for events.
    pub(crate) fn pause(&mut self) {
        self.source.pause();
    }
}

/// The waits for a service that is away.
struct Away(Duration);

impl Default for Away {
    fn default() -> Self {
        Self(AWAY.0)
    }
}

impl Away {
    /// Waits, if it is of use to ask again.
    async fn wait(&mut self, error: CallError) -> Result<(), SubscribeError> {
        let is_passing = match &error {
            CallError::Problem(problem) => problem.status == 429 || problem.status >= 500,
            CallError::Unreachable { .. } => true,
            CallError::Unreadable(_) | CallError::Event(_) | CallError::Url(_) => false,
        };
        if !is_passing {
            return Err(SubscribeError::Refused(error));
        }
        tracing::warn!(%error, "the journal cannot be read for now");
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(AWAY.1);
        Ok(())
    }
}

/// Where the journal ends, once the service says it.
async fn heads(api: &Florin) -> Result<Positions, SubscribeError> {
    let mut away = Away::default();
    loop {
        match api.heads().await {
            Ok(heads) => return Ok(heads),
            Err(error) => away.wait(error).await?,
        }
    }
}

/// A page of the journal, once the service gives it.
async fn page(api: &Florin, query: EventQuery<'_>) -> Result<EventPage, SubscribeError> {
    let mut away = Away::default();
    loop {
        match api.events(query).await {
            Ok(answer) => return Ok(answer.value),
            Err(error) => away.wait(error).await?,
        }
    }
}

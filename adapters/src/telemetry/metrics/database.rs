//! What Postgres knows, for whoever asks for figures: how far everything behind the journal is, how
//! large that is, and what waits for somebody.
//!
//! It is read by the functions that `GET /projections` and `florin doctor` ask, when somebody asks for
//! figures, and then stands for [`FRESH`]. While Postgres is away none of it is told, and
//! `florin.database.up` is 0: all else is told as always.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use florin_application::Clock as _;
use florin_projections::dead_letters;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use sqlx::PgPool;
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Metrics;
use super::sums::Sums;
use crate::clock::SystemClock;
use crate::postgres::backlog::{Backlog, backlog};
use crate::postgres::{ConnectError, PostgresJournal, connect_sized};
use crate::reads::{Standings, StandingsError, standings};
use crate::reports::ReportDesk;

/// How long what was read stands: less than any scraper's pace, so that two of them ask once.
const FRESH: Duration = Duration::from_secs(5);

/// How often it is read for a collector, to which figures are sent every minute unless said.
const PACE: Duration = Duration::from_secs(15);

/// How long it may take to read: less than the ten seconds that Prometheus waits.
const READ_TIME: Duration = Duration::from_secs(3);

/// How many connections it takes: one for the figures, one for a trial balance that is under way.
const CONNECTIONS: u32 = 2;

/// What Postgres knows.
pub struct Database {
    pool: PgPool,
    known: Arc<Mutex<Known>>,
    /// Held by who reads: whoever comes meanwhile finds what they have read.
    turn: tokio::sync::Mutex<()>,
    sums: Sums,
}

/// What is told of a database among the figures: that it does not answer, until it is watched.
/// Cheap to clone.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Known>>);

impl Told {
    /// Begins to tell.
    pub fn among(metrics: &Metrics) -> Self {
        let this = Self::default();
        observe(metrics.meter(), &this.0);
        this
    }
}

#[derive(Default)]
struct Known {
    read_at: Option<Instant>,
    /// None while Postgres is away.
    figures: Option<Figures>,
}

struct Figures {
    standings: Standings,
    letters: Vec<(String, u64)>,
    backlog: Backlog,
}

/// Postgres does not answer.
#[derive(Debug, Error)]
enum Away {
    #[error(transparent)]
    Standings(#[from] StandingsError),
    #[error(transparent)]
    Figures(#[from] sqlx::Error),
    #[error("it does not answer")]
    Late(#[from] tokio::time::error::Elapsed),
}

impl Database {
    /// Has it told, from the first [`Self::refresh`] on. It has connections of its own, for the others
    /// have work.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL is malformed.
    pub fn watch(
        metrics: &Metrics,
        Told(known): Told,
        database_url: &str,
        journal: &PostgresJournal,
    ) -> Result<Self, ConnectError> {
        let pool = connect_sized(database_url, CONNECTIONS)?;
        let journal = Arc::new(journal.clone());
        let sums = Sums::new(ReportDesk::new(pool.clone(), journal, Arc::new(SystemClock)));
        sums.observe(metrics.meter());
        Ok(Self { pool, known, turn: tokio::sync::Mutex::default(), sums })
    }

    /// Reads it anew, unless that was done a moment ago.
    pub async fn refresh(&self) {
        let _turn = self.turn.lock().await;
        if lock(&self.known).read_at.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        let read = self.read().await;
        if let Err(error) = &read
            && lock(&self.known).figures.is_some()
        {
            tracing::warn!(%error, "the figures go without Postgres");
        }
        let is_there = read.is_ok();
        *lock(&self.known) = Known { read_at: Some(Instant::now()), figures: read.ok() };
        if is_there {
            self.sums.make_soon();
        }
    }

    /// Reads it anew for ever, for a collector that does not ask.
    pub async fn follow(&self) -> Infallible {
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.refresh().await;
        }
    }

    async fn read(&self) -> Result<Figures, Away> {
        let read = async {
            Ok(Figures {
                standings: standings(&self.pool, SystemClock.now(), |_, _| 0).await?,
                letters: dead_letters::open(&self.pool).await?,
                backlog: backlog(&self.pool).await?,
            })
        };
        timeout(READ_TIME, read).await?
    }
}

/// The lock is held for moments only, and nothing in them can fail half-way.
fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a figure has to tell, a number with its labels at a time.
type Tell<'a, T> = &'a mut dyn FnMut(T, &[KeyValue]);

/// A figure of counts: its name, what it counts, and where they are.
fn counts(
    (meter, known): (&Meter, &Arc<Mutex<Known>>),
    (name, unit, description): (&'static str, &'static str, &'static str),
    read: impl Fn(&Figures, Tell<'_, u64>) + Send + Sync + 'static,
) {
    let known = Arc::clone(known);
    let gauge = meter.u64_observable_gauge(name).with_unit(unit).with_description(description);
    gauge
        .with_callback(move |gauge| {
            if let Some(figures) = &lock(&known).figures {
                read(figures, &mut |count, labels| gauge.observe(count, labels));
            }
        })
        .build();
}

/// The same of seconds.
fn seconds(
    (meter, known): (&Meter, &Arc<Mutex<Known>>),
    (name, description): (&'static str, &'static str),
    read: impl Fn(&Figures, Tell<'_, f64>) + Send + Sync + 'static,
) {
    let known = Arc::clone(known);
    let gauge = meter.f64_observable_gauge(name).with_unit("s").with_description(description);
    gauge
        .with_callback(move |gauge| {
            if let Some(figures) = &lock(&known).figures {
                read(figures, &mut |seconds, labels| gauge.observe(seconds, labels));
            }
        })
        .build();
}

fn observe(meter: &Meter, known: &Arc<Mutex<Known>>) {
    let is_up = Arc::clone(known);
    meter
        .u64_observable_gauge("florin.database.up")
        .with_description("1 if Postgres answered when it was last asked for figures, else 0.")
        .with_callback(move |gauge| {
            gauge.observe(u64::from(lock(&is_up).figures.is_some()), &[]);
        })
        .build();
    observe_models((meter, known));
    observe_relay((meter, known));
    observe_backlog((meter, known));
}

fn partition(partition: u32) -> KeyValue {
    KeyValue::new("partition", i64::from(partition))
}

fn std(lag: chrono::TimeDelta) -> f64 {
    lag.to_std().unwrap_or_default().as_secs_f64()
}

fn observe_models(to: (&Meter, &Arc<Mutex<Known>>)) {
    let labels = |of: &crate::reads::Standing| {
        let projection = KeyValue::new("projection", of.status.projection.clone());
        [projection, partition(of.status.partition)]
    };
    counts(
        to,
        (
            "florin.projection.lag_events",
            "{event}",
            "How many events a read model lacks in a partition.",
        ),
        move |figures, tell| {
            figures.standings.projections.iter().for_each(|of| tell(of.status.lag(), &labels(of)));
        },
    );
    seconds(
        to,
        (
            "florin.projection.lag",
            "For how long a read model has lacked the next event; 0 for one that has never run.",
        ),
        move |figures, tell| {
            figures.standings.projections.iter().for_each(|of| tell(std(of.lag), &labels(of)));
        },
    );
    counts(
        to,
        (
            "florin.projection.parked",
            "{wallet}",
            "How many wallets stand still in a read model, behind an event that it could not apply.",
        ),
        move |figures, tell| {
            let all = figures.standings.projections.iter();
            all.for_each(|of| tell(of.status.parked.into(), &labels(of)));
        },
    );
    counts(
        to,
        (
            "florin.projection.held",
            "{process}",
            "Whether a process works on a read model in a partition.",
        ),
        move |figures, tell| {
            let all = figures.standings.projections.iter();
            all.for_each(|of| tell(of.holder.is_some().into(), &labels(of)));
        },
    );
}

fn observe_relay(to: (&Meter, &Arc<Mutex<Known>>)) {
    counts(
        to,
        ("florin.relay.lag_events", "{event}", "How many events of a partition are not published."),
        |figures, tell| {
            for of in &figures.standings.relay {
                tell(of.head.saturating_sub(of.cursor), &[partition(of.partition)]);
            }
        },
    );
    seconds(
        to,
        ("florin.relay.lag", "For how long the oldest event has waited to be published."),
        |figures, tell| {
            let all = figures.standings.relay.iter();
            all.for_each(|of| tell(std(of.lag), &[partition(of.partition)]));
        },
    );
    counts(
        to,
        ("florin.journal.events", "{event}", "How many events a partition of the journal has."),
        |figures, tell| {
            let all = figures.standings.relay.iter();
            all.for_each(|of| tell(of.head, &[partition(of.partition)]));
        },
    );
}

fn observe_backlog(to: (&Meter, &Arc<Mutex<Known>>)) {
    counts(
        to,
        (
            "florin.dead_letters.open",
            "{letter}",
            "How many dead letters nobody has dealt with, by what could not deal with them.",
        ),
        |figures, tell| {
            for (projection, open) in &figures.letters {
                tell(*open, &[KeyValue::new("projection", projection.clone())]);
            }
        },
    );
    counts(
        to,
        ("florin.journal.size", "By", "How large the journal is on the disk, with its indexes."),
        |figures, tell| tell(figures.backlog.journal_bytes, &[]),
    );
    counts(
        to,
        ("florin.transfers.open", "{transfer}", "How many transfers have not ended."),
        |figures, tell| tell(figures.backlog.transfers, &[]),
    );
    counts(
        to,
        ("florin.operations.open", "{operation}", "How many operations have not ended."),
        |figures, tell| tell(figures.backlog.operations, &[]),
    );
    counts(
        to,
        (
            "florin.intake.untold",
            "{outcome}",
            "How many outcomes of their transactions other services have not been told.",
        ),
        |figures, tell| tell(figures.backlog.outcomes, &[]),
    );
}

//! How far everything behind the journal is: each read model in each partition, and the relay.
//!
//! All of it is read from the database but the rate, which this process has seen. So every process
//! says the same, whichever of them does the work.

use chrono::{DateTime, TimeDelta, Utc};
use florin_application::journal::JournalError;
use florin_projections::checkpoint::{self, Status};
use florin_projections::models;
use florin_projections::runner::FAR;
use sqlx::PgPool;
use thiserror::Error;

use super::Reads;
use crate::nats::relay::lease_of;
use crate::postgres::lease::{self, LeaseHolder};
use crate::postgres::relay_cursor::{self, Unpublished};
use crate::worker::lease_of_projection;

/// For how long a model may stand still before something: longer than a takeover.
pub const STALL: TimeDelta = TimeDelta::seconds(5);

/// What a read model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No process works on it.
    Idle,
    /// It is far behind, and takes in the journal.
    CatchingUp,
    /// It takes in events as they come.
    Following,
    /// It has lacked an event for longer than [`STALL`], and has not moved since.
    Stalled,
}

impl State {
    /// As operators are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::CatchingUp => "catching-up",
            Self::Following => "following",
            Self::Stalled => "stalled",
        }
    }
}

/// A read model in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where it is, and where the journal ends.
    pub status: Status,
    /// For how long it has lacked the next event.
    pub lag: TimeDelta,
    /// How many events a second it took in lately.
    pub rate: u64,
    /// What it does.
    pub state: State,
    /// Which process works on it.
    pub holder: Option<String>,
}

/// The relay of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayStanding {
    /// Which.
    pub partition: u32,
    /// Up to where the journal is published.
    pub cursor: u64,
    /// Where the journal ends.
    pub head: u64,
    /// For how long the next event has waited.
    pub lag: TimeDelta,
    /// Which process works on it.
    pub holder: Option<String>,
}

/// Everything behind the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standings {
    /// The read models, by name and partition.
    pub projections: Vec<Standing>,
    /// The relay, by partition.
    pub relay: Vec<RelayStanding>,
}

/// Postgres is away.
#[derive(Debug, Error)]
pub enum StandingsError {
    /// While the read models were asked.
    #[error(transparent)]
    Models(#[from] sqlx::Error),
    /// While the journal was.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Reads {
    /// How far everything is.
    ///
    /// # Errors
    /// [`StandingsError`].
    pub async fn standings(&self, now: DateTime<Utc>) -> Result<Standings, StandingsError> {
        let rate = |model: &str, partition| self.inner.board.rate(model, partition);
        standings(&self.inner.pool, now, rate).await
    }
}

/// How far everything is; the rate of a model in a partition is as whoever asks knows it.
///
/// # Errors
/// [`StandingsError`].
pub async fn standings(
    pool: &PgPool,
    now: DateTime<Utc>,
    rate: impl Fn(&str, u32) -> u64,
) -> Result<Standings, StandingsError> {
    let partitions = relay_cursor::unpublished(pool).await?;
    let statuses = checkpoint::status(pool).await?;
    let holders = lease::holders(pool).await?;
    let mut standings = Standings { projections: Vec::new(), relay: Vec::new() };
    for model in models::all() {
        for Unpublished { partition, head, .. } in &partitions {
            let is_it = |status: &&Status| {
                status.projection == model.name() && status.partition == *partition
            };
            let status = statuses.iter().find(is_it).cloned();
            let status = status.unwrap_or_else(|| unbegun(model.name(), *partition, *head));
            let holder = holder(&holders, &lease_of_projection(model.name(), *partition));
            let rate = rate(model.name(), *partition);
            standings.projections.push(Standing::of(status, holder, rate, now));
        }
    }
    for Unpublished { partition, cursor, head, since } in partitions {
        let holder = holder(&holders, &lease_of(partition));
        let lag = lag(since, now);
        standings.relay.push(RelayStanding { partition, cursor, head, lag, holder });
    }
    Ok(standings)
}

/// For how long something has waited since a moment, if it does.
fn lag(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> TimeDelta {
    since.map_or(TimeDelta::zero(), |since| (now - since).max(TimeDelta::zero()))
}

/// Of a model that has never run there.
fn unbegun(model: &str, partition: u32, head: u64) -> Status {
    Status {
        projection: model.to_owned(),
        partition,
        checkpoint: 0,
        head,
        behind_since: None,
        parked: 0,
        moved_at: None,
    }
}

fn holder(holders: &[LeaseHolder], name: &str) -> Option<String> {
    holders.iter().find(|lease| lease.name == name).map(|lease| lease.holder.clone())
}

impl Standing {
    fn of(status: Status, holder: Option<String>, rate: u64, now: DateTime<Utc>) -> Self {
        let behind = lag(status.behind_since, now);
        let stood = status.moved_at.map_or(TimeDelta::MAX, |at| lag(Some(at), now));
        let state = match &holder {
            None => State::Idle,
            Some(_) if behind > STALL && stood > STALL => State::Stalled,
            Some(_) if status.lag() > FAR => State::CatchingUp,
            Some(_) => State::Following,
        };
        Self { status, lag: behind, rate, state, holder }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    /// A model that lacks so many events since a second and moved at another, at second 100.
    fn state(held: bool, lag: u64, since: i64, moved: i64) -> State {
        let status = Status {
            head: lag,
            behind_since: (lag > 0).then(|| moment(since)),
            moved_at: Some(moment(moved)),
            ..unbegun("stats", 0, 0)
        };
        Standing::of(status, held.then(|| "somebody".to_owned()), 0, moment(100)).state
    }

    #[test]
    fn a_model_is_told_by_what_it_lacks_and_since_when() {
        assert_eq!(state(false, 5, 1, 1), State::Idle);
        assert_eq!(state(true, 0, 1, 1), State::Following);
        assert_eq!(state(true, 5, 99, 1), State::Following, "a new event after a long pause");
        assert_eq!(state(true, FAR + 1, 1, 99), State::CatchingUp);
        assert_eq!(state(true, 5, 90, 90), State::Stalled);
        assert_eq!(state(true, FAR + 1, 1, 90), State::Stalled);
    }
}

//! How far everything behind the journal is, as JSON.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use utoipa::ToSchema;

use super::answer::{self, Time};
use super::position::as_of;
use super::problem::Problem;
use crate::reads::{RelayStanding, Standing, Standings};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Standings)]
pub(super) struct StandingsAnswer<'a> {
    data: Vec<ProjectionAnswer<'a>>,
    relay: Vec<RelayAnswer<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProjectionStanding)]
struct ProjectionAnswer<'a> {
    name: &'a str,
    partition: u32,
    state: &'static str,
    checkpoint: u64,
    head: u64,
    lag_events: u64,
    lag_seconds: f64,
    parked: u32,
    rate: u64,
    holder: Option<&'a str>,
    moved_at: Option<Time>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RelayStanding)]
struct RelayAnswer<'a> {
    partition: u32,
    published: u64,
    head: u64,
    lag_events: u64,
    holder: Option<&'a str>,
}

impl<'a> From<&'a Standing> for ProjectionAnswer<'a> {
    fn from(standing: &'a Standing) -> Self {
        let Standing { status, lag, rate, state, holder } = standing;
        Self {
            name: &status.projection,
            partition: status.partition,
            state: state.name(),
            checkpoint: status.checkpoint,
            head: status.head,
            lag_events: status.lag(),
            lag_seconds: lag.to_std().unwrap_or_default().as_secs_f64(),
            parked: status.parked,
            rate: *rate,
            holder: holder.as_deref(),
            moved_at: status.moved_at.map(Time),
        }
    }
}

impl<'a> From<&'a RelayStanding> for RelayAnswer<'a> {
    fn from(standing: &'a RelayStanding) -> Self {
        let RelayStanding { partition, cursor, head, holder, .. } = standing;
        Self {
            partition: *partition,
            published: *cursor,
            head: *head,
            lag_events: head.saturating_sub(*cursor),
            holder: holder.as_deref(),
        }
    }
}

/// All of it, as of the ends of the partitions.
pub(super) fn standings(standings: &Standings) -> Result<Response, Problem> {
    let body = StandingsAnswer {
        data: standings.projections.iter().map(ProjectionAnswer::from).collect(),
        relay: standings.relay.iter().map(RelayAnswer::from).collect(),
    };
    let heads: Vec<(u32, u64)> =
        standings.relay.iter().map(|relay| (relay.partition, relay.head)).collect();
    Ok(as_of(answer::json(StatusCode::OK, &body)?, &heads))
}

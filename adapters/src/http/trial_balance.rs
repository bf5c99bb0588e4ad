//! The trial balance: as of when it is asked for, and how it looks as JSON.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use florin_domain::Currency;
use florin_domain::upcast::UnreadableEvent;
use florin_projections::trial_balance::{Figures, MAX_FOLDED, TrialBalance, TrialBalanceError};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use utoipa::{IntoParams, ToSchema};

use super::answer;
use super::code::Code;
use super::openapi::types;
use super::position::as_of;
use super::problem::{Member, Problem};
use super::query::{invalid, parameters};
use crate::moment::{Moment, NoMoment};
use crate::reads::ReadError;
use crate::reports::{REPORT_TIME, ReportError, When};

/// The query as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// As of then: a time (RFC 3339), or a position of every partition as `Florin-Position` gives it.
    #[param(value_type = Option<String>, example = "2026-01-31T12:00:00Z")]
    at: Option<String>,
}

/// Reads `at`: a time or positions; now without.
pub(super) fn asked(uri: &Uri, partitions: u32) -> Result<When, Problem> {
    let Parameters { at } = parameters(uri)?;
    let Some(text) = at else { return Ok(When::Now) };
    match text.parse() {
        Ok(Moment::Time(time)) => Ok(When::Time(time)),
        Ok(Moment::Positions(positions)) => {
            let positions = positions.by_partition(partitions);
            positions.map(When::Positions).map_err(|_| invalid("at", NoMoment))
        }
        Err(error) => Err(invalid("at", error)),
    }
}

/// Refuses an answer of before the positions that were asked for.
pub(super) fn check(
    least: &[(u32, u64)],
    asked: &When,
    answer: &TrialBalance,
) -> Result<(), Problem> {
    let position = |of: u32| answer.positions.iter().find(|(partition, _)| *partition == of);
    for (partition, wanted) in least.iter().copied() {
        let position = position(partition).map_or(0, |(_, position)| *position);
        if position < wanted {
            return Err(match asked {
                When::Now => {
                    ReadError::Behind { model: "journal", partition, position, wanted }.into()
                }
                When::Time(_) | When::Positions(_) => {
                    invalid("at", "it is before `minPosition`: send one of them")
                }
            });
        }
    }
    Ok(())
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TrialBalance)]
pub(super) struct TrialBalanceAnswer {
    /// What all figures are as of.
    positions: Vec<PositionAnswer>,
    data: Vec<FiguresAnswer>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PartitionPosition)]
struct PositionAnswer {
    partition: u32,
    position: u64,
}

/// The figures of one currency.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TrialBalanceFigures)]
struct FiguresAnswer {
    #[schema(value_type = types::CurrencyCode)]
    currency: Currency,
    /// How many wallets were opened.
    wallets: u64,
    /// What they hold.
    #[schema(value_type = types::Amount)]
    balances: Decimal,
    /// What has left a wallet and has neither arrived nor come back.
    #[schema(value_type = types::Amount)]
    in_flight: Decimal,
    #[schema(value_type = types::Amount)]
    total_deposited: Decimal,
    #[schema(value_type = types::Amount)]
    total_withdrawn: Decimal,
    /// Deposits − withdrawals − balances − in flight: zero, or the ledger is wrong.
    #[schema(value_type = types::Amount)]
    difference: Decimal,
}

impl From<&Figures> for FiguresAnswer {
    fn from(figures: &Figures) -> Self {
        Self {
            currency: figures.currency,
            wallets: figures.wallets,
            balances: figures.balances,
            in_flight: figures.in_flight,
            total_deposited: figures.deposited,
            total_withdrawn: figures.withdrawn,
            difference: figures.difference,
        }
    }
}

/// The figures of every currency; a difference is an alarm, too.
pub(super) fn figures(answer: &TrialBalance) -> Result<Response, Problem> {
    let positions = &answer.positions;
    for Figures { currency, difference, .. } in &answer.figures {
        if !difference.is_zero() {
            tracing::error!(
                target: "ledger", %currency, %difference, ?positions, "the money does not add up"
            );
        }
    }
    let position = |(partition, position): &(u32, u64)| PositionAnswer {
        partition: *partition,
        position: *position,
    };
    let body = TrialBalanceAnswer {
        positions: answer.positions.iter().map(position).collect(),
        data: answer.figures.iter().map(FiguresAnswer::from).collect(),
    };
    Ok(as_of(answer::json(StatusCode::OK, &body)?, &answer.positions))
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Busy => Self::new(
                Code::Busy,
                "As many reports are being made as may be at once: send the same again after the \
                 time in Retry-After.",
            ),
            ReportError::TooLong => Self::new(
                Code::ReportTooLarge,
                format!(
                    "The report takes longer than {} s: ask for a position nearer to now.",
                    REPORT_TIME.as_secs()
                ),
            ),
            ReportError::Future => {
                invalid("at", "it lies in the future: ask for a time that has passed")
            }
            ReportError::TrialBalance(error) => error.into(),
        }
    }
}

/// An event that is needed and cannot be read.
pub(super) fn unreadable(event: &UnreadableEvent) -> Problem {
    Problem::new(
        Code::UnreadableEvent,
        format!(
            "Event {}-{} cannot be read by this version, so nobody knows what it did: look it up \
             under GET /dead-letters, and upgrade.",
            event.partition, event.position
        ),
    )
    .with("partition", Member::Count(event.partition.into()))
    .with("position", Member::Count(event.position))
}

impl From<TrialBalanceError> for Problem {
    fn from(error: TrialBalanceError) -> Self {
        match error {
            TrialBalanceError::BeyondHead { .. } | TrialBalanceError::Partitions(_) => {
                invalid("at", error)
            }
            TrialBalanceError::TooFar(events) => Self::new(
                Code::ReportTooLarge,
                format!(
                    "{events} events and more lie between then and now, or the beginning, and at \
                     most {MAX_FOLDED} are folded for one answer: ask for a position nearer to now."
                ),
            )
            .with("events", Member::Count(events))
            .with("maxEvents", Member::Count(MAX_FOLDED)),
            TrialBalanceError::Unreadable(event) => unreadable(&event),
            TrialBalanceError::TooLarge(_) => {
                tracing::error!(target: "http", %error, "a trial balance cannot be told");
                Self::internal()
            }
            TrialBalanceError::Away(_) | TrialBalanceError::Journal(_) => {
                tracing::warn!(target: "http", %error, "a trial balance cannot be made");
                Self::unread()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn of(query: &str, partitions: u32) -> Result<When, Problem> {
        asked(&format!("/ledger/trial-balance?{query}").parse().unwrap(), partitions)
    }

    #[test]
    fn a_trial_balance_is_as_of_now_of_a_time_or_of_positions() {
        assert_eq!(of("", 4).unwrap(), When::Now);
        let noon = DateTime::from_timestamp(1_769_860_800, 0).unwrap();
        for text in
            ["2026-01-31T12:00:00Z", "2026-01-31T13:30:00%2B01:30", "2026-01-31T13:30:00+01:30"]
        {
            assert_eq!(of(&format!("at={text}"), 4).unwrap(), When::Time(noon), "{text}");
        }
        assert_eq!(of("at=1-9,0-7", 2).unwrap(), When::Positions(vec![(1, 9), (0, 7)]));
        assert_eq!(of("at=12", 1).unwrap(), When::Positions(vec![(0, 12)]));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", "yesterday", "12", "2-1", "0-", "2026-01-31", "2026-01-31T12:00:00"] {
            let problem = of(&format!("at={text}"), 2).unwrap_err();
            assert_eq!(problem.code, Code::InvalidParameter, "{text}");
            assert!(problem.detail.starts_with("`at`: "), "{}", problem.detail);
        }
    }
}

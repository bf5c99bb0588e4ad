//! A wallet's sums: which days are asked for, and how they look as JSON.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use florin_domain::{Currency, WalletId};
use florin_projections::stats::{DayVolume, Days, MAX_DAYS, WalletStats};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use utoipa::{IntoParams, ToSchema};

use super::answer::{self, Time};
use super::openapi::types;
use super::position::as_of;
use super::problem::Problem;
use super::query::{invalid, parameters, parsed};
use crate::reads::Summary;

/// How many days are told when nobody says: a month.
const DEFAULT_DAYS: u32 = 31;

/// The query as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// The first day.
    #[param(value_type = Option<types::Day>)]
    from: Option<String>,
    /// The last day.
    #[param(value_type = Option<types::Day>)]
    to: Option<String>,
    /// How many days, the newest; 31 if nobody says.
    #[param(value_type = Option<u32>, maximum = 366)]
    days: Option<String>,
}

/// Reads `from` and `to`, both days of UTC, and `days`, how many at most.
pub(super) fn days(uri: &Uri) -> Result<Days, Problem> {
    let given: Parameters = parameters(uri)?;
    let limit = parsed("days", given.days)?.unwrap_or(DEFAULT_DAYS);
    if limit > MAX_DAYS {
        return Err(invalid("days", format_args!("at most {MAX_DAYS} days are told at once")));
    }
    Ok(Days { from: day("from", given.from)?, to: day("to", given.to)?, limit })
}

fn day(name: &'static str, text: Option<String>) -> Result<Option<NaiveDate>, Problem> {
    let read = |text: String| {
        text.parse().map_err(|_| invalid(name, "a day is written as in 2026-01-31, in UTC"))
    };
    text.map(read).transpose()
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WalletStats)]
pub(super) struct StatsAnswer<'a> {
    #[schema(value_type = types::WalletName)]
    wallet_id: &'a WalletId,
    #[schema(value_type = types::CurrencyCode)]
    currency: Currency,
    #[schema(value_type = types::Amount)]
    total_deposited: Decimal,
    deposit_count: u64,
    #[schema(value_type = types::Amount)]
    total_withdrawn: Decimal,
    withdrawal_count: u64,
    #[schema(value_type = types::Amount)]
    total_transferred_in: Decimal,
    transfer_in_count: u64,
    #[schema(value_type = types::Amount)]
    total_transferred_out: Decimal,
    transfer_out_count: u64,
    last_activity_at: Option<Time>,
    suspicious: bool,
    suspicious_reason: Option<&'a str>,
    suspicious_reasons: &'a [String],
    days: Vec<DayAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<Time>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DayVolume)]
struct DayAnswer {
    #[schema(value_type = types::Day)]
    day: NaiveDate,
    #[schema(value_type = types::Amount)]
    money_in: Decimal,
    count_in: u64,
    #[schema(value_type = types::Amount)]
    money_out: Decimal,
    count_out: u64,
}

impl From<&DayVolume> for DayAnswer {
    fn from(volume: &DayVolume) -> Self {
        let ((money_in, count_in), (money_out, count_out)) = (volume.money_in, volume.money_out);
        Self { day: volume.day, money_in, count_in, money_out, count_out }
    }
}

/// A wallet's sums.
pub(super) fn summary(
    wallet: &WalletId,
    partition: u32,
    stats: &WalletStats,
    summary: &Summary,
) -> Result<Response, Problem> {
    let reasons = summary.suspicion.as_deref().unwrap_or_default();
    let stale_since: Option<DateTime<Utc>> = summary.at.stale_since;
    let body = StatsAnswer {
        wallet_id: wallet,
        currency: stats.currency,
        total_deposited: stats.deposited.0,
        deposit_count: stats.deposited.1,
        total_withdrawn: stats.withdrawn.0,
        withdrawal_count: stats.withdrawn.1,
        total_transferred_in: stats.transferred_in.0,
        transfer_in_count: stats.transferred_in.1,
        total_transferred_out: stats.transferred_out.0,
        transfer_out_count: stats.transferred_out.1,
        last_activity_at: stats.last_activity_at.map(Time),
        suspicious: !reasons.is_empty(),
        suspicious_reason: reasons.first().map(String::as_str),
        suspicious_reasons: reasons,
        days: stats.days.iter().map(DayAnswer::from).collect(),
        stale_since: stale_since.map(Time),
    };
    Ok(as_of(answer::json(StatusCode::OK, &body)?, &[(partition, summary.at.position)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::code::Code;

    fn asked(query: &str) -> Result<Days, Problem> {
        days(&format!("/wallets/w/stats?{query}").parse().unwrap())
    }

    #[test]
    fn the_newest_month_is_told_when_nobody_says() {
        assert_eq!(asked("").unwrap(), Days { from: None, to: None, limit: DEFAULT_DAYS });
        let year = asked("from=2026-01-01&to=2026-12-31&days=366").unwrap();
        assert_eq!(year.from, NaiveDate::from_ymd_opt(2026, 1, 1));
        assert_eq!((year.to, year.limit), (NaiveDate::from_ymd_opt(2026, 12, 31), 366));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for query in ["from=2026-02-30", "to=today", "days=367", "days=x"] {
            assert_eq!(asked(query).unwrap_err().code, Code::InvalidParameter, "{query}");
        }
    }
}

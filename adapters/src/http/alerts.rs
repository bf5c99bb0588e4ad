//! The alerts of the fraud rules: what is asked of them in a query, and how they look as JSON.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use florin_domain::fraud::{Alert, EventId};
use florin_domain::{Currency, Reason, WalletId};
use florin_projections::fraud::review::{
    AlertList, Cursor, Decision, Filter, MAX_LIST, ReviewError, Reviewed, Verdict,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer::{self, REPLAYED, Time};
use super::call::Call;
use super::code::Code;
use super::openapi::types;
use super::position::as_of;
use super::problem::{Member, Problem};
use super::query::{self, parsed, time};

/// How many alerts a page has when nobody says.
const DEFAULT_LIMIT: u32 = 50;

/// Which page of which alerts.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) filter: Filter,
    pub(super) after: Option<Cursor>,
    pub(super) limit: u32,
}

/// The query as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Of this wallet.
    #[param(value_type = Option<types::WalletName>)]
    wallet: Option<String>,
    /// Of this rule.
    #[param(value_type = Option<types::RuleName>)]
    rule: Option<String>,
    /// In this state.
    #[param(value_type = Option<types::AlertState>)]
    state: Option<String>,
    /// Found in events not before.
    #[param(value_type = Option<Time>)]
    from: Option<String>,
    /// Found in events before.
    #[param(value_type = Option<Time>)]
    to: Option<String>,
    /// The `nextCursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
    /// How many alerts a page has; 50 if nobody says.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let given: Parameters = query::parameters(&parts.uri)?;
        let filter = Filter {
            wallet: parsed("wallet", given.wallet)?,
            rule: parsed("rule", given.rule)?,
            state: parsed("state", given.state)?,
            from: time("from", given.from)?,
            to: time("to", given.to)?,
        };
        let limit = query::limit(given.limit, DEFAULT_LIMIT, MAX_LIST, "alerts")?;
        Ok(Self { filter, after: parsed("cursor", given.cursor)?, limit })
    }
}

/// An alert as clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Alert)]
pub(super) struct AlertAnswer<'a> {
    id: &'a str,
    rule: &'static str,
    #[schema(value_type = types::WalletName)]
    wallet_id: &'a WalletId,
    #[schema(value_type = types::AlertState)]
    state: &'static str,
    at: Time,
    reason: &'a str,
    count: usize,
    #[schema(value_type = types::Amount)]
    sum: Decimal,
    #[schema(value_type = types::CurrencyCode)]
    currency: Currency,
    #[schema(value_type = types::EventName)]
    event: EventId,
    partition: u32,
    position: u64,
    #[schema(value_type = [types::EventName])]
    evidence: &'a [EventId],
    decisions: Vec<DecisionAnswer<'a>>,
    published_at: Option<Time>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decision)]
struct DecisionAnswer<'a> {
    #[schema(value_type = types::AlertState)]
    state: &'static str,
    by: &'a str,
    reason: Option<&'a str>,
    at: Time,
}

impl<'a> From<&'a Reviewed> for AlertAnswer<'a> {
    fn from(reviewed: &'a Reviewed) -> Self {
        let alert: &Alert = &reviewed.alert;
        Self {
            id: &alert.id,
            rule: alert.rule.as_str(),
            wallet_id: &alert.wallet,
            state: reviewed.state().name(),
            at: Time(alert.at),
            reason: &alert.reason,
            count: alert.count,
            sum: alert.sum,
            currency: alert.currency,
            event: alert.event,
            partition: alert.event.partition,
            position: alert.event.position,
            evidence: &alert.evidence,
            decisions: reviewed.decisions.iter().map(DecisionAnswer::from).collect(),
            published_at: reviewed.published_at.map(Time),
        }
    }
}

impl<'a> From<&'a Decision> for DecisionAnswer<'a> {
    fn from(decision: &'a Decision) -> Self {
        let Decision { verdict, by, reason, at } = decision;
        Self { state: verdict.name(), by, reason: reason.as_deref(), at: Time(*at) }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AlertPage)]
pub(super) struct ListAnswer<'a> {
    data: Vec<AlertAnswer<'a>>,
    next_cursor: Option<String>,
    has_more: bool,
}

/// One alert.
pub(super) fn alert(reviewed: &Reviewed) -> Result<Response, Problem> {
    answer::json(StatusCode::OK, &AlertAnswer::from(reviewed))
}

/// A page of them.
pub(super) fn list(list: &AlertList) -> Result<Response, Problem> {
    let body = ListAnswer {
        data: list.alerts.iter().map(AlertAnswer::from).collect(),
        next_cursor: list.next.as_ref().map(ToString::to_string),
        has_more: list.next.is_some(),
    };
    Ok(as_of(answer::json(StatusCode::OK, &body)?, &list.positions))
}

/// Carries out a verdict, with `by` and `reason` from the body.
pub(super) async fn decide(
    api: &Api,
    id: &str,
    verdict: Verdict,
    mut call: Call,
) -> Result<Response, Problem> {
    let by = call.fields.by()?;
    let reason: Option<Reason> = match verdict {
        Verdict::Acknowledged => call.fields.reason()?,
        // Whoever clears a wallet of suspicion says why.
        Verdict::Dismissed => Some(call.fields.given_reason()?),
    };
    let decided = api.fraud.decide(id, verdict, &by, reason.as_ref()).await;
    let decided = decided.map_err(|error| refused(id, &error))?;
    let mut response = alert(&decided.alert)?;
    if decided.is_repeated {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn refused(id: &str, error: &ReviewError) -> Problem {
    match error {
        ReviewError::NotFound => not_found(id),
        ReviewError::Decided(Decision { verdict, by, at, .. }) => {
            let verdict = verdict.name();
            Problem::new(
                Code::AlertDecided,
                format!("The alert was {verdict} by {by} before: read it and its decisions."),
            )
            .with("state", Member::Text(verdict.to_owned()))
            .with("by", Member::Text(by.clone()))
            .with("at", Member::Text(at.to_rfc3339()))
        }
        ReviewError::Away(error) => away(error),
    }
}

/// The alert that no rule gave, by name.
pub(super) fn not_found(id: &str) -> Problem {
    Problem::new(
        Code::AlertNotFound,
        "No alert is on record under this id: correct it, or wait until its event has been read.",
    )
    .with("alertId", Member::Text(id.to_owned()))
}

/// The read models' database does not answer.
pub(super) fn away(error: &sqlx::Error) -> Problem {
    tracing::warn!(target: "http", %error, "alerts cannot be reached");
    Problem::unavailable()
}

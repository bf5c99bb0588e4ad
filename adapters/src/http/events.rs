//! Pages of the journal: what is asked of them in a query, and as JSON.
//!
//! ```text
//! {"data":[{"id":"0-18", …}, …],"nextAfter":117,"hasMore":true}      Florin-Position: 0-250,1-94
//! ```
//!
//! The events are those of the streams, in the same words. Of a partition they are dense: whoever
//! asks after the last position that they have, and then after `nextAfter`, misses none. The header
//! says where the journal ends in every partition, read before the page: so it also tells how many
//! partitions there are, and whoever wants to begin now has where to begin.

use std::ops::Range;

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::answer;
use super::live::{EventAnswer, unfollowed, wanted};
use super::openapi::types;
use super::position::as_of;
use super::problem::Problem;
use super::query::{invalid, limit, parameters};
use crate::live::Wanted;
use crate::moment::Positions;

/// How many events a page has when nobody says.
const DEFAULT_LIMIT: u32 = 100;

/// The most events of a page: half a megabyte, and few enough that a page is no burden by itself.
const MAX_LIMIT: u32 = 1_000;

/// Which page of which events, as it is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Of this partition; needed where there are several, unless a wallet says which.
    #[param(value_type = Option<u32>)]
    partition: Option<String>,
    /// After this position of the partition; 0, or none, begins with the first event.
    #[param(value_type = Option<String>, example = "17")]
    after: Option<String>,
    /// How many events a page has; 100 if nobody says.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// Of these types, with commas between.
    #[serde(rename = "type")]
    #[param(value_type = Option<String>, example = "FundsDeposited,FundsWithdrawn")]
    types: Option<String>,
    /// Of this wallet, whether there is one yet or not.
    #[param(value_type = Option<types::WalletName>)]
    wallet: Option<String>,
}

/// A page of events, by position.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EventPage)]
pub(super) struct PageAnswer<'a> {
    data: Vec<EventAnswer<'a>>,
    /// What the next page is `after`: up to there this one tells everything that was asked for.
    next_after: u64,
    /// Whether the journal goes on there.
    has_more: bool,
}

/// Which page of which events.
#[derive(Debug)]
pub(super) struct Query {
    wanted: Wanted,
    after: u64,
    limit: u32,
}

impl Query {
    /// Reads the parameters.
    pub(super) fn of(api: &Api, uri: &Uri) -> Result<Self, Problem> {
        let given: Parameters = parameters(uri)?;
        let wanted = wanted(api, given.types, given.wallet, given.partition)?;
        if wanted.partitions.len() > 1 {
            let last = wanted.partitions.end - 1;
            let why = format_args!("a page is of one partition: say which, 0 to {last}");
            return Err(invalid("partition", why));
        }
        let after = given.after.map_or(Ok(0), |text| position(&text, &wanted.partitions))?;
        let limit = limit(given.limit, DEFAULT_LIMIT, MAX_LIMIT, "events")?;
        Ok(Self { wanted, after, limit })
    }
}

/// A position of the one partition, with it or without.
fn position(text: &str, partitions: &Range<u32>) -> Result<u64, Problem> {
    let named: Option<Positions> = text.parse().ok();
    let positions = named.and_then(|named| named.of_each(partitions.clone()));
    positions.and_then(|positions| positions.first().copied()).ok_or_else(|| {
        let partition = partitions.start;
        let why = format_args!(
            "say a position of partition {partition}, such as 17 or {partition}-17, or 0 for all \
             events"
        );
        invalid("after", why)
    })
}

/// Reads a page.
pub(super) async fn page(api: &Api, query: Query) -> Result<Response, Problem> {
    let Query { wanted, after, limit } = query;
    let heads = api.live.now().await.map_err(|error| unfollowed(&error))?;
    let partition = wanted.partitions.start;
    let head = heads.get(partition as usize).copied().unwrap_or(0);
    if after > head {
        let why = format_args!("no event is there yet: the journal ends at {partition}-{head}");
        return Err(invalid("after", why));
    }
    let page = api.live.page(&wanted, after, head, limit).await;
    let page = page.map_err(|error| unfollowed(&error))?;
    let body = PageAnswer {
        data: page.events.iter().map(EventAnswer::from).collect(),
        next_after: page.next_after,
        has_more: page.next_after < head,
    };
    let positions: Vec<(u32, u64)> = (0..).zip(heads).collect();
    Ok(as_of(answer::json(StatusCode::OK, &body)?, &positions))
}

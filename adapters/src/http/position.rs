//! Positions on the wire: `<partition>-<position>`, several with commas between.
//!
//! Every answer says in `Florin-Position` what it is as of. A read that is given a position, in the
//! same header or as `minPosition`, is answered from there on.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::Response;
use serde::Deserialize;

use super::code::Code;
use super::problem::{Member, Problem};
use super::query::{invalid, parameters};
use crate::moment::{Positions, listed};

/// What an answer is as of, and what a request wants it to be as of.
pub(super) const POSITION: HeaderName = HeaderName::from_static("florin-position");

/// From where on a read is to be answered; from anywhere by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Least(Positions);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    min_position: Option<String>,
}

impl Least {
    fn of(uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut least = Self::default();
        for value in headers.get_all(POSITION) {
            let text = value.to_str().unwrap_or_default();
            let named: Positions = text.parse().map_err(|why| {
                Problem::new(Code::InvalidParameter, format!("Florin-Position: {why}."))
                    .with("header", Member::Text("Florin-Position".to_owned()))
            })?;
            least.0.extend(named);
        }
        if uri.query().is_some() {
            let Parameters { min_position } = parameters(uri)?;
            let named: Option<Positions> = super::query::parsed("minPosition", min_position)?;
            least.0.extend(named.unwrap_or_default());
        }
        Ok(least)
    }

    /// In the one partition that a read is about.
    pub(super) fn in_partition(&self, partition: u32) -> u64 {
        self.0.in_partition(partition)
    }

    /// In each partition, for a read that is about all of them.
    pub(super) fn by_partition(&self, partitions: u32) -> Result<Vec<(u32, u64)>, Problem> {
        self.0.by_partition(partitions).map_err(|error| invalid("minPosition", error))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Least {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri, &parts.headers)
    }
}

/// Says what an answer is as of; nothing before anything has been folded.
pub(super) fn as_of(mut response: Response, positions: &[(u32, u64)]) -> Response {
    if !positions.is_empty()
        && let Ok(text) = HeaderValue::try_from(listed(positions))
    {
        response.headers_mut().insert(POSITION, text);
    }
    response
}

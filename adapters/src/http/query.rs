//! The parameters of a query: taken as texts, and each read with a problem that names it.
//!
//! An endpoint has a struct of optional texts; parameters of other names are ignored, and one that
//! comes twice is refused.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::code::Code;
use super::problem::{Member, Problem};
use crate::moment;

/// The parameters as they are written.
pub(super) fn parameters<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let Query(parameters) = Query::try_from_uri(uri)
        .map_err(|error| Problem::new(Code::InvalidParameter, format!("{error}.")))?;
    Ok(parameters)
}

/// One that is read by its type.
pub(super) fn parsed<T: FromStr<Err: Display>>(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<T>, Problem> {
    text.map(|text| text.parse().map_err(|why| invalid(name, why))).transpose()
}

/// A moment.
pub(super) fn time(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<DateTime<Utc>>, Problem> {
    let read = |text: String| {
        let time = moment::time(&text);
        time.ok_or_else(|| invalid(name, "a time is RFC 3339, such as 2026-01-31T12:00:00Z"))
    };
    text.map(read).transpose()
}

/// `limit`: how many of `what` a page has, one at least.
pub(super) fn limit(
    text: Option<String>,
    default: u32,
    max: u32,
    what: &'static str,
) -> Result<u32, Problem> {
    let limit = parsed("limit", text)?.unwrap_or(default);
    match (1..=max).contains(&limit) {
        true => Ok(limit),
        false => Err(invalid("limit", format_args!("a page has 1 to {max} {what}"))),
    }
}

/// A parameter that is wrong, by name.
pub(super) fn invalid(name: &'static str, why: impl Display) -> Problem {
    Problem::new(Code::InvalidParameter, format!("`{name}`: {why}"))
        .with("parameter", Member::Text(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Parameters {
        limit: Option<String>,
        from: Option<String>,
    }

    fn given(query: &str) -> Result<Parameters, Problem> {
        parameters(&format!("/wallets?{query}").parse().unwrap())
    }

    #[test]
    fn a_page_has_a_default_and_a_maximum() {
        for (query, expected) in [("", 50), ("limit=1", 1), ("limit=200&colour=red", 200)] {
            let text = given(query).unwrap().limit;
            assert_eq!(limit(text, 50, 200, "wallets").unwrap(), expected, "{query}");
        }
        let of = |text: &str| limit(Some(text.to_owned()), 50, 200, "wallets").unwrap_err();
        for text in ["0", "201"] {
            assert_eq!(of(text).detail, "`limit`: a page has 1 to 200 wallets");
        }
        for text in ["", "x", "-1", "1.0", "99999999999"] {
            let problem = of(text);
            assert_eq!(problem.code, Code::InvalidParameter, "{text}");
            assert_eq!(problem.members, [("parameter", Member::Text("limit".to_owned()))]);
        }
    }

    #[test]
    fn a_time_of_any_zone_is_read() {
        let read = |query: &str| time("from", given(query).unwrap().from);
        let utc = DateTime::from_timestamp(1_769_860_800, 0);
        assert_eq!(read("from=2026-01-31T12:00:00Z").unwrap(), utc);
        assert_eq!(read("from=2026-01-31T13:00:00%2B01:00").unwrap(), utc);
        assert_eq!(
            read("from=2026-01-31T13:30:00+01:30").unwrap(),
            utc,
            "a plus as people type it"
        );
        assert_eq!(read("from=2026-01-31T07:00:00-05:00").unwrap(), utc);
        assert_eq!(read("from=2026-01-31+12:00:00Z").unwrap(), utc);
        assert_eq!(read("").unwrap(), None);
        for query in ["from=", "from=yesterday", "from=2026-13-01T00:00:00Z"] {
            assert_eq!(read(query).unwrap_err().code, Code::InvalidParameter, "{query}");
        }
    }

    #[test]
    fn a_parameter_that_comes_twice_is_refused() {
        assert_eq!(given("limit=1&limit=2").unwrap_err().code, Code::InvalidParameter);
    }
}

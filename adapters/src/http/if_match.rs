//! `If-Match`: which version the wallet must have for a write to take effect.

use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;

use super::code::Code;
use super::problem::Problem;

/// The condition of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// `*`: the wallet exists.
    Exists,
    /// `"7"` or `7`: it is at this version.
    Version(u64),
}

impl IfMatch {
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(IF_MATCH).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        let condition = value.to_str().ok().and_then(parse);
        condition.filter(|_| values.next().is_none()).map(Some).ok_or_else(|| {
            Problem::new(
                Code::InvalidIfMatch,
                "If-Match is one strong version as ETag gave it, such as \"7\", or *.",
            )
        })
    }

    /// The version that it asks for.
    pub(super) fn version(self) -> Option<u64> {
        match self {
            Self::Exists => None,
            Self::Version(version) => Some(version),
        }
    }
}

fn parse(value: &str) -> Option<IfMatch> {
    let value = value.trim();
    if value == "*" {
        return Some(IfMatch::Exists);
    }
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let digits = quoted.unwrap_or(value);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(IfMatch::Version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<Option<IfMatch>, Code> {
        let headers: HeaderMap =
            values.iter().map(|value| (IF_MATCH, value.parse().unwrap())).collect();
        IfMatch::of(&headers).map_err(|problem| problem.code)
    }

    #[test]
    fn a_condition_is_a_version_or_a_star() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["\"7\""]), Ok(Some(IfMatch::Version(7))));
        assert_eq!(of(&["7"]), Ok(Some(IfMatch::Version(7))));
        assert_eq!(of(&["*"]), Ok(Some(IfMatch::Exists)));
    }

    #[test]
    fn weak_many_and_foreign_tags_are_refused() {
        for bad in [
            "W/\"7\"",
            "\"7\", \"8\"",
            "\"7",
            "\"\"",
            "",
            "+7",
            "-1",
            "abc",
            "18446744073709551616",
        ] {
            assert_eq!(of(&[bad]), Err(Code::InvalidIfMatch), "{bad:?}");
        }
        assert_eq!(of(&["\"7\"", "\"8\""]), Err(Code::InvalidIfMatch));
    }
}

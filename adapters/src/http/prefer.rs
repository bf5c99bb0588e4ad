//! What a client would rather have (RFC 7240): `Prefer: respond-async`.
//!
//! `Prefer` is a list of preferences over any number of lines, each a token with a value and
//! parameters if it likes: `respond-async, wait=10; a="b, c"`. Preferences that are not known, and
//! what is malformed, are as if they were not there; of one that comes twice the first counts.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Says which preference was heeded.
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Not to wait for the outcome. What to wait at most (`wait`) says nothing then.
pub(super) const RESPOND_ASYNC: HeaderValue = HeaderValue::from_static("respond-async");

/// Whether the client would rather not wait.
pub(super) fn respond_async(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
    let mut preferences = lines.flat_map(|line| split(line, ',')).filter_map(|text| {
        let preference = split(text, ';').next()?;
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case("respond-async").then(|| value.trim())
    });
    // It has no value, and an empty one is none.
    preferences.next().is_some_and(|value| matches!(value, "" | "\"\""))
}

/// The parts between separators that are not within quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        let is_end = c == separator && !is_quoted;
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = is_quoted && c == '\\' && !is_escaped;
        is_end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_async(lines: &[&'static str]) -> bool {
        respond_async(&lines.iter().map(|line| (PREFER, HeaderValue::from_static(line))).collect())
    }

    #[test]
    fn a_client_says_in_any_of_these_ways_that_it_does_not_wait() {
        for lines in [
            &["respond-async"][..],
            &["Respond-Async"],
            &[" respond-async "],
            &["wait=10, respond-async"],
            &["respond-async;a=b, wait=10"],
            &["respond-async ; a=\"b, c\""],
            &["respond-async=\"\""],
            &["return=minimal", "respond-async"],
            &["foo=\"a, \\\" b\", respond-async"],
            &[",, respond-async,"],
            &["respond-async, respond-async=no"],
        ] {
            assert!(is_async(lines), "{lines:?}");
        }
    }

    #[test]
    fn anything_else_is_as_if_it_were_not_there() {
        for lines in [
            &[][..],
            &[""],
            &["respond-sync"],
            &["respond-async-please"],
            &["respond async"],
            &["respond-async=yes"],
            &["respond-async=no, respond-async"],
            &["foo; respond-async"],
            &["foo=\"a, respond-async, b\""],
            &["foo=\"a\\\", respond-async, b\""],
            &["\"respond-async\""],
        ] {
            assert!(!is_async(lines), "{lines:?}");
        }
        let bytes = HeaderValue::from_bytes(b"respond-async, \xff").unwrap();
        assert!(!respond_async(&[(PREFER, bytes)].into_iter().collect()));
    }
}

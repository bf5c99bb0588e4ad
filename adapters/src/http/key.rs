//! The idempotency key of a request: in the body, in a header, or in both when they agree.
//!
//! Source of the header: draft-ietf-httpapi-idempotency-key-header, a string of RFC 8941
//! (`"8e03978e-…"`). Clients send it bare, too.

use axum::http::{HeaderMap, HeaderName};
use florin_application::command::RequestId;

use super::code::Code;
use super::problem::Problem;

/// The header.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The one key that was sent, wherever and however often.
pub(super) fn agreed(
    headers: &HeaderMap,
    in_body: [Option<RequestId>; 2],
) -> Result<Option<RequestId>, Problem> {
    let mut agreed: Option<RequestId> = None;
    let in_headers = headers.get_all(IDEMPOTENCY_KEY).iter().map(|value| {
        let text = std::str::from_utf8(value.as_bytes()).ok().and_then(bare);
        let text = text.ok_or_else(|| invalid(&"it is a string, in quotes or without"))?;
        text.parse().map_err(|why| invalid(&why))
    });
    for key in in_body.into_iter().flatten().map(Ok).chain(in_headers) {
        let key: RequestId = key?;
        if agreed.as_ref().is_some_and(|agreed| *agreed != key) {
            return Err(Problem::new(
                Code::ConflictingFields,
                "`requestId`, `clientTransactionId` and Idempotency-Key are names of one key: \
                 send one of them, or the same in all.",
            ));
        }
        agreed = Some(key);
    }
    Ok(agreed)
}

/// The text without the quotes and escapes of RFC 8941, where it has any.
fn bare(value: &str) -> Option<String> {
    let value = value.trim();
    let Some(quoted) = value.strip_prefix('"') else {
        return Some(value.to_owned());
    };
    let mut text = String::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return rest.as_str().is_empty().then_some(text),
            '\\' => text.push(rest.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => text.push(other),
        }
    }
}

fn invalid(why: &dyn std::fmt::Display) -> Problem {
    Problem::new(Code::InvalidRequestId, format!("Idempotency-Key: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(keys: &[&str]) -> HeaderMap {
        keys.iter().map(|key| (IDEMPOTENCY_KEY, key.parse().unwrap())).collect()
    }

    fn key(keys: &[&str], body: Option<&str>) -> Result<Option<String>, Code> {
        let body = [None, body.map(|key| key.parse().unwrap())];
        agreed(&headers(keys), body)
            .map(|key| key.map(|key| key.to_string()))
            .map_err(|problem| problem.code)
    }

    #[test]
    fn a_key_comes_quoted_or_bare_or_in_the_body() {
        assert_eq!(key(&[], None), Ok(None));
        for (header, expected) in
            [("k-1", "k-1"), (r#""k-1""#, "k-1"), (r#""a\"b\\c""#, r#"a"b\c"#), ("é", "é")]
        {
            assert_eq!(key(&[header], None), Ok(Some(expected.to_owned())));
        }
        assert_eq!(key(&[], Some("k-1")), Ok(Some("k-1".to_owned())));
    }

    #[test]
    fn several_keys_agree_or_are_refused() {
        assert_eq!(key(&["\"k\"", "k"], Some("k")), Ok(Some("k".to_owned())));
        assert_eq!(key(&["a"], Some("b")), Err(Code::ConflictingFields));
        assert_eq!(key(&["a", "b"], None), Err(Code::ConflictingFields));
        let body = ["a", "b"].map(|key| Some(key.parse().unwrap()));
        let problem = agreed(&headers(&[]), body).unwrap_err();
        assert_eq!(problem.code, Code::ConflictingFields);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "\"\"", "\"a", "\"a\"b", "\"a\\x\"", &"x".repeat(256)] {
            assert_eq!(key(&[bad], None), Err(Code::InvalidRequestId), "{bad:?}");
        }
    }
}

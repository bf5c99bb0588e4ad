//! Takes secrets out of a call before it is recorded: whatever is named as one, be it a header, a
//! parameter of the query, or a member of the body at any depth. Case does not matter.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, Uri};
use serde::{Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

/// What stands in the place of a body that may name a secret and cannot be read.
const WITHHELD: &str = "[redacted: it may name a secret and is no whole JSON]";

/// How much of a header's value and of a URL is kept, and of how many headers: more than any that is
/// sent in earnest, and so little that whoever sends nonsense fills no disk with it.
const MAX_VALUE: usize = 512;
const MAX_URL: usize = 1024;
const MAX_HEADERS: usize = 32;

/// What is secret in every call.
const ALWAYS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// The longest name of a secret, and how many there may be: each is looked for in every call.
const MAX_NAME: usize = 64;
const MAX_NAMES: usize = 32;

/// The names of what is secret.
#[derive(Debug, Clone)]
pub struct Secrets {
    names: Vec<String>,
}

/// A text that lists no names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a list of secrets: at most {MAX_NAMES} names of headers, parameters or fields, each \
     1 to {MAX_NAME} letters, digits, `_` or `-`, with commas between"
)]
pub struct NoName(String);

impl Secrets {
    /// Those of every call, and those of a list with commas between.
    ///
    /// # Errors
    /// [`NoName`] for a list that is none.
    pub fn read(list: &str) -> Result<Self, NoName> {
        let is_named = |name: &&str| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_part)
        };
        let configured: Vec<&str> = match list.trim() {
            "" => vec![],
            list => list.split(',').map(str::trim).collect(),
        };
        if configured.len() > MAX_NAMES || !configured.iter().all(is_named) {
            return Err(NoName(list.to_owned()));
        }
        let names = ALWAYS.into_iter().chain(configured).map(str::to_ascii_lowercase).collect();
        Ok(Self { names })
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|secret| secret.eq_ignore_ascii_case(name))
    }

    /// The first headers as a JSON object; those of one name are one text, with commas between.
    pub fn headers(&self, headers: &HeaderMap) -> String {
        // A map with texts as keys always has a JSON text.
        serde_json::to_string(&Shown { secrets: self, headers }).unwrap_or_else(|_| "{}".to_owned())
    }

    /// What is kept of the headers of a name.
    fn value<'h>(&self, name: &HeaderName, headers: &'h HeaderMap) -> Cow<'h, str> {
        if self.has(name.as_str()) {
            return REDACTED.into();
        }
        let mut values = headers.get_all(name).iter().map(|value| value.as_bytes());
        let first = values.next().unwrap_or_default();
        match (str::from_utf8(first), values.next()) {
            (Ok(one), None) if one.len() <= MAX_VALUE => one.into(),
            _ => {
                let values = headers.get_all(name).iter();
                let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
                cut(texts.collect::<Vec<_>>().join(", "), MAX_VALUE).into()
            }
        }
    }

    /// The beginning of path and query.
    pub fn url(&self, uri: &Uri) -> String {
        let Some(query) = uri.query() else { return cut(uri.path().to_owned(), MAX_URL) };
        let shown = |pair: &str| {
            let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            match self.has(&decoded) {
                true => format!("{name}={REDACTED}"),
                false => pair.to_owned(),
            }
        };
        let query: Vec<String> = query.split('&').map(shown).collect();
        cut(format!("{}?{}", uri.path(), query.join("&")), MAX_URL)
    }

    /// A body; `is_whole` says whether all of it is there.
    pub fn body(&self, text: String, is_whole: bool) -> String {
        if !self.may_be_in(&text) {
            return text;
        }
        let parsed = serde_json::from_str::<Value>(&text).ok().filter(|_| is_whole);
        let Some(mut body) = parsed else { return WITHHELD.to_owned() };
        self.take_out(&mut body);
        // Not the text: of members with one name, only the last is in the value.
        body.to_string()
    }

    /// Whether a text may have a member of such a name. An escape may hide a letter.
    fn may_be_in(&self, text: &str) -> bool {
        let is_at = |name: &str| {
            let windows = text.as_bytes().windows(name.len());
            windows.into_iter().any(|window| window.eq_ignore_ascii_case(name.as_bytes()))
        };
        text.contains("\\u") || self.names.iter().any(|name| is_at(name))
    }

    fn take_out(&self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match self.has(name) {
                        true => *member = Value::String(REDACTED.to_owned()),
                        false => self.take_out(member),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.take_out(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Headers as they are kept.
struct Shown<'h> {
    secrets: &'h Secrets,
    headers: &'h HeaderMap,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let names = self.headers.keys().take(MAX_HEADERS);
        out.collect_map(names.map(|name| (name.as_str(), self.secrets.value(name, self.headers))))
    }
}

/// The beginning of a text, of so many bytes at most, and a sign that there was more.
fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::read("x-api-key, cardNumber").unwrap()
    }

    #[test]
    fn secret_headers_are_taken_out_and_others_kept() {
        let sent = [
            ("authorization", "Bearer a.b.c"),
            ("cookie", "jwt=a.b.c"),
            ("x-api-key", "k"),
            ("accept", "a/b"),
            ("accept", "c/d"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name, value.parse().unwrap());
        }
        let kept: Value = serde_json::from_str(&secrets().headers(&headers)).unwrap();
        let expected = serde_json::json!({
            "authorization": REDACTED, "cookie": REDACTED, "x-api-key": REDACTED,
            "accept": "a/b, c/d",
        });
        assert_eq!(kept, expected);
    }

    #[test]
    fn whoever_sends_much_is_recorded_with_the_beginning() {
        let mut headers = HeaderMap::new();
        for number in 0..100 {
            let name: HeaderName = format!("x-{number}").parse().unwrap();
            headers.insert(name, "x".repeat(10_000).parse().unwrap());
        }
        let kept: Value = serde_json::from_str(&secrets().headers(&headers)).unwrap();
        let kept = kept.as_object().unwrap();
        assert_eq!(kept.len(), MAX_HEADERS);
        assert!(kept.values().all(|value| value.as_str().unwrap().len() == MAX_VALUE + 3));
        let long = format!("/{}?a=b", "x".repeat(10_000));
        assert_eq!(secrets().url(&long.parse().unwrap()).len(), MAX_URL + 3);
    }

    #[test]
    fn secret_parameters_are_taken_out() {
        for (url, expected) in [
            ("/bulk", "/bulk"),
            ("/bulk?a=1&CardNumber=4&b", "/bulk?a=1&CardNumber=[redacted]&b"),
            ("/bulk?card%4eumber=4", "/bulk?card%4eumber=[redacted]"),
        ] {
            assert_eq!(secrets().url(&url.parse().unwrap()), expected);
        }
    }

    #[test]
    fn secret_members_are_taken_out_at_any_depth() {
        let body = |text: &str| secrets().body(text.to_owned(), true);
        for same in [r#"{ "amount": "1.00" }"#, "", "not JSON", r#"{"note":"my cardNumber"}"#] {
            assert_eq!(body(same), same);
        }
        for (text, expected) in [
            (r#"{"cardNumber":"4111"}"#, r#"{"cardNumber":"[redacted]"}"#),
            (r#"[{"a":{"CARDNUMBER":{"b":1}}}]"#, r#"[{"a":{"CARDNUMBER":"[redacted]"}}]"#),
            (r#"{"card\u004eumber":"4111"}"#, r#"{"cardNumber":"[redacted]"}"#),
            // Of two members of a name the value has the last, and the text both.
            (r#"{"a":{"cardNumber":"4111"},"a":{}}"#, r#"{"a":{}}"#),
            (r#"{"cookie":1,"n":1.10}"#, r#"{"cookie":"[redacted]","n":1.10}"#),
        ] {
            assert_eq!(body(text), expected);
        }
        assert_eq!(body(r#"{"cardNumber":"4111""#), WITHHELD);
        let cut = secrets().body(r#"{"cardNumber":1}"#.to_owned(), false);
        assert_eq!(cut, WITHHELD);
    }

    #[test]
    fn what_is_no_list_of_names_is_refused() {
        for good in ["", " ", "a", "a,b", " X-Api-Key , pin_code "] {
            assert!(Secrets::read(good).is_ok(), "{good:?}");
        }
        let many = ["a"; MAX_NAMES + 1].join(",");
        for bad in [",", "a,,b", "a b", "é", &"x".repeat(MAX_NAME + 1), &many] {
            assert!(Secrets::read(bad).is_err(), "{bad:?}");
        }
    }
}

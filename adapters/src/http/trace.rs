//! The id that ties a request to its log line and its answer, and to what follows from it.

use std::fmt;
use std::sync::Arc;

use axum::http::{Extensions, HeaderMap, HeaderValue};

use crate::telemetry::traces::{context, passed_on};

/// The 32 hex digits of a trace id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceId([u8; 32]);

impl TraceId {
    /// The client's, where it sends a valid trace context; else a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let continued =
            traceparent(headers).and_then(|text| text.as_bytes()[3..35].try_into().ok());
        continued.map_or_else(Self::random, Self)
    }

    /// One that is known.
    pub(super) fn named(hex: &str) -> Option<Self> {
        hex.as_bytes().try_into().ok().map(Self)
    }

    fn random() -> Self {
        let id: u128 = rand::random();
        let mut digits = [0; 32];
        for (place, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(id >> (4 * place)) as usize & 0xf];
        }
        Self(digits)
    }

    /// As text.
    pub(super) fn as_str(&self) -> &str {
        // Hex digits are text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As the value of a header.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.0).ok()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The trace context of the client, if it is one.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<&str> {
    // Visible ASCII, so every byte is a character.
    context::traceparent(headers.get("traceparent")?.to_str().ok()?)
}

/// The context of the request's own span, where it is traced: what its commands are part of.
#[derive(Debug, Clone)]
pub(super) struct OwnSpan(pub(super) Arc<str>);

/// What is kept with the events of a request's commands: the context of its own span, or else what its
/// client sent.
pub(super) fn kept(extensions: &mut Extensions, headers: &HeaderMap) -> Option<Arc<str>> {
    let own = extensions.remove().map(|OwnSpan(context)| context);
    own.or_else(|| traceparent(headers).map(passed_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn headers(traceparent: &str) -> HeaderMap {
        [("traceparent".parse().unwrap(), traceparent.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_valid_trace_context_is_continued() {
        let sent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(traceparent(&headers(&sent)), Some(sent.as_str()));
        assert_eq!(TraceId::of(&headers(&sent)).as_str(), TRACE);
    }

    #[test]
    fn what_is_no_trace_context_is_replaced() {
        for bad in ["", "x", &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32))] {
            assert_eq!(traceparent(&headers(bad)), None, "{bad:?}");
            assert_eq!(TraceId::of(&headers(bad)).as_str().len(), 32);
        }
    }

    #[test]
    fn new_trace_ids_differ() {
        assert!(TraceId::random() != TraceId::random());
    }

    #[test]
    fn a_span_of_its_own_goes_before_what_the_client_sent() {
        let sent = headers(&format!("00-{TRACE}-00f067aa0ba902b7-01"));
        let mut extensions = Extensions::new();
        assert!(kept(&mut extensions, &sent).unwrap().contains("00f067aa0ba902b7"));
        extensions.insert(OwnSpan("own".into()));
        assert_eq!(kept(&mut extensions, &sent).as_deref(), Some("own"));
        assert_eq!(kept(&mut Extensions::new(), &HeaderMap::new()), None);
    }
}

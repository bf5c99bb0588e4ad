//! The id that ties a request to its log line and its answer.
//!
//! Source of the format: W3C Trace Context, <https://www.w3.org/TR/trace-context/#traceparent-header>.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue};

/// `<version>-<trace id>-<parent id>-<flags>`; later versions may append to it.
const TRACEPARENT_LENGTH: usize = 55;

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
    let text = headers.get("traceparent")?.to_str().ok()?;
    let (context, rest) = text.split_at_checked(TRACEPARENT_LENGTH)?;
    let (version, trace) = (&context[..2], &context[3..35]);
    let (parent, flags) = (&context[36..52], &context[53..]);
    let hex = |part: &str| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        part.bytes().all(digit)
    };
    let shape = [version, trace, parent, flags].into_iter().all(hex)
        && [2, 35, 52].iter().all(|at| context.as_bytes()[*at] == b'-')
        && (rest.is_empty() || (version != "00" && rest.starts_with('-')));
    let nothing = |part: &str| part.bytes().all(|b| b == b'0');
    let invalid = version == "ff" || nothing(trace) || nothing(parent);
    (shape && !invalid).then_some(context)
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
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let known = format!("01-{TRACE}-00f067aa0ba902b7-01");
        let sent = format!("{known}-more");
        assert_eq!(traceparent(&headers(&sent)), Some(known.as_str()));
    }

    #[test]
    fn what_is_no_trace_context_is_replaced() {
        for bad in [
            "",
            "x",
            &format!("00-{TRACE}-00f067aa0ba902b7"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        ] {
            assert_eq!(traceparent(&headers(bad)), None, "{bad:?}");
            assert_eq!(TraceId::of(&headers(bad)).as_str().len(), 32);
        }
    }

    #[test]
    fn new_trace_ids_differ() {
        assert!(TraceId::random() != TraceId::random());
    }
}

//! W3C trace contexts: as text, and as OpenTelemetry has them.
//!
//! Source of the format: <https://www.w3.org/TR/trace-context/#traceparent-header>.

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};

/// `<version>-<trace id>-<parent id>-<flags>`; later versions may append to it.
const LENGTH: usize = 55;

/// The trace context in a text of somebody else, if it is one.
pub(crate) fn traceparent(text: &str) -> Option<&str> {
    let (context, rest) = text.split_at_checked(LENGTH)?;
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let shape = context.bytes().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => byte == b'-',
        _ => is_hex(byte),
    });
    if !shape {
        return None;
    }
    let (version, trace, parent) = (&context[..2], &context[3..35], &context[36..52]);
    let nothing = |part: &str| part.bytes().all(|b| b == b'0');
    let is_whole = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let invalid = version == "ff" || nothing(trace) || nothing(parent);
    (is_whole && !invalid).then_some(context)
}

/// The same trace context, of what is not traced; it was checked where it came in.
pub(super) fn untraced(traceparent: &str) -> String {
    let (rest, flags) = traceparent.split_at_checked(LENGTH - 2).unwrap_or((traceparent, ""));
    let flags = u8::from_str_radix(flags, 16).unwrap_or(0) & !TraceFlags::SAMPLED.to_u8();
    format!("{rest}{flags:02x}")
}

/// A trace context, read; it was checked where it came in.
pub(super) fn read(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

/// The context of a span, as whatever follows from it is told.
pub(super) fn written(span: &SpanContext) -> String {
    let flags = u8::from(span.is_sampled());
    format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id())
}

/// What a span is a child of.
pub(super) fn under(parent: &SpanContext) -> Context {
    Context::new().with_remote_span_context(parent.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_context_is_the_same_when_it_is_read_and_written() {
        for flags in ["00", "01"] {
            let text = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            let context = read(&text).unwrap();
            assert_eq!(context.is_sampled(), flags == "01");
            assert_eq!(written(&context), text);
        }
    }

    #[test]
    fn what_is_not_traced_says_so_and_stays_the_same_otherwise() {
        for (before, after) in [("00", "00"), ("01", "00"), ("03", "02"), ("ff", "fe")] {
            let text = |flags| format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            assert_eq!(untraced(&text(before)), text(after));
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let known = format!("01-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(traceparent(&format!("{known}-more")), Some(known.as_str()));
    }

    #[test]
    fn what_is_no_trace_context_is_none() {
        for bad in [
            "",
            "x",
            &format!("00-{TRACE}-00f067aa0ba902b7"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{TRACE}ü00f067aa0ba902b7-1"),
        ] {
            assert_eq!(traceparent(bad), None, "{bad:?}");
        }
    }
}

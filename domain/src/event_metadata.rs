//! What is kept with every event besides its payload: the request it answers, what it belongs to,
//! the trace it was part of, and the record of its call. Written here once, read by whoever follows
//! the journal.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The JSON object in `events.metadata`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventMetadata<'a> {
    /// The client's idempotency key.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Cow<'a, str>>,
    /// The deposit, withdrawal or transfer that the event is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    /// W3C trace context: that of the span that asked for it, where there is one, or what the client
    /// sent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Cow<'a, str>>,
    /// The record of the call by which its command came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_id: Option<Uuid>,
}

impl<'a> EventMetadata<'a> {
    /// What was stored; nothing is known of an event whose metadata are of another shape.
    pub fn read(stored: &'a str) -> Self {
        serde_json::from_str(stored).unwrap_or_default()
    }

    /// As it is stored.
    pub fn to_json(&self) -> Arc<str> {
        // Four texts have a JSON form whatever they hold.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned()).into()
    }
}

/// The length of `<version>-<trace id>-<parent id>-<flags>`.
const TRACEPARENT: usize = 55;

/// What comes behind the trace context in [`EventMetadata::to_json`], of events with a record of
/// their call.
const AUDIT: &str = r#"","auditId":"00000000-0000-0000-0000-000000000000"#;

/// The trace context of an event whose trace is kept (its flag `sampled` is set). Followers of the
/// journal ask this of every event, so it is not parsed: it is found by its distance from the end,
/// where [`EventMetadata::to_json`] puts it. No text in another field can pass for it, because its
/// quotes would be escaped.
pub fn sampled_traceparent(stored: &str) -> Option<&str> {
    let all = stored.strip_suffix("\"}")?;
    let audited = split_before(all, AUDIT.len());
    let front = match audited {
        Some((front, audit)) if audit.starts_with("\",\"auditId\":\"") => front,
        Some(_) | None => all,
    };
    let (front, context) = split_before(front, TRACEPARENT)?;
    let flags = context.as_bytes().last()?;
    let is_sampled = matches!(flags, b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f');
    (is_sampled && front.ends_with("\"traceparent\":\"")).then_some(context)
}

/// A text, and so many bytes at its end.
fn split_before(text: &str, length: usize) -> Option<(&str, &str)> {
    text.split_at_checked(text.len().checked_sub(length)?)
}

/// The idempotency key that an event answers.
pub fn request_id(metadata: &str) -> Option<String> {
    EventMetadata::read(metadata).request_id.map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_kept_trace_is_found_in_whatever_is_stored_with_it() {
        for request_id in [None, Some("k".into()), Some("\"ü\\".into())] {
            for audit_id in [None, Some(Uuid::from_u128(7))] {
                for correlation_id in [None, Some(Uuid::from_u128(8))] {
                    let traceparent = Some(TRACE.into());
                    let request_id = request_id.clone();
                    let metadata =
                        EventMetadata { request_id, correlation_id, traceparent, audit_id };
                    let stored = metadata.to_json();
                    assert_eq!(sampled_traceparent(&stored), Some(TRACE), "{stored}");
                    let stored = stored.replace("b7-01", "b7-00");
                    assert_eq!(sampled_traceparent(&stored), None, "{stored}");
                    let none = EventMetadata { traceparent: None, ..EventMetadata::read(&stored) };
                    assert_eq!(sampled_traceparent(&none.to_json()), None);
                }
            }
        }
    }

    #[test]
    fn no_key_of_a_client_passes_for_a_trace() {
        for key in [TRACE.to_owned(), format!("\",\"traceparent\":\"{TRACE}"), "é".repeat(60)] {
            let metadata =
                EventMetadata { request_id: Some(key.into()), ..EventMetadata::default() };
            assert_eq!(sampled_traceparent(&metadata.to_json()), None);
        }
        for text in ["", "{}", "\"}", "null"] {
            assert_eq!(sampled_traceparent(text), None, "{text}");
        }
    }
}

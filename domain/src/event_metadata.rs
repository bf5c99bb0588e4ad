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
    /// W3C trace context, when the client sent one.
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

/// The idempotency key that an event answers.
pub fn request_id(metadata: &str) -> Option<String> {
    EventMetadata::read(metadata).request_id.map(Cow::into_owned)
}

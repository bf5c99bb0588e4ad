//! How events of older shapes are read today.
//!
//! Stored events never change. When the shape of an event does, its version goes up, and an upcaster
//! here turns the JSON of the old shape into the new one while it is read.
//!
//! | event | up to | today | the difference |
//! |---|---|---|---|
//! | `WalletOpened` | 1.0 | 1.1 | had no `currency`: those wallets hold US dollars |

use std::borrow::Cow;
use std::sync::LazyLock;

use cqrs_es::persist::{EventUpcaster, SemanticVersionEventUpcaster, SerializedEvent};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::journal::{Event, RecordedEvent};

/// A recorded event that this version cannot read.
#[derive(Debug, Error)]
#[error("event {partition}-{position} ({event_type} {event_version}) cannot be read: {cause}")]
pub struct UnreadableEvent {
    /// Where it is.
    pub partition: u32,
    /// Where it is.
    pub position: u64,
    /// What it says it is.
    pub event_type: Cow<'static, str>,
    /// What it says it is.
    pub event_version: String,
    /// What the decoder says.
    pub cause: serde_json::Error,
}

/// The upcasters, oldest shapes first.
pub fn upcasters() -> Vec<Box<dyn EventUpcaster>> {
    vec![Box::new(SemanticVersionEventUpcaster::new(
        "WalletOpened",
        "1.1",
        Box::new(|payload| with_field(payload, "WalletOpened", "currency", "USD")),
    ))]
}

/// Adds a text field to the body of an event that has none of that name.
fn with_field(mut payload: Value, event: &str, field: &str, value: &str) -> Value {
    if let Some(body) = payload.get_mut(event).and_then(Value::as_object_mut) {
        body.entry(field).or_insert_with(|| value.into());
    }
    payload
}

/// The event that a row of the journal holds, in today's shape.
///
/// # Errors
/// [`UnreadableEvent`] when the payload is of no shape that this version knows.
pub fn decode(recorded: &RecordedEvent) -> Result<Event, UnreadableEvent> {
    let event = match recorded.aggregate_type {
        "Wallet" => read(recorded).map(Event::Wallet),
        _ => read(recorded).map(Event::Transfer),
    };
    event.map_err(|cause| UnreadableEvent {
        partition: recorded.partition,
        position: recorded.position,
        event_type: recorded.event_type.clone(),
        event_version: recorded.event_version.clone(),
        cause,
    })
}

/// Reads the stored text as it is, or by way of the upcasters when one applies.
fn read<E: DeserializeOwned>(recorded: &RecordedEvent) -> Result<E, serde_json::Error> {
    static UPCASTERS: LazyLock<Vec<Box<dyn EventUpcaster>>> = LazyLock::new(upcasters);
    let (name, version) = (&*recorded.event_type, &recorded.event_version);
    if !UPCASTERS.iter().any(|upcaster| upcaster.can_upcast(name, version)) {
        return serde_json::from_str(&recorded.payload);
    }
    let old = SerializedEvent::new(
        recorded.aggregate_id.to_string(),
        usize::try_from(recorded.sequence).unwrap_or(usize::MAX),
        recorded.aggregate_type.to_owned(),
        name.to_owned(),
        version.clone(),
        serde_json::from_str(&recorded.payload)?,
        Value::Null,
    );
    let today = UPCASTERS.iter().fold(old, |event, upcaster| {
        match upcaster.can_upcast(&event.event_type, &event.event_version) {
            true => upcaster.upcast(event),
            false => event,
        }
    });
    serde_json::from_value(today.payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::GENESIS;
    use crate::wallet::WalletEvent;

    fn recorded(event_version: &str, payload: &str) -> RecordedEvent {
        RecordedEvent {
            partition: 0,
            position: 1,
            aggregate_type: "Wallet",
            aggregate_id: "alice".into(),
            sequence: 1,
            event_type: "WalletOpened".into(),
            event_version: event_version.to_owned(),
            payload: payload.to_owned(),
            metadata: "{}".into(),
            balance: None,
            recorded_at: chrono::DateTime::UNIX_EPOCH,
            hash: GENESIS,
        }
    }

    fn opened(currency: &str) -> Event {
        Event::Wallet(WalletEvent::WalletOpened {
            currency: currency.parse().unwrap(),
            owner: None,
            metadata: None,
        })
    }

    #[test]
    fn a_wallet_opened_before_currencies_holds_us_dollars() {
        let old = recorded("1.0", r#"{"WalletOpened":{}}"#);
        assert_eq!(decode(&old).unwrap(), opened("USD"));
    }

    #[test]
    fn an_event_of_today_is_read_as_it_is() {
        let today = recorded("1.1", r#"{"WalletOpened":{"currency":"EUR"}}"#);
        assert_eq!(decode(&today).unwrap(), opened("EUR"));
        let broken = recorded("1.1", r#"{"WalletOpened":{}}"#);
        let error = decode(&broken).unwrap_err().to_string();
        assert!(error.starts_with("event 0-1 (WalletOpened 1.1) cannot be read"), "{error}");
    }

    #[test]
    fn an_event_of_a_later_version_is_named_in_the_error() {
        let later = RecordedEvent {
            event_type: crate::journal::event_type_named("WalletRenamed"),
            ..recorded("1.0", r#"{"WalletRenamed":{"to":"x"}}"#)
        };
        let error = decode(&later).unwrap_err().to_string();
        assert!(error.starts_with("event 0-1 (WalletRenamed 1.0) cannot be read"), "{error}");
    }
}

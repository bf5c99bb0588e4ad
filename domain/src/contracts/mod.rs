//! What other services may rely on in the JSON of an event: a schema for each type and version.
//!
//! | | from |
//! |---|---|
//! | the schema of today's versions | the types of the events, by `schemars` |
//! | the schema of older versions | here: stored events never change, and are published as they are |
//! | an example of each | the JSON that is frozen in `domain/snapshots` |
//!
//! An event is an object with one member, named after its type. What is in that member may grow: who
//! reads it ignores what it does not know.

pub mod schemas;

use schemars::{JsonSchema as _, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::journal::EVENT_TYPES;
use crate::{Metadata, Owner, TransferEvent, WalletEvent};

/// One version of one event.
#[derive(Debug, Clone)]
pub struct EventContract {
    /// `Wallet` or `Transfer`.
    pub aggregate_type: &'static str,
    /// The name of the fact.
    pub name: &'static str,
    /// The version of its shape.
    pub version: String,
    /// What its JSON is like.
    pub payload: Schema,
    /// An event of this version: JSON text, as it would be stored.
    pub example: String,
}

/// One of each event in its version of today, as `domain/snapshots` has them.
const FROZEN: [&str; EVENT_TYPES.len()] = [
    include_str!("../../snapshots/WalletOpened.json"),
    include_str!("../../snapshots/FundsDeposited.json"),
    include_str!("../../snapshots/FundsWithdrawn.json"),
    include_str!("../../snapshots/FundsDebited.json"),
    include_str!("../../snapshots/FundsCredited.json"),
    include_str!("../../snapshots/FundsRefunded.json"),
    include_str!("../../snapshots/WalletFrozen.json"),
    include_str!("../../snapshots/WalletUnfrozen.json"),
    include_str!("../../snapshots/WalletClosed.json"),
    include_str!("../../snapshots/TransferInitiated.json"),
    include_str!("../../snapshots/TransferDebited.json"),
    include_str!("../../snapshots/TransferCompleted.json"),
    include_str!("../../snapshots/TransferCompensated.json"),
    include_str!("../../snapshots/TransferFailed.json"),
];

#[derive(Deserialize)]
struct Frozen {
    version: String,
    event: Box<RawValue>,
}

/// Every version of every event; what the schemas refer to is left in the generator.
///
/// # Errors
/// When a frozen event is not one.
pub fn events(generator: &mut SchemaGenerator) -> Result<Vec<EventContract>, serde_json::Error> {
    let wallet = WalletEvent::json_schema(generator);
    let transfer = TransferEvent::json_schema(generator);
    let mut events = past(generator);
    for (name, frozen) in EVENT_TYPES.into_iter().zip(FROZEN) {
        let Frozen { version, event } = serde_json::from_str(frozen)?;
        let of_wallet = variant(&wallet, name).map(|schema| ("Wallet", schema));
        let of_either =
            of_wallet.or_else(|| variant(&transfer, name).map(|schema| ("Transfer", schema)));
        // An event of neither would have a schema that nothing fits.
        let (aggregate_type, payload) = of_either.unwrap_or(("Transfer", false.into()));
        let example = event.get().to_owned();
        events.push(EventContract { aggregate_type, name, version, payload, example });
    }
    Ok(events)
}

/// What one variant of an enum of events looks like.
fn variant(events: &Schema, name: &str) -> Option<Schema> {
    let variants = events.get("oneOf").and_then(Value::as_array);
    let mut variants = variants.into_iter().flatten();
    let found = variants.find(|schema| schema["properties"].get(name).is_some())?;
    found.clone().try_into().ok()
}

/// The older versions of events whose shape has changed: see [`crate::upcast`].
fn past(generator: &mut SchemaGenerator) -> Vec<EventContract> {
    let opened = json_schema!({
        "description": "The first event of every wallet, of the time before there were currencies: \
                        it holds US dollars.",
        "type": "object",
        "properties": {
            "WalletOpened": {
                "type": "object",
                "properties": {
                    "owner": generator.subschema_for::<Owner>(),
                    "metadata": generator.subschema_for::<Metadata>(),
                },
            },
        },
        "required": ["WalletOpened"],
        "additionalProperties": false,
    });
    vec![EventContract {
        aggregate_type: "Wallet",
        name: "WalletOpened",
        version: "1.0".to_owned(),
        payload: opened,
        example: r#"{"WalletOpened":{}}"#.to_owned(),
    }]
}

#[cfg(test)]
mod tests;

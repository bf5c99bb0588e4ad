//! What other services may rely on in the messages that Florin publishes, and wants of those that it
//! takes.
//!
//! ```text
//! types of events and notices ─schemars─▶ payloads ─┐
//! headers as they are sent ─────────────▶ headers ──┼─▶ channels ─▶ AsyncAPI ─▶ /asyncapi.json
//! messages as they are sent ────────────▶ examples ─┘       └─────▶ a schema for each message
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `ledger` | the events of the ledger, on stream `LEDGER` |
//! | `notices` | fraud alerts and dead letters, on `ALERTS` and `DEAD_LETTERS` |
//! | `intake` | what other services ask for, on `INTAKE`, and what they are told, on `OUTCOMES` |
//! | `channel` | what a channel and its messages consist of |
//! | `document` | all of it as one AsyncAPI 3 document |
//! | `schema` | each message as one JSON Schema: its subject, headers and payload |
//! | [`compatibility`] | what of a change would break who relies on an older schema |
//!
//! The document is committed as `adapters/asyncapi.json`, to be read. The schemas are committed one by
//! one in `adapters/contracts`, to be kept: a test writes those that are new or have grown, and refuses
//! to write any that would break a consumer. So nobody breaks a contract by writing the document anew.

pub(crate) mod channel;
pub mod compatibility;
mod document;
mod intake;
mod ledger;
mod notices;
mod schema;

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use channel::Channel;

/// Where the document has what its schemas refer to.
const COMPONENTS: &str = "/components/schemas";

/// Where a schema that stands alone has it.
const DEFINITIONS: &str = "/definitions";

/// Every channel, in the order of the document. Another service's messages are a channel here, with a
/// file of its own beside `ledger` and `notices`: what comes in as much as what goes out.
fn channels(generator: &mut SchemaGenerator) -> Result<Vec<Channel>, serde_json::Error> {
    let mut channels = vec![
        ledger::channel(generator)?,
        notices::alerts(generator)?,
        notices::letters(generator)?,
    ];
    channels.extend(intake::taken(generator)?);
    channels.push(intake::outcomes(generator)?);
    Ok(channels)
}

/// Every channel, and what their schemas refer to under this path.
fn described(path: &'static str) -> Result<(Vec<Channel>, Map<String, Value>), serde_json::Error> {
    // The dialect that AsyncAPI extends.
    let settings = SchemaSettings::draft07().for_serialize().with(|settings| {
        settings.definitions_path = path.into();
    });
    let mut generator = settings.into_generator();
    let mut channels = channels(&mut generator)?;
    for message in channels.iter_mut().flat_map(|channel| &mut channel.messages) {
        for transform in generator.transforms_mut() {
            transform.transform(&mut message.payload);
        }
    }
    let definitions = generator.take_definitions(true);
    Ok((channels, definitions))
}

/// The AsyncAPI document.
///
/// # Errors
/// None for this document, whose parts are all JSON.
pub fn document() -> Result<Value, serde_json::Error> {
    let (channels, definitions) = described(COMPONENTS)?;
    Ok(document::document(&channels, &definitions))
}

/// The document as text, in an order that is always the same.
///
/// # Errors
/// Those of [`document`].
pub fn text() -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&document()?)? + "\n")
}

/// Each message as a JSON Schema that stands alone, by the name that it has in the document: of an
/// object with its `subject`, `headers` and `payload`.
///
/// # Errors
/// Those of [`document`].
pub fn schemas() -> Result<BTreeMap<String, Value>, serde_json::Error> {
    let (channels, definitions) = described(DEFINITIONS)?;
    let messages = channels.iter().flat_map(|channel| {
        channel.messages.iter().map(|message| (message.key(), schema::of(channel, message)))
    });
    Ok(messages.map(|(key, schema)| (key, schema::alone(schema, &definitions))).collect())
}

#[cfg(test)]
mod tests;

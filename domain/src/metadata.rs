//! What a client attaches to a command: a small JSON object that the ledger keeps and never reads.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// The largest metadata, as JSON text: it is stored with every event of the command.
pub const MAX_METADATA_BYTES: usize = 4096;

/// Why metadata is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MetadataError {
    /// More than [`MAX_METADATA_BYTES`].
    #[error("metadata is at most {MAX_METADATA_BYTES} bytes of JSON")]
    TooLarge,
    /// Postgres cannot keep U+0000 in a text.
    #[error("metadata has no U+0000 in its texts")]
    Nul,
}

/// A JSON object of at most [`MAX_METADATA_BYTES`] bytes; numbers keep their text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(Map<String, Value>);

impl Metadata {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`MetadataError`], by name.
    pub fn new(object: Map<String, Value>) -> Result<Self, MetadataError> {
        let metadata = Self(object);
        let text = metadata.to_string();
        if text.len() > MAX_METADATA_BYTES {
            return Err(MetadataError::TooLarge);
        }
        if text.contains("\\u0000") {
            return Err(MetadataError::Nul);
        }
        Ok(metadata)
    }
}

impl std::fmt::Display for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A map of JSON values always has a JSON text.
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| std::fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(text: &str) -> Result<Metadata, MetadataError> {
        Metadata::new(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn numbers_keep_their_text() {
        let text = r#"{"n":12345678901234567890.10}"#;
        assert_eq!(metadata(text).unwrap().to_string(), text);
    }

    #[test]
    fn too_much_and_nul_are_refused() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_METADATA_BYTES));
        assert_eq!(metadata(&long), Err(MetadataError::TooLarge));
        assert_eq!(metadata(r#"{"a":"\u0000"}"#), Err(MetadataError::Nul));
    }
}

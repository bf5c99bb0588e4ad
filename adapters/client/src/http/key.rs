//! The key of a command.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// The longest key.
pub const MAX_KEY: usize = 255;

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a key is 1 to {MAX_KEY} characters without control characters")]
pub struct NoKey;

/// What makes a command the same one, however often it is sent: its first outcome is its only one.
///
/// Take it from what the command is about, such as `order-4711`, or make one up and write it down
/// before the command is sent for the first time. A key belongs to a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let length = text.chars().count();
        let is_key = (1..=MAX_KEY).contains(&length) && !text.chars().any(char::is_control);
        if is_key { Ok(Self(text.to_owned())) } else { Err(NoKey) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_printable() {
        assert_eq!("order-4711".parse::<Key>().unwrap().as_str(), "order-4711");
        for text in ["", "a\nb", &"x".repeat(256)] {
            assert_eq!(text.parse::<Key>(), Err(NoKey), "{text:?}");
        }
    }
}

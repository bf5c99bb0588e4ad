//! A text that is never shown.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// What HS256 needs at least: as many bytes as its hash has. Source: RFC 7518, section 3.2.
pub const MIN_SECRET_BYTES: usize = 32;

/// A secret that tokens are signed with. It has no `Display`, and its `Debug` does not show it.
///
/// Any text is one: what is wrong with it is said by who knows not to repeat it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The bytes that are the key.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether it is long enough to be a key.
    pub fn is_long_enough(&self) -> bool {
        self.0.len() >= MIN_SECRET_BYTES
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

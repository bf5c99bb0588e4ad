//! Identifiers and short texts whose bounds hold by construction, and the partition of a wallet.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// The longest wallet id: it is a token of a NATS subject and half of two index keys.
pub const MAX_WALLET_ID: usize = 64;

/// The longest owner: the `sub` of a token, which its issuers keep below 128.
pub const MAX_OWNER: usize = 128;

/// The longest name of a person who decides: as long as an owner's, who may be the same.
pub const MAX_OPERATOR: usize = 128;

/// The longest reason for a freeze, an unfreeze or a close: a sentence, not a document.
pub const MAX_REASON: usize = 256;

/// Why a text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// Outside `[A-Za-z0-9_-]{1,64}`.
    #[error("a wallet id is 1 to {MAX_WALLET_ID} letters, digits, `_` or `-`")]
    WalletId,
    /// Empty, too long, or with control characters.
    #[error("an owner is 1 to {MAX_OWNER} characters without control characters")]
    Owner,
    /// Empty, too long, or with control characters.
    #[error(
        "whoever decides has a name of 1 to {MAX_OPERATOR} characters without control characters"
    )]
    Operator,
    /// Too long, or with control characters.
    #[error("a reason is 1 to {MAX_REASON} characters without control characters")]
    Reason,
}

/// `[A-Za-z0-9_-]{1,64}`: safe in a URL, in a NATS subject and in a shell.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct WalletId(Arc<str>);

impl WalletId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WalletId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.is_empty() || text.len() > MAX_WALLET_ID || !text.bytes().all(good) {
            return Err(IdError::WalletId);
        }
        Ok(Self(text.into()))
    }
}

impl From<Uuid> for WalletId {
    fn from(id: Uuid) -> Self {
        Self(id.to_string().into())
    }
}

impl<'de> Deserialize<'de> for WalletId {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for WalletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WalletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// The stream id of a transfer.
    TransferId
);
uuid_id!(
    /// What a client quotes when it asks about one deposit or withdrawal.
    TransactionId
);

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $max:expr, $error:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let length = text.chars().count();
                if length == 0 || length > $max || text.chars().any(char::is_control) {
                    return Err($error);
                }
                Ok(Self(text.to_owned()))
            }
        }
    };
}

bounded_text!(
    /// Whom a wallet belongs to, in the words of the company that runs the ledger.
    Owner,
    MAX_OWNER,
    IdError::Owner
);
bounded_text!(
    /// Who decided something, in the words of the company that runs the ledger.
    Operator,
    MAX_OPERATOR,
    IdError::Operator
);
bounded_text!(
    /// Why an operator froze, unfroze or closed a wallet.
    Reason,
    MAX_REASON,
    IdError::Reason
);

/// A number for a wallet, spread evenly: FNV-1a (64 bit) of its id.
///
/// Stable for ever, because partitions follow from it. Source of the constants:
/// <http://www.isthe.com/chongo/tech/comp/fnv/>.
pub fn hash_of(wallet: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    wallet.bytes().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// The partition of a wallet: [`hash_of`] modulo the number of partitions.
///
/// Stable for ever: a ledger's events lie where this function put them.
pub fn partition_of(wallet: &WalletId, partitions: u32) -> u32 {
    // The remainder is below a `u32`, so the conversion cannot fail.
    u32::try_from(hash_of(wallet.as_str()) % u64::from(partitions.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_id_is_64_safe_characters_at_most() {
        for good in ["a", "wallet-7", "A_b-9", &"x".repeat(64)] {
            assert_eq!(good.parse::<WalletId>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a.b", "a/b", "é", "a\0", &"x".repeat(65)] {
            assert_eq!(bad.parse::<WalletId>(), Err(IdError::WalletId), "{bad:?}");
        }
    }

    #[test]
    fn a_wallet_id_in_json_is_checked_too() {
        assert!(serde_json::from_str::<WalletId>("\"a b\"").is_err());
        assert_eq!(serde_json::from_str::<WalletId>("\"a\"").unwrap().as_str(), "a");
    }

    #[test]
    fn the_partition_of_a_wallet_never_changes() {
        // Ledgers in the field lie where these numbers say.
        for (id, of_4, of_7) in
            [("wallet-1", 2, 1), ("wallet-2", 3, 5), ("a", 0, 5), ("0190-zz", 2, 3)]
        {
            let id = id.parse().unwrap();
            assert_eq!(partition_of(&id, 1), 0);
            assert_eq!((partition_of(&id, 4), partition_of(&id, 7)), (of_4, of_7), "{id}");
        }
    }

    #[test]
    fn owners_and_reasons_are_short_and_printable() {
        assert!("user-1".parse::<Owner>().is_ok());
        assert_eq!("".parse::<Owner>(), Err(IdError::Owner));
        assert_eq!("a\nb".parse::<Reason>(), Err(IdError::Reason));
        assert!("olga".parse::<Operator>().is_ok());
        assert_eq!("x".repeat(129).parse::<Operator>(), Err(IdError::Operator));
        assert_eq!("x".repeat(257).parse::<Reason>(), Err(IdError::Reason));
    }
}

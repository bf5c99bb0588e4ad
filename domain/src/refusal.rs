//! Why the domain says no: named by reason, carrying its numbers.
//!
//! A refusal is an answer, not a failure: it is a function of the request and the state it met, it
//! is kept with the idempotency key, and a refused transfer records it in its stream.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::contracts::schemas::{AmountText, BalanceText};
use crate::money::Currency;

/// A command was understood and is not carried out.
///
/// The JSON form (`{"code":"insufficient-funds",…}`) is part of the journal and of kept outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Error)]
#[serde(tag = "code", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[schemars(description = "Why a command was understood and not carried out.")]
pub enum Refusal {
    /// The wallet was never opened.
    #[error("the wallet does not exist")]
    WalletNotFound,
    /// A wallet is opened once.
    #[error("the wallet exists already")]
    WalletExists,
    /// Money out of a frozen wallet.
    #[error("the wallet is frozen: it takes money in, but gives none out")]
    WalletFrozen,
    /// Anything to a closed wallet.
    #[error("the wallet is closed")]
    WalletClosed,
    /// Only an empty wallet closes.
    #[error("the wallet holds {balance}; withdraw it before closing")]
    WalletNotEmpty {
        /// What it holds.
        #[schemars(with = "BalanceText")]
        balance: Decimal,
    },
    /// Money of the wallet is on its way and may come back.
    #[error("a transfer from the wallet is under way; close it when that has ended")]
    TransferInFlight,
    /// The balance does not cover it.
    #[error("the wallet holds {available}, which is less than {requested}")]
    InsufficientFunds {
        /// What the wallet holds.
        #[schemars(with = "BalanceText")]
        available: Decimal,
        /// What was asked for.
        #[schemars(with = "AmountText")]
        requested: Decimal,
        /// Of what.
        currency: Currency,
    },
    /// The balance would pass its bound.
    #[error("a wallet holds at most {limit}")]
    BalanceLimit {
        /// The most that a wallet holds.
        #[schemars(with = "BalanceText")]
        limit: Decimal,
    },
    /// A wallet holds one currency.
    #[error("the wallet holds {expected}, not {given}")]
    CurrencyMismatch {
        /// The wallet's currency.
        expected: Currency,
        /// The command's.
        given: Currency,
    },
    /// The currency has no such small units: the request is malformed.
    #[error("{currency} has {allowed} decimals")]
    TooManyDecimals {
        /// The wallet's currency.
        currency: Currency,
        /// Its decimals. As text, because integers inside a tagged enum lose their type when JSON
        /// numbers keep their text.
        #[serde(with = "as_text")]
        #[schemars(description = "Its decimals, as text.")]
        #[schemars(with = "String", regex(pattern = "^[0-9]+$"))]
        allowed: u32,
    },
    /// A transfer needs two wallets.
    #[error("a transfer goes from one wallet to another one")]
    SameWallet,
    /// The transfer is not in the phase that the command needs.
    #[error("the transfer is not in the phase for this step")]
    TransferPhase,
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    pub(super) fn serialize<S: Serializer>(number: &u32, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<u32, D::Error> {
        String::deserialize(input)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_its_json() {
        let code = "USD".parse().unwrap();
        for refusal in [
            Refusal::WalletNotFound,
            Refusal::InsufficientFunds {
                available: "1.00".parse().unwrap(),
                requested: 2.into(),
                currency: code,
            },
            Refusal::CurrencyMismatch { expected: code, given: "EUR".parse().unwrap() },
            Refusal::TooManyDecimals { currency: code, allowed: 2 },
        ] {
            let json = serde_json::to_string(&refusal).unwrap();
            assert_eq!(serde_json::from_str::<Refusal>(&json).unwrap(), refusal, "{json}");
        }
    }
}

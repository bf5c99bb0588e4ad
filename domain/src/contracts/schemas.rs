//! How the values of events look in JSON.
//!
//! Ids and texts have their bounds by construction, so their schemas are said here and not derived.
//! The patterns are such as every dialect of regular expressions reads, without looking ahead: who
//! generates code from them may not use ours.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::fraud::EventId;
use crate::ids::{MAX_OWNER, MAX_REASON, MAX_WALLET_ID};
use crate::metadata::MAX_METADATA_BYTES;
use crate::{Currency, Metadata, Owner, Reason, TransactionId, TransferId, WalletId};

/// Neither nothing nor a control character.
const PRINTABLE: &str = r"^[^\x00-\x1F\x7F-\x9F]+$";

/// A UUID as it is written.
const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

/// A positive decimal: of 16 digits before the point at most, and after it 2, 3 or 4, or none at all,
/// as currencies have.
const AMOUNT: &str = r"^([1-9][0-9]{0,15}(\.[0-9]{2,4})?|0\.(0{1,3}[1-9]|0{0,2}[1-9][0-9]{1,3}))$";

/// The same, of up to 19 digits, or zero.
const BALANCE: &str = r"^(0|[1-9][0-9]{0,18})(\.[0-9]{2,4})?$";

/// The same, of as many digits as there are.
const SUM: &str = r"^(0|[1-9][0-9]{0,27})(\.[0-9]{2,4})?$";

macro_rules! described {
    ($($name:ident = $schema:tt;)+) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

/// Stands for a positive amount in a schema.
#[derive(Debug)]
pub enum AmountText {}

/// Stands for a balance in a schema.
#[derive(Debug)]
pub enum BalanceText {}

/// Stands for a sum of amounts in a schema.
#[derive(Debug)]
pub enum SumText {}

/// Stands for a moment in a schema.
#[derive(Debug)]
pub enum TimeText {}

described! {
    AmountText = {
        "description": "More than zero, in the scale of its currency: 12.50 USD, 12 JPY.",
        "type": "string",
        "pattern": AMOUNT,
        "examples": ["12.50"],
    };
    BalanceText = {
        "description": "Zero or more, in the scale of its currency: 0.00 USD, 12 JPY.",
        "type": "string",
        "pattern": BALANCE,
        "examples": ["112.50"],
    };
    SumText = {
        "description": "Zero or more, in the scale of its currency.",
        "type": "string",
        "pattern": SUM,
        "examples": ["112.50"],
    };
    TimeText = {
        "description": "RFC 3339, in UTC.",
        "type": "string",
        "format": "date-time",
        "pattern": "Z$",
        "examples": ["2026-01-31T12:00:00.000001Z"],
    };
    Currency = {
        "description": "A currency of ISO 4217.",
        "type": "string",
        "pattern": "^[A-Z]{3}$",
        "examples": ["USD"],
    };
    WalletId = {
        "description": "The id of a wallet.",
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_WALLET_ID,
        "pattern": "^[A-Za-z0-9_-]+$",
        "examples": ["alice"],
    };
    TransferId = {
        "description": "The id of a transfer, and of its stream of events.",
        "type": "string",
        "format": "uuid",
        "pattern": UUID,
    };
    TransactionId = {
        "description": "What a client quotes when it asks about one deposit or withdrawal.",
        "type": "string",
        "format": "uuid",
        "pattern": UUID,
    };
    Owner = {
        "description": "To whom a wallet belongs, in the words of the company that runs the ledger.",
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_OWNER,
        "pattern": PRINTABLE,
    };
    Reason = {
        "description": "Why somebody froze, unfroze or closed a wallet.",
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_REASON,
        "pattern": PRINTABLE,
    };
    Metadata = {
        "description": format!(
            "What a client attached to its command: anything, of {MAX_METADATA_BYTES} bytes at most.",
        ),
        "type": "object",
    };
    EventId = {
        "description": "An event, as <partition>-<position>.",
        "type": "string",
        "pattern": "^[0-9]+-[0-9]+$",
        "examples": ["0-17"],
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::money::{MAX_AMOUNT, MAX_BALANCE};

    #[test]
    fn no_currency_has_other_decimals_than_the_patterns_say() {
        let decimals: BTreeSet<u32> = Currency::all().map(Currency::decimals).collect();
        assert_eq!(decimals, BTreeSet::from([0, 2, 3, 4]));
        assert_eq!(MAX_AMOUNT.to_string().len(), 16, "as many digits as an amount may have");
        assert_eq!(MAX_BALANCE.to_string().len(), 19, "as many digits as a balance may have");
    }
}

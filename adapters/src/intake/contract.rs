//! The messages, as other services see them. Each is a JSON object in a message of JetStream.
//!
//! | subject | body | asks for |
//! |---|---|---|
//! | `user.signup` | [`UserSignup`] | the wallet of a user |
//! | `transaction.completed` | [`TransactionCompleted`] | money to be moved, once |
//! | `transaction.failed` | [`TransactionFailed`] | what that transaction did to be reversed |
//! | `wallet.transactionFinalized` | [`TransactionFinalized`] | nothing: it tells what became of one |
//!
//! What comes in is not read by these types but field by field (see [`super::read`]): a derived reader
//! quotes in its complaints what it cannot read, and that may be somebody's name.

use florin_domain::WalletId;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::read::MAX_TRANSACTION;

/// A user has signed up.
pub const USER_SIGNUP: &str = "user.signup";

/// A transaction is to move its money.
pub const TRANSACTION_COMPLETED: &str = "transaction.completed";

/// A transaction is to have moved nothing.
pub const TRANSACTION_FAILED: &str = "transaction.failed";

/// What became of a transaction.
pub const TRANSACTION_FINALIZED: &str = "wallet.transactionFinalized";

/// Opens the wallet of a user. The message may have more fields, such as names and addresses: they are
/// neither read nor kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserSignup {
    /// The user: the id of the wallet, and its owner. `[A-Za-z0-9_-]{1,64}`.
    #[schemars(with = "WalletId")]
    pub id: String,
}

/// Moves money: from the outside world to a user, or from one user to another. Amounts are in the
/// currency of the wallet that they come from (of a top-up, go to), and may be texts, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum TransactionCompleted {
    /// Money comes from the outside world.
    TopUp {
        /// What makes it one: the same id is the same transaction. 1 to 128 visible ASCII characters.
        #[schemars(schema_with = "transaction")]
        transaction_id: String,
        /// Who gets it.
        #[schemars(with = "WalletId")]
        user_id: String,
        /// How much.
        #[schemars(schema_with = "amount")]
        amount: Number,
    },
    /// Money goes from one user to another.
    Transfer {
        /// What makes it one: the same id is the same transaction. 1 to 128 visible ASCII characters.
        #[schemars(schema_with = "transaction")]
        transaction_id: String,
        /// Who pays.
        #[schemars(with = "WalletId")]
        from_user_id: String,
        /// Who gets it.
        #[schemars(with = "WalletId")]
        to_user_id: String,
        /// How much.
        #[schemars(schema_with = "amount")]
        amount: Number,
    },
}

/// Reverses what a transaction did; does nothing if it did nothing, and then keeps it from doing
/// anything later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionFailed {
    /// Which.
    #[schemars(schema_with = "transaction")]
    pub transaction_id: String,
    /// What kind of transaction it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<TransactionKind>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What kind of transaction it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TransactionKind {
    /// Money from the outside world.
    TopUp,
    /// Money between two users.
    Transfer,
}

impl TransactionKind {
    /// As messages and rows have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TopUp => "TopUp",
            Self::Transfer => "Transfer",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::TopUp, Self::Transfer].into_iter().find(|kind| kind.name() == name)
    }
}

/// Tells what became of a transaction: once, and a second time if it was completed and then reversed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionFinalized {
    /// Which.
    #[schemars(schema_with = "transaction")]
    pub transaction_id: String,
    /// What became of it.
    pub status: FinalStatus,
    /// Why it failed: the code of a refusal, such as `insufficient-funds`, or what `transaction.failed`
    /// said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FinalStatus {
    /// Its money was moved.
    Completed,
    /// No money was moved, or it was moved back.
    Failed,
}

impl FinalStatus {
    /// As messages and rows have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Failed => "Failed",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Completed, Self::Failed].into_iter().find(|status| status.name() == name)
    }
}

fn transaction(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_TRANSACTION,
        "pattern": "^[!-~]+$",
    })
}

/// A number is read from its text, never through a float.
fn amount(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            { "type": "number", "exclusiveMinimum": 0 },
            { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$" },
        ],
        "examples": [12.5, "12.50"],
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_told_has_the_form_that_services_know() {
        let told = |status, reason: Option<&str>| TransactionFinalized {
            transaction_id: "t-1".to_owned(),
            status,
            reason: reason.map(str::to_owned),
        };
        assert_eq!(
            json!(told(FinalStatus::Completed, None)),
            json!({ "transactionId": "t-1", "status": "Completed" })
        );
        assert_eq!(
            json!(told(FinalStatus::Failed, Some("why"))),
            json!({ "transactionId": "t-1", "status": "Failed", "reason": "why" })
        );
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in [TransactionKind::TopUp, TransactionKind::Transfer] {
            assert_eq!(TransactionKind::named(kind.name()), Some(kind));
            assert_eq!(json!(kind), kind.name());
        }
        for status in [FinalStatus::Completed, FinalStatus::Failed] {
            assert_eq!(FinalStatus::named(status.name()), Some(status));
            assert_eq!(json!(status), status.name());
        }
        assert_eq!(TransactionKind::named("topup"), None);
    }
}

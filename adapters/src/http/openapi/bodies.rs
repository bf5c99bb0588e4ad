//! What writes take: a field a line, by its name of today. What is optional may be `null`, and fields
//! of other names are ignored.
#![expect(dead_code, reason = "descriptions: the fields of a request are read one by one")]

use utoipa::ToSchema;

use super::types::{
    CurrencyCode, InitialBalance, MetadataObject, OperatorName, OwnerName, ReasonText, RequestKey,
    RequestedAmount, WalletName,
};

/// `POST /wallets`.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({ "id": "alice", "currency": "USD", "initialBalance": "100.00" }))]
pub(in crate::http) struct OpenBody {
    /// A UUID is made up if there is none.
    id: Option<WalletName>,
    /// USD if there is none.
    currency: Option<CurrencyCode>,
    /// `balance` is another name for it.
    initial_balance: Option<InitialBalance>,
    owner: Option<OwnerName>,
    metadata: Option<MetadataObject>,
    /// `clientTransactionId` and the header `Idempotency-Key` are other names for it.
    request_id: Option<RequestKey>,
}

/// A deposit or a withdrawal.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({ "amount": "12.50", "requestId": "order-4711" }))]
pub(in crate::http) struct MoneyBody {
    amount: RequestedAmount,
    /// If given, it must be the wallet's.
    currency: Option<CurrencyCode>,
    metadata: Option<MetadataObject>,
    /// `clientTransactionId` and the header `Idempotency-Key` are other names for it.
    request_id: Option<RequestKey>,
}

/// A transfer from the wallet in the path.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({ "toWalletId": "bob", "amount": "12.50", "requestId": "order-4711" }))]
pub(in crate::http) struct TransferBody {
    /// `receiverWalletId` is another name for it.
    to_wallet_id: WalletName,
    amount: RequestedAmount,
    /// If given, it must be the wallets'.
    currency: Option<CurrencyCode>,
    metadata: Option<MetadataObject>,
    /// `clientTransactionId` and the header `Idempotency-Key` are other names for it.
    request_id: Option<RequestKey>,
}

/// A transfer between two wallets.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "fromWalletId": "alice", "toWalletId": "bob", "amount": "12.50", "requestId": "order-4711"
}))]
pub(in crate::http) struct TransferBetweenBody {
    /// `senderWalletId` is another name for it.
    from_wallet_id: WalletName,
    /// `receiverWalletId` is another name for it.
    to_wallet_id: WalletName,
    amount: RequestedAmount,
    /// If given, it must be the wallets'.
    currency: Option<CurrencyCode>,
    metadata: Option<MetadataObject>,
    /// `clientTransactionId` and the header `Idempotency-Key` are other names for it.
    request_id: Option<RequestKey>,
}

/// A change of a wallet's status.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({ "reason": "reported by the customer" }))]
pub(in crate::http) struct StatusBody {
    reason: Option<ReasonText>,
    /// `clientTransactionId` and the header `Idempotency-Key` are other names for it.
    request_id: Option<RequestKey>,
}

/// What somebody decides, with a reason if they like.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({ "by": "olga", "reason": "looking into it" }))]
pub(in crate::http) struct AcknowledgeBody {
    by: OperatorName,
    reason: Option<ReasonText>,
    /// Checked and not used: a decision is safe to send again without it.
    request_id: Option<RequestKey>,
}

/// What somebody decides, and why.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({ "by": "olga", "reason": "a known customer" }))]
pub(in crate::http) struct DecisionBody {
    by: OperatorName,
    reason: ReasonText,
    /// Checked and not used: a decision is safe to send again without it.
    request_id: Option<RequestKey>,
}

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

/// Many commands. Each has the fields of its single route, and `walletId` for the wallet in its path.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct BulkRequest {
    /// Whether all take effect or none; each by itself if it is not said.
    atomic: Option<bool>,
    #[schema(min_items = 1, max_items = 1000)]
    commands: Vec<BulkCommand>,
    /// Of an atomic bulk only. `clientTransactionId` and the header `Idempotency-Key` are other names
    /// for it.
    request_id: Option<RequestKey>,
}

/// A command of a bulk. `requestId` in it is for bulks that are not atomic.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
enum BulkCommand {
    /// Opens a wallet. In an atomic bulk, `walletId` is needed.
    #[serde(rename_all = "camelCase")]
    Open {
        /// `id` is another name for it.
        wallet_id: Option<WalletName>,
        currency: Option<CurrencyCode>,
        initial_balance: Option<InitialBalance>,
        owner: Option<OwnerName>,
        metadata: Option<MetadataObject>,
        request_id: Option<RequestKey>,
    },
    /// Money from the outside world.
    #[serde(rename_all = "camelCase")]
    Deposit {
        wallet_id: WalletName,
        amount: RequestedAmount,
        currency: Option<CurrencyCode>,
        metadata: Option<MetadataObject>,
        request_id: Option<RequestKey>,
    },
    /// Money to the outside world.
    #[serde(rename_all = "camelCase")]
    Withdraw {
        wallet_id: WalletName,
        amount: RequestedAmount,
        currency: Option<CurrencyCode>,
        metadata: Option<MetadataObject>,
        request_id: Option<RequestKey>,
    },
    /// Money to another wallet.
    #[serde(rename_all = "camelCase")]
    Transfer {
        /// `fromWalletId` is another name for it.
        wallet_id: WalletName,
        to_wallet_id: WalletName,
        amount: RequestedAmount,
        currency: Option<CurrencyCode>,
        metadata: Option<MetadataObject>,
        request_id: Option<RequestKey>,
    },
    /// Money stops leaving the wallet.
    #[serde(rename_all = "camelCase")]
    Freeze { wallet_id: WalletName, reason: Option<ReasonText>, request_id: Option<RequestKey> },
    /// Money may leave it again.
    #[serde(rename_all = "camelCase")]
    Unfreeze { wallet_id: WalletName, reason: Option<ReasonText>, request_id: Option<RequestKey> },
    /// Ends an empty wallet.
    #[serde(rename_all = "camelCase")]
    Close { wallet_id: WalletName, reason: Option<ReasonText>, request_id: Option<RequestKey> },
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

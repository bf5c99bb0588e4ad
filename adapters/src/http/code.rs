//! Everything that can be wrong, in one table: status, code, title.

use axum::http::StatusCode;
use florin_application::SubmitError;
use florin_domain::Refusal;

use crate::dead_letters::DeskError;

/// What is wrong, by name. The name in kebab case is the `code` of a problem, and does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    MalformedJson,
    MalformedBody,
    MissingField,
    ConflictingFields,
    InvalidAmount,
    TooManyDecimals,
    InvalidCurrency,
    InvalidWalletId,
    InvalidTransferId,
    InvalidRequestId,
    InvalidOwner,
    InvalidOperator,
    InvalidReason,
    InvalidMetadata,
    InvalidIfMatch,
    InvalidParameter,
    InvalidAlertId,
    InvalidDeadLetterId,
    InvalidCallId,
    InvalidOperationId,
    InvalidBulk,
    InvalidCommandType,
    MissingToken,
    InvalidToken,
    InsufficientScope,
    ReadOnly,
    NotFound,
    WalletNotFound,
    TransferNotFound,
    AlertNotFound,
    DeadLetterNotFound,
    OperationNotFound,
    KeyNotFound,
    CallNotFound,
    MethodNotAllowed,
    NotAcceptable,
    WalletExists,
    RequestInProgress,
    AlertDecided,
    DeadLetterSettled,
    DeadLetterBegun,
    UnreadableEvent,
    StatementIncomplete,
    VersionMismatch,
    BodyTooLarge,
    UnsupportedMediaType,
    InsufficientFunds,
    WalletFrozen,
    WalletClosed,
    WalletNotEmpty,
    TransferInFlight,
    BalanceLimit,
    CurrencyMismatch,
    SameWallet,
    IdempotencyMismatch,
    ReportTooLarge,
    DifferentPartitions,
    RateLimited,
    Internal,
    OperationFailed,
    Busy,
    ReadModelBehind,
    TooManyStreams,
    Unavailable,
}

impl Code {
    /// The table.
    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::MalformedJson => (400, "malformed-json", "Malformed JSON"),
            Self::MalformedBody => (400, "malformed-body", "Malformed body"),
            Self::MissingField => (400, "missing-field", "Missing field"),
            Self::ConflictingFields => (400, "conflicting-fields", "Conflicting fields"),
            Self::InvalidAmount => (400, "invalid-amount", "Invalid amount"),
            Self::TooManyDecimals => (400, "too-many-decimals", "Too many decimals"),
            Self::InvalidCurrency => (400, "invalid-currency", "Invalid currency"),
            Self::InvalidWalletId => (400, "invalid-wallet-id", "Invalid wallet id"),
            Self::InvalidTransferId => (400, "invalid-transfer-id", "Invalid transfer id"),
            Self::InvalidRequestId => (400, "invalid-request-id", "Invalid request id"),
            Self::InvalidOwner => (400, "invalid-owner", "Invalid owner"),
            Self::InvalidOperator => (400, "invalid-operator", "Invalid operator"),
            Self::InvalidReason => (400, "invalid-reason", "Invalid reason"),
            Self::InvalidMetadata => (400, "invalid-metadata", "Invalid metadata"),
            Self::InvalidIfMatch => (400, "invalid-if-match", "Invalid If-Match"),
            Self::InvalidParameter => (400, "invalid-parameter", "Invalid parameter"),
            Self::InvalidAlertId => (400, "invalid-alert-id", "Invalid alert id"),
            Self::InvalidDeadLetterId => (400, "invalid-dead-letter-id", "Invalid dead letter id"),
            Self::InvalidCallId => (400, "invalid-call-id", "Invalid call id"),
            Self::InvalidOperationId => (400, "invalid-operation-id", "Invalid operation id"),
            Self::InvalidBulk => (400, "invalid-bulk", "Invalid bulk"),
            Self::InvalidCommandType => (400, "invalid-command-type", "Invalid command type"),
            Self::MissingToken => (401, "missing-token", "Missing token"),
            Self::InvalidToken => (401, "invalid-token", "Invalid token"),
            Self::InsufficientScope => (403, "insufficient-scope", "Insufficient scope"),
            Self::ReadOnly => (403, "read-only", "Read-only"),
            Self::NotFound => (404, "not-found", "Not found"),
            Self::WalletNotFound => (404, "wallet-not-found", "Wallet not found"),
            Self::TransferNotFound => (404, "transfer-not-found", "Transfer not found"),
            Self::AlertNotFound => (404, "alert-not-found", "Alert not found"),
            Self::DeadLetterNotFound => (404, "dead-letter-not-found", "Dead letter not found"),
            Self::OperationNotFound => (404, "operation-not-found", "Operation not found"),
            Self::KeyNotFound => (404, "key-not-found", "Key not found"),
            Self::CallNotFound => (404, "call-not-found", "Call not found"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "Method not allowed"),
            Self::NotAcceptable => (406, "not-acceptable", "Not acceptable"),
            Self::WalletExists => (409, "wallet-exists", "Wallet exists"),
            Self::RequestInProgress => (409, "request-in-progress", "Request in progress"),
            Self::AlertDecided => (409, "alert-decided", "Alert decided"),
            Self::DeadLetterSettled => (409, "dead-letter-settled", "Dead letter settled"),
            Self::DeadLetterBegun => (409, "dead-letter-begun", "Dead letter begun"),
            Self::UnreadableEvent => (409, "unreadable-event", "Unreadable event"),
            Self::StatementIncomplete => (409, "statement-incomplete", "Statement incomplete"),
            Self::VersionMismatch => (412, "version-mismatch", "Version mismatch"),
            Self::BodyTooLarge => (413, "body-too-large", "Body too large"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "Unsupported media type"),
            Self::InsufficientFunds => (422, "insufficient-funds", "Insufficient funds"),
            Self::WalletFrozen => (422, "wallet-frozen", "Wallet frozen"),
            Self::WalletClosed => (422, "wallet-closed", "Wallet closed"),
            Self::WalletNotEmpty => (422, "wallet-not-empty", "Wallet not empty"),
            Self::TransferInFlight => (422, "transfer-in-flight", "Transfer in flight"),
            Self::BalanceLimit => (422, "balance-limit", "Balance limit"),
            Self::CurrencyMismatch => (422, "currency-mismatch", "Currency mismatch"),
            Self::SameWallet => (422, "same-wallet", "Same wallet"),
            Self::IdempotencyMismatch => (422, "idempotency-mismatch", "Idempotency mismatch"),
            Self::ReportTooLarge => (422, "report-too-large", "Report too large"),
            Self::DifferentPartitions => (422, "different-partitions", "Different partitions"),
            Self::RateLimited => (429, "rate-limited", "Rate limited"),
            Self::Internal => (500, "internal", "Internal error"),
            Self::OperationFailed => (500, "operation-failed", "Operation failed"),
            Self::Busy => (503, "busy", "Busy"),
            Self::ReadModelBehind => (503, "read-model-behind", "Read model behind"),
            Self::TooManyStreams => (503, "too-many-streams", "Too many streams"),
            Self::Unavailable => (503, "unavailable", "Unavailable"),
        }
    }

    /// The status it is answered with.
    pub(super) fn status(self) -> StatusCode {
        // The table has valid statuses only.
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Its name on the wire.
    pub(super) fn as_str(self) -> &'static str {
        self.row().1
    }

    /// Its name for people.
    pub(super) fn title(self) -> &'static str {
        self.row().2
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn passes(self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::ReadModelBehind
                | Self::TooManyStreams
                | Self::Unavailable
                | Self::RequestInProgress
                | Self::RateLimited
        )
    }
}

impl From<&Refusal> for Code {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::WalletNotFound => Self::WalletNotFound,
            Refusal::WalletExists => Self::WalletExists,
            Refusal::WalletFrozen => Self::WalletFrozen,
            Refusal::WalletClosed => Self::WalletClosed,
            Refusal::WalletNotEmpty { .. } => Self::WalletNotEmpty,
            Refusal::TransferInFlight => Self::TransferInFlight,
            Refusal::InsufficientFunds { .. } => Self::InsufficientFunds,
            Refusal::BalanceLimit { .. } => Self::BalanceLimit,
            Refusal::CurrencyMismatch { .. } => Self::CurrencyMismatch,
            Refusal::TooManyDecimals { .. } => Self::TooManyDecimals,
            Refusal::SameWallet => Self::SameWallet,
            // A step of the saga met it, not a client: the ledger has a defect.
            Refusal::TransferPhase => Self::Internal,
        }
    }
}

impl From<&SubmitError> for Code {
    fn from(error: &SubmitError) -> Self {
        match error {
            SubmitError::InProgress => Self::RequestInProgress,
            SubmitError::KeyReused => Self::IdempotencyMismatch,
            SubmitError::VersionMismatch { .. } => Self::VersionMismatch,
            SubmitError::Apart { .. } => Self::DifferentPartitions,
            SubmitError::Busy => Self::Busy,
            SubmitError::Unavailable => Self::Unavailable,
            SubmitError::Rejected => Self::Internal,
        }
    }
}

impl From<&DeskError> for Code {
    fn from(error: &DeskError) -> Self {
        match error {
            DeskError::NotFound(_) => Self::DeadLetterNotFound,
            DeskError::Settled(_) => Self::DeadLetterSettled,
            DeskError::Begun(_) => Self::DeadLetterBegun,
            DeskError::Away(_) => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use florin_projections::dead_letters::{DeadLetter, LetterId, State};

    use super::*;

    fn row(code: Code) -> (u16, &'static str) {
        (code.status().as_u16(), code.as_str())
    }

    #[test]
    fn every_refusal_has_its_status() {
        let (usd, eur) = ("USD".parse().unwrap(), "EUR".parse().unwrap());
        let (one, two) = (1.into(), 2.into());
        for (refusal, expected) in [
            (Refusal::WalletNotFound, (404, "wallet-not-found")),
            (Refusal::WalletExists, (409, "wallet-exists")),
            (Refusal::WalletFrozen, (422, "wallet-frozen")),
            (Refusal::WalletClosed, (422, "wallet-closed")),
            (Refusal::WalletNotEmpty { balance: one }, (422, "wallet-not-empty")),
            (Refusal::TransferInFlight, (422, "transfer-in-flight")),
            (
                Refusal::InsufficientFunds {
                    available: one,
                    requested: two,
                    currency: "USD".parse().unwrap(),
                },
                (422, "insufficient-funds"),
            ),
            (Refusal::BalanceLimit { limit: one }, (422, "balance-limit")),
            (Refusal::CurrencyMismatch { expected: usd, given: eur }, (422, "currency-mismatch")),
            (Refusal::TooManyDecimals { currency: usd, allowed: 2 }, (400, "too-many-decimals")),
            (Refusal::SameWallet, (422, "same-wallet")),
            (Refusal::TransferPhase, (500, "internal")),
        ] {
            assert_eq!(row(Code::from(&refusal)), expected, "{refusal:?}");
        }
    }

    #[test]
    fn every_request_without_an_outcome_has_its_status() {
        for (error, expected) in [
            (SubmitError::InProgress, (409, "request-in-progress")),
            (SubmitError::KeyReused, (422, "idempotency-mismatch")),
            (SubmitError::VersionMismatch { actual: 3 }, (412, "version-mismatch")),
            (
                SubmitError::Apart {
                    index: 1,
                    one: "a".parse().unwrap(),
                    other: "b".parse().unwrap(),
                },
                (422, "different-partitions"),
            ),
            (SubmitError::Busy, (503, "busy")),
            (SubmitError::Unavailable, (503, "unavailable")),
            (SubmitError::Rejected, (500, "internal")),
        ] {
            assert_eq!(row(Code::from(&error)), expected, "{error:?}");
        }
    }

    #[test]
    fn every_dead_letter_that_is_not_decided_about_has_its_status() {
        let id = LetterId { projection: "balance".to_owned(), partition: 0, position: 5 };
        let letter = DeadLetter {
            id: id.clone(),
            wallet_id: Some("alice".to_owned()),
            aggregate_type: "Wallet".to_owned(),
            aggregate_id: "alice".to_owned(),
            sequence: 3,
            event_type: "FundsBlessed".to_owned(),
            event_version: "1.0".to_owned(),
            payload: "{}".to_owned(),
            metadata: "{}".to_owned(),
            recorded_at: DateTime::UNIX_EPOCH,
            state: State::Discarded,
            error: "no event of this name is known".to_owned(),
            attempts: 3,
            first_at: DateTime::UNIX_EPOCH,
            last_at: DateTime::UNIX_EPOCH,
            decided_by: Some("olga".to_owned()),
            reason: Some("written by mistake".to_owned()),
        };
        for (error, expected) in [
            (DeskError::Begun(id.clone()), (409, "dead-letter-begun")),
            (DeskError::NotFound(id), (404, "dead-letter-not-found")),
            (DeskError::Settled(letter.into()), (409, "dead-letter-settled")),
            (DeskError::Away("gone".into()), (503, "unavailable")),
        ] {
            assert_eq!(row(Code::from(&error)), expected, "{error}");
        }
        assert_eq!(row(Code::InvalidDeadLetterId), (400, "invalid-dead-letter-id"));
    }

    #[test]
    fn a_code_is_the_same_as_in_the_journal() {
        let refusal = Refusal::BalanceLimit { limit: 1.into() };
        let kept = serde_json::to_value(&refusal).unwrap();
        assert_eq!(kept["code"], Code::from(&refusal).as_str());
    }
}

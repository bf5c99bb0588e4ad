//! The facts of a transfer. Their JSON is frozen by `domain/snapshots`: a change needs an upcaster.

use cqrs_es::DomainEvent;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::schemas::AmountText;
use crate::ids::WalletId;
use crate::metadata::Metadata;
use crate::money::Currency;
use crate::refusal::Refusal;
use crate::transfer::Leg;

/// What happened to a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the fields are named after what they hold")]
pub enum TransferEvent {
    /// The first event of every transfer: it is on record, nothing has moved.
    TransferInitiated {
        from: WalletId,
        to: WalletId,
        #[schemars(with = "AmountText")]
        amount: Decimal,
        currency: Currency,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Metadata")]
        metadata: Option<Metadata>,
    },
    /// The money left the source, which this leg describes, and is in flight.
    TransferDebited(Leg),
    /// The money has arrived at the target, which this leg describes.
    TransferCompleted(Leg),
    /// The target refused, and the source has its money back.
    TransferCompensated { reason: Refusal },
    /// The transfer ended without effect.
    TransferFailed { reason: Refusal },
}

impl TransferEvent {
    /// The name of the fact, as stored in `event_type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TransferInitiated { .. } => "TransferInitiated",
            Self::TransferDebited(_) => "TransferDebited",
            Self::TransferCompleted(_) => "TransferCompleted",
            Self::TransferCompensated { .. } => "TransferCompensated",
            Self::TransferFailed { .. } => "TransferFailed",
        }
    }

    /// The version of the fact's shape, as stored in `event_version`.
    pub fn version(&self) -> &'static str {
        match self {
            Self::TransferInitiated { .. }
            | Self::TransferDebited(_)
            | Self::TransferCompleted(_)
            | Self::TransferCompensated { .. }
            | Self::TransferFailed { .. } => "1.0",
        }
    }
}

impl DomainEvent for TransferEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        self.version().to_owned()
    }
}

//! The facts of a wallet. Their JSON is frozen by `domain/snapshots`: a change needs an upcaster.

use cqrs_es::DomainEvent;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::schemas::{AmountText, BalanceText};
use crate::ids::{Owner, Reason, TransactionId, TransferId, WalletId};
use crate::metadata::Metadata;
use crate::money::Currency;

/// What happened to a wallet. `amount` is positive; `balance` is what the wallet holds afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the fields are named after what they hold")]
pub enum WalletEvent {
    /// The first event of every wallet.
    WalletOpened {
        currency: Currency,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Owner")]
        owner: Option<Owner>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Metadata")]
        metadata: Option<Metadata>,
    },
    /// Money came from the outside world.
    FundsDeposited {
        transaction_id: TransactionId,
        #[schemars(with = "AmountText")]
        amount: Decimal,
        currency: Currency,
        #[schemars(with = "BalanceText")]
        balance: Decimal,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Metadata")]
        metadata: Option<Metadata>,
    },
    /// Money went to the outside world.
    FundsWithdrawn {
        transaction_id: TransactionId,
        #[schemars(with = "AmountText")]
        amount: Decimal,
        currency: Currency,
        #[schemars(with = "BalanceText")]
        balance: Decimal,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Metadata")]
        metadata: Option<Metadata>,
    },
    /// Money left for another wallet and is in flight.
    FundsDebited {
        transfer_id: TransferId,
        counterparty: WalletId,
        #[schemars(with = "AmountText")]
        amount: Decimal,
        currency: Currency,
        #[schemars(with = "BalanceText")]
        balance: Decimal,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Metadata")]
        metadata: Option<Metadata>,
    },
    /// Money arrived from another wallet.
    FundsCredited {
        transfer_id: TransferId,
        counterparty: WalletId,
        #[schemars(with = "AmountText")]
        amount: Decimal,
        currency: Currency,
        #[schemars(with = "BalanceText")]
        balance: Decimal,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Metadata")]
        metadata: Option<Metadata>,
    },
    /// Money in flight came back, because the other wallet refused it.
    FundsRefunded {
        transfer_id: TransferId,
        counterparty: WalletId,
        #[schemars(with = "AmountText")]
        amount: Decimal,
        currency: Currency,
        #[schemars(with = "BalanceText")]
        balance: Decimal,
    },
    /// From now on money comes in only.
    WalletFrozen {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Reason")]
        reason: Option<Reason>,
    },
    /// Money moves both ways again.
    WalletUnfrozen {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Reason")]
        reason: Option<Reason>,
    },
    /// Nothing moves any more.
    WalletClosed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Reason")]
        reason: Option<Reason>,
    },
}

impl WalletEvent {
    /// The name of the fact, as stored in `event_type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::WalletOpened { .. } => "WalletOpened",
            Self::FundsDeposited { .. } => "FundsDeposited",
            Self::FundsWithdrawn { .. } => "FundsWithdrawn",
            Self::FundsDebited { .. } => "FundsDebited",
            Self::FundsCredited { .. } => "FundsCredited",
            Self::FundsRefunded { .. } => "FundsRefunded",
            Self::WalletFrozen { .. } => "WalletFrozen",
            Self::WalletUnfrozen { .. } => "WalletUnfrozen",
            Self::WalletClosed { .. } => "WalletClosed",
        }
    }

    /// The version of the fact's shape, as stored in `event_version`.
    pub fn version(&self) -> &'static str {
        match self {
            // 1.0 had no currency: see `upcast`.
            Self::WalletOpened { .. } => "1.1",
            Self::FundsDeposited { .. }
            | Self::FundsWithdrawn { .. }
            | Self::FundsDebited { .. }
            | Self::FundsCredited { .. }
            | Self::FundsRefunded { .. }
            | Self::WalletFrozen { .. }
            | Self::WalletUnfrozen { .. }
            | Self::WalletClosed { .. } => "1.0",
        }
    }
}

impl DomainEvent for WalletEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        self.version().to_owned()
    }
}

//! Words for the given/when/then tests of the commands.

use cqrs_es::test::TestFramework;
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::ids::{TransactionId, TransferId, WalletId};
use crate::money::{Amount, Currency, RequestedAmount};
use crate::wallet::{Wallet, WalletEvent};

pub(crate) fn wallet() -> TestFramework<Wallet> {
    TestFramework::with(())
}

pub(crate) fn usd() -> Currency {
    Currency::USD
}

pub(crate) fn id(text: &str) -> WalletId {
    text.parse().unwrap()
}

pub(crate) fn transaction() -> TransactionId {
    TransactionId(Uuid::from_u128(1))
}

pub(crate) fn transfer() -> TransferId {
    TransferId(Uuid::from_u128(2))
}

pub(crate) fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn requested(text: &str) -> RequestedAmount {
    text.parse().unwrap()
}

pub(crate) fn amount(text: &str, currency: &str) -> Amount {
    requested(text).in_currency(currency.parse().unwrap()).unwrap()
}

pub(crate) fn opened() -> WalletEvent {
    let owner = Some("alice".parse().unwrap());
    WalletEvent::WalletOpened { currency: usd(), owner, metadata: None }
}

pub(crate) fn deposited(amount: &str, balance: &str) -> WalletEvent {
    WalletEvent::FundsDeposited {
        transaction_id: transaction(),
        amount: decimal(amount),
        currency: usd(),
        balance: decimal(balance),
        metadata: None,
    }
}

pub(crate) fn withdrawn(amount: &str, balance: &str) -> WalletEvent {
    WalletEvent::FundsWithdrawn {
        transaction_id: transaction(),
        amount: decimal(amount),
        currency: usd(),
        balance: decimal(balance),
        metadata: None,
    }
}

pub(crate) fn debited(to: &str, amount: &str, balance: &str) -> WalletEvent {
    WalletEvent::FundsDebited {
        transfer_id: transfer(),
        counterparty: id(to),
        amount: decimal(amount),
        currency: usd(),
        balance: decimal(balance),
        metadata: None,
    }
}

pub(crate) fn credited(from: &str, amount: &str, balance: &str) -> WalletEvent {
    WalletEvent::FundsCredited {
        transfer_id: transfer(),
        counterparty: id(from),
        amount: decimal(amount),
        currency: usd(),
        balance: decimal(balance),
        metadata: None,
    }
}

pub(crate) fn refunded(to: &str, amount: &str, balance: &str) -> WalletEvent {
    WalletEvent::FundsRefunded {
        transfer_id: transfer(),
        counterparty: id(to),
        amount: decimal(amount),
        currency: usd(),
        balance: decimal(balance),
    }
}

pub(crate) fn frozen() -> WalletEvent {
    WalletEvent::WalletFrozen { reason: None }
}

pub(crate) fn closed() -> WalletEvent {
    WalletEvent::WalletClosed { reason: None }
}

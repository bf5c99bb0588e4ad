use super::{Wallet, WalletEvent};
use crate::ids::{TransferId, WalletId};
use crate::metadata::Metadata;
use crate::money::Amount;
use crate::refusal::Refusal;

/// The first leg of a transfer: money out of the source, into flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debit {
    /// The transfer that it belongs to.
    pub transfer_id: TransferId,
    /// Who will receive it.
    pub to: WalletId,
    /// How much.
    pub amount: Amount,
    /// Kept with `FundsDebited`.
    pub metadata: Option<Metadata>,
}

impl Debit {
    pub(super) fn decide(self, wallet: &Wallet) -> Result<Vec<WalletEvent>, Refusal> {
        let account = wallet.opened()?;
        let amount = self.amount;
        if amount.currency() != account.currency {
            return Err(Refusal::CurrencyMismatch {
                expected: account.currency,
                given: amount.currency(),
            });
        }
        Ok(vec![WalletEvent::FundsDebited {
            balance: account.pay(amount)?,
            transfer_id: self.transfer_id,
            counterparty: self.to,
            amount: amount.value(),
            currency: amount.currency(),
            metadata: self.metadata,
        }])
    }
}

#[cfg(test)]
mod tests {
    use crate::refusal::Refusal;
    use crate::wallet::testing::*;
    use crate::wallet::{Debit, WalletCommand};

    fn debit(text: &str, currency: &str) -> WalletCommand {
        WalletCommand::Debit(Debit {
            transfer_id: transfer(),
            to: id("bob"),
            amount: amount(text, currency),
            metadata: None,
        })
    }

    #[test]
    fn money_goes_into_flight() {
        wallet()
            .given(vec![opened(), deposited("5.00", "5.00")])
            .when(debit("2", "USD"))
            .then_expect_events(vec![debited("bob", "2.00", "3.00")]);
    }

    #[test]
    fn a_debit_is_refused_as_a_withdrawal_is() {
        let funded = vec![opened(), deposited("5.00", "5.00")];
        wallet().given(funded.clone()).when(debit("6", "USD")).then_expect_error(
            Refusal::InsufficientFunds {
                available: decimal("5.00"),
                requested: decimal("6.00"),
                currency: usd(),
            },
        );
        wallet()
            .given(funded.clone())
            .and(vec![frozen()])
            .when(debit("1", "USD"))
            .then_expect_error(Refusal::WalletFrozen);
        wallet()
            .given(vec![opened(), closed()])
            .when(debit("1", "USD"))
            .then_expect_error(Refusal::WalletClosed);
        wallet()
            .given_no_previous_events()
            .when(debit("1", "USD"))
            .then_expect_error(Refusal::WalletNotFound);
        wallet().given(funded).when(debit("1", "EUR")).then_expect_error(
            Refusal::CurrencyMismatch { expected: usd(), given: "EUR".parse().unwrap() },
        );
    }
}

use super::{Wallet, WalletEvent};
use crate::ids::TransactionId;
use crate::metadata::Metadata;
use crate::money::{Currency, RequestedAmount};
use crate::refusal::Refusal;

/// Money out of a wallet to the outside world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdraw {
    /// Born with the request.
    pub transaction_id: TransactionId,
    /// How much.
    pub amount: RequestedAmount,
    /// The currency meant; the wallet's own when not said.
    pub currency: Option<Currency>,
    /// Kept with `FundsWithdrawn`.
    pub metadata: Option<Metadata>,
}

impl Withdraw {
    pub(super) fn decide(self, wallet: &Wallet) -> Result<Vec<WalletEvent>, Refusal> {
        let account = wallet.opened()?;
        let amount = account.own(self.amount, self.currency)?;
        let balance = account.pay(amount)?;
        Ok(vec![WalletEvent::FundsWithdrawn {
            transaction_id: self.transaction_id,
            amount: amount.value(),
            currency: amount.currency(),
            balance,
            metadata: self.metadata,
        }])
    }
}

#[cfg(test)]
mod tests {
    use crate::refusal::Refusal;
    use crate::wallet::testing::*;
    use crate::wallet::{WalletCommand, Withdraw};

    fn withdraw(amount: &str, currency: Option<&str>) -> WalletCommand {
        WalletCommand::Withdraw(Withdraw {
            transaction_id: transaction(),
            amount: requested(amount),
            currency: currency.map(|code| code.parse().unwrap()),
            metadata: None,
        })
    }

    #[test]
    fn money_goes_out_to_the_last_cent() {
        wallet()
            .given(vec![opened(), deposited("5.00", "5.00")])
            .when(withdraw("5", None))
            .then_expect_events(vec![withdrawn("5.00", "0.00")]);
    }

    #[test]
    fn a_withdrawal_beyond_the_balance_is_refused() {
        wallet()
            .given(vec![opened(), deposited("5.00", "5.00")])
            .when(withdraw("5.01", None))
            .then_expect_error(Refusal::InsufficientFunds {
                available: decimal("5.00"),
                requested: decimal("5.01"),
                currency: usd(),
            });
    }

    #[test]
    fn an_unknown_wallet_has_nothing_to_withdraw() {
        wallet()
            .given_no_previous_events()
            .when(withdraw("1", None))
            .then_expect_error(Refusal::WalletNotFound);
    }

    #[test]
    fn a_frozen_wallet_gives_nothing_out() {
        wallet()
            .given(vec![opened(), deposited("5.00", "5.00"), frozen()])
            .when(withdraw("1", None))
            .then_expect_error(Refusal::WalletFrozen);
    }

    #[test]
    fn a_closed_wallet_gives_nothing_out() {
        wallet()
            .given(vec![opened(), closed()])
            .when(withdraw("1", None))
            .then_expect_error(Refusal::WalletClosed);
    }

    #[test]
    fn another_currency_is_refused() {
        wallet().given(vec![opened()]).when(withdraw("1", Some("EUR"))).then_expect_error(
            Refusal::CurrencyMismatch { expected: usd(), given: "EUR".parse().unwrap() },
        );
    }

    #[test]
    fn more_decimals_than_the_currency_has_are_refused() {
        wallet()
            .given(vec![opened(), deposited("5.00", "5.00")])
            .when(withdraw("0.001", None))
            .then_expect_error(Refusal::TooManyDecimals { currency: usd(), allowed: 2 });
    }
}

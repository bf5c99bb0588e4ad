use super::{Wallet, WalletEvent};
use crate::ids::{Owner, TransactionId};
use crate::metadata::Metadata;
use crate::money::{Currency, RequestedAmount};
use crate::refusal::Refusal;

/// Money from the outside world into a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposit {
    /// Born with the request.
    pub transaction_id: TransactionId,
    /// How much.
    pub amount: RequestedAmount,
    /// The currency meant; the wallet's own when not said.
    pub currency: Option<Currency>,
    /// Kept with `FundsDeposited`.
    pub metadata: Option<Metadata>,
    /// Whether a wallet that was never opened is opened by this (in US dollars when not said).
    pub opens_unknown: bool,
    /// Whom a wallet belongs to that is opened by this.
    pub owner: Option<Owner>,
}

impl Deposit {
    pub(super) fn decide(self, wallet: &Wallet) -> Result<Vec<WalletEvent>, Refusal> {
        let Self { transaction_id, amount, currency, metadata, opens_unknown, owner } = self;
        let mut events = Vec::with_capacity(1);
        let (amount, balance) = match wallet.account() {
            Some(account) => {
                let amount = account.own(amount, currency)?;
                (amount, account.receive(amount)?)
            }
            None if opens_unknown => {
                let currency = currency.unwrap_or(Currency::USD);
                let amount = amount.in_currency(currency)?;
                events.push(WalletEvent::WalletOpened { currency, owner, metadata: None });
                (amount, amount.value())
            }
            None => return Err(Refusal::WalletNotFound),
        };
        events.push(WalletEvent::FundsDeposited {
            transaction_id,
            amount: amount.value(),
            currency: amount.currency(),
            balance,
            metadata,
        });
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use crate::money::MAX_BALANCE;
    use crate::refusal::Refusal;
    use crate::wallet::testing::*;
    use crate::wallet::{Deposit, WalletCommand, WalletEvent};

    fn deposit(amount: &str, currency: Option<&str>, opens_unknown: bool) -> WalletCommand {
        WalletCommand::Deposit(Deposit {
            transaction_id: transaction(),
            amount: requested(amount),
            currency: currency.map(|code| code.parse().unwrap()),
            metadata: None,
            opens_unknown,
            owner: None,
        })
    }

    #[test]
    fn money_comes_in() {
        wallet()
            .given(vec![opened(), deposited("5.00", "5.00")])
            .when(deposit("2.5", Some("USD"), true))
            .then_expect_events(vec![deposited("2.50", "7.50")]);
    }

    #[test]
    fn a_frozen_wallet_takes_money_in() {
        wallet()
            .given(vec![opened(), frozen()])
            .when(deposit("1", None, true))
            .then_expect_events(vec![deposited("1.00", "1.00")]);
    }

    #[test]
    fn a_closed_wallet_takes_none() {
        wallet()
            .given(vec![opened(), closed()])
            .when(deposit("1", None, true))
            .then_expect_error(Refusal::WalletClosed);
    }

    #[test]
    fn an_unknown_wallet_is_opened_by_a_deposit() {
        wallet()
            .given_no_previous_events()
            .when(deposit("1", Some("JPY"), true))
            .then_expect_events(vec![
                WalletEvent::WalletOpened {
                    currency: "JPY".parse().unwrap(),
                    owner: None,
                    metadata: None,
                },
                WalletEvent::FundsDeposited {
                    transaction_id: transaction(),
                    amount: 1.into(),
                    currency: "JPY".parse().unwrap(),
                    balance: 1.into(),
                    metadata: None,
                },
            ]);
    }

    #[test]
    fn a_wallet_that_a_deposit_opens_belongs_to_whoever_deposits_for_themselves() {
        let deposit = WalletCommand::Deposit(Deposit {
            transaction_id: transaction(),
            amount: requested("1"),
            currency: None,
            metadata: None,
            opens_unknown: true,
            owner: Some("alice".parse().unwrap()),
        });
        wallet()
            .given_no_previous_events()
            .when(deposit)
            .then_expect_events(vec![opened(), deposited("1.00", "1.00")]);
    }

    #[test]
    fn an_unknown_wallet_stays_unknown_where_deposits_do_not_open() {
        wallet()
            .given_no_previous_events()
            .when(deposit("1", None, false))
            .then_expect_error(Refusal::WalletNotFound);
    }

    #[test]
    fn another_currency_is_refused() {
        wallet().given(vec![opened()]).when(deposit("1", Some("EUR"), true)).then_expect_error(
            Refusal::CurrencyMismatch { expected: usd(), given: "EUR".parse().unwrap() },
        );
    }

    #[test]
    fn more_decimals_than_the_currency_has_are_refused() {
        wallet()
            .given(vec![opened()])
            .when(deposit("1.001", None, true))
            .then_expect_error(Refusal::TooManyDecimals { currency: usd(), allowed: 2 });
    }

    #[test]
    fn a_balance_has_a_limit() {
        let full = MAX_BALANCE.to_string();
        wallet()
            .given(vec![opened(), deposited("1.00", &full)])
            .when(deposit("0.01", None, true))
            .then_expect_error(Refusal::BalanceLimit { limit: MAX_BALANCE });
    }
}

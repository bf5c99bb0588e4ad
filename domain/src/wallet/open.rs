use super::{Wallet, WalletEvent};
use crate::ids::{Owner, TransactionId};
use crate::metadata::Metadata;
use crate::money::{Currency, RequestedAmount};
use crate::refusal::Refusal;

/// Opens a wallet, with money from the outside world if an initial deposit is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The one currency it will hold.
    pub currency: Currency,
    /// Whom it belongs to.
    pub owner: Option<Owner>,
    /// Kept with `WalletOpened`.
    pub metadata: Option<Metadata>,
    /// The first deposit, which is a fact of its own.
    pub initial: Option<(TransactionId, RequestedAmount)>,
}

impl Open {
    pub(super) fn decide(self, wallet: &Wallet) -> Result<Vec<WalletEvent>, Refusal> {
        if wallet.account().is_some() {
            return Err(Refusal::WalletExists);
        }
        let Self { currency, owner, metadata, initial } = self;
        let mut events = vec![WalletEvent::WalletOpened { currency, owner, metadata }];
        if let Some((transaction_id, amount)) = initial {
            let amount = amount.in_currency(currency)?.value();
            events.push(WalletEvent::FundsDeposited {
                transaction_id,
                amount,
                currency,
                balance: amount,
                metadata: None,
            });
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use crate::refusal::Refusal;
    use crate::wallet::testing::*;
    use crate::wallet::{Open, WalletCommand};

    fn open(initial: Option<&str>) -> WalletCommand {
        WalletCommand::Open(Open {
            currency: usd(),
            owner: Some("alice".parse().unwrap()),
            metadata: None,
            initial: initial.map(|text| (transaction(), requested(text))),
        })
    }

    #[test]
    fn a_wallet_opens_empty() {
        wallet().given_no_previous_events().when(open(None)).then_expect_events(vec![opened()]);
    }

    #[test]
    fn an_initial_balance_is_a_deposit() {
        wallet()
            .given_no_previous_events()
            .when(open(Some("5")))
            .then_expect_events(vec![opened(), deposited("5.00", "5.00")]);
    }

    #[test]
    fn a_wallet_opens_once() {
        wallet().given(vec![opened()]).when(open(None)).then_expect_error(Refusal::WalletExists);
    }

    #[test]
    fn an_initial_balance_keeps_to_the_scale_of_the_currency() {
        wallet()
            .given_no_previous_events()
            .when(open(Some("5.001")))
            .then_expect_error(Refusal::TooManyDecimals { currency: usd(), allowed: 2 });
    }
}

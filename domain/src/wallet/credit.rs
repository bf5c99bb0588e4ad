use super::{Wallet, WalletEvent};
use crate::ids::{TransferId, WalletId};
use crate::metadata::Metadata;
use crate::money::Amount;
use crate::refusal::Refusal;

/// The second leg of a transfer: money out of flight, into the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// The transfer that it belongs to.
    pub transfer_id: TransferId,
    /// Who sent it.
    pub from: WalletId,
    /// How much.
    pub amount: Amount,
    /// Kept with `FundsCredited`.
    pub metadata: Option<Metadata>,
    /// Whether a wallet that was never opened is opened by this.
    pub opens_unknown: bool,
}

impl Credit {
    pub(super) fn decide(self, wallet: &Wallet) -> Result<Vec<WalletEvent>, Refusal> {
        let Self { transfer_id, from, amount, metadata, opens_unknown } = self;
        let currency = amount.currency();
        let mut events = Vec::with_capacity(1);
        let balance = match wallet.account() {
            Some(account) if account.currency != currency => {
                return Err(Refusal::CurrencyMismatch {
                    expected: account.currency,
                    given: currency,
                });
            }
            Some(account) => account.receive(amount)?,
            None if opens_unknown => {
                events.push(WalletEvent::WalletOpened { currency, owner: None, metadata: None });
                amount.value()
            }
            None => return Err(Refusal::WalletNotFound),
        };
        events.push(WalletEvent::FundsCredited {
            transfer_id,
            counterparty: from,
            amount: amount.value(),
            currency,
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
    use crate::wallet::{Credit, WalletCommand, WalletEvent};

    fn credit(currency: &str, opens_unknown: bool) -> WalletCommand {
        WalletCommand::Credit(Credit {
            transfer_id: transfer(),
            from: id("alice"),
            amount: amount("2", currency),
            metadata: None,
            opens_unknown,
        })
    }

    #[test]
    fn money_arrives_even_in_a_frozen_wallet() {
        wallet()
            .given(vec![opened(), frozen()])
            .when(credit("USD", true))
            .then_expect_events(vec![credited("alice", "2.00", "2.00")]);
    }

    #[test]
    fn an_unknown_wallet_is_opened_by_incoming_money() {
        let opened = WalletEvent::WalletOpened { currency: usd(), owner: None, metadata: None };
        wallet()
            .given_no_previous_events()
            .when(credit("USD", true))
            .then_expect_events(vec![opened, credited("alice", "2.00", "2.00")]);
    }

    #[test]
    fn a_credit_is_refused_as_a_deposit_is() {
        wallet()
            .given_no_previous_events()
            .when(credit("USD", false))
            .then_expect_error(Refusal::WalletNotFound);
        wallet()
            .given(vec![opened(), closed()])
            .when(credit("USD", true))
            .then_expect_error(Refusal::WalletClosed);
        wallet().given(vec![opened()]).when(credit("EUR", true)).then_expect_error(
            Refusal::CurrencyMismatch { expected: usd(), given: "EUR".parse().unwrap() },
        );
        let full = MAX_BALANCE.to_string();
        wallet()
            .given(vec![opened(), deposited("1.00", &full)])
            .when(credit("USD", true))
            .then_expect_error(Refusal::BalanceLimit { limit: MAX_BALANCE });
    }
}

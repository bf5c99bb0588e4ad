use super::{Status, Wallet, WalletEvent};
use crate::ids::Reason;
use crate::refusal::Refusal;

/// Ends an empty wallet for good; asked again, it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// Kept with `WalletClosed`.
    pub reason: Option<Reason>,
    /// Whether money of this wallet is on its way: it may come back, so the wallet is not empty.
    pub in_flight: bool,
}

impl Close {
    pub(super) fn decide(self, wallet: &Wallet) -> Result<Vec<WalletEvent>, Refusal> {
        let account = wallet.opened()?;
        match account.status {
            Status::Closed => Ok(vec![]),
            Status::Active | Status::Frozen if !account.balance.is_zero() => {
                Err(Refusal::WalletNotEmpty { balance: account.balance })
            }
            Status::Active | Status::Frozen if self.in_flight => Err(Refusal::TransferInFlight),
            Status::Active | Status::Frozen => {
                Ok(vec![WalletEvent::WalletClosed { reason: self.reason }])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::refusal::Refusal;
    use crate::wallet::testing::*;
    use crate::wallet::{Close, WalletCommand};

    fn close(in_flight: bool) -> WalletCommand {
        WalletCommand::Close(Close { reason: None, in_flight })
    }

    #[test]
    fn an_empty_wallet_closes_frozen_or_not() {
        wallet().given(vec![opened()]).when(close(false)).then_expect_events(vec![closed()]);
        wallet()
            .given(vec![opened(), frozen()])
            .when(close(false))
            .then_expect_events(vec![closed()]);
    }

    #[test]
    fn closing_twice_is_closing_once() {
        wallet().given(vec![opened(), closed()]).when(close(false)).then_expect_events(vec![]);
    }

    #[test]
    fn a_wallet_with_money_does_not_close() {
        wallet()
            .given(vec![opened(), deposited("5.00", "5.00")])
            .when(close(false))
            .then_expect_error(Refusal::WalletNotEmpty { balance: decimal("5.00") });
    }

    #[test]
    fn a_wallet_whose_money_may_come_back_does_not_close() {
        wallet()
            .given(vec![opened()])
            .when(close(true))
            .then_expect_error(Refusal::TransferInFlight);
    }

    #[test]
    fn an_unknown_wallet_does_not_close() {
        wallet()
            .given_no_previous_events()
            .when(close(false))
            .then_expect_error(Refusal::WalletNotFound);
    }
}

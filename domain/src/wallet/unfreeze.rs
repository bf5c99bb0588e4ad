use super::{Status, Wallet, WalletEvent};
use crate::ids::Reason;
use crate::refusal::Refusal;

/// Lets money leave a frozen wallet again; asked again, it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfreeze {
    /// Kept with `WalletUnfrozen`.
    pub reason: Option<Reason>,
}

impl Unfreeze {
    pub(super) fn decide(self, wallet: &Wallet) -> Result<Vec<WalletEvent>, Refusal> {
        match wallet.opened()?.status {
            Status::Frozen => Ok(vec![WalletEvent::WalletUnfrozen { reason: self.reason }]),
            Status::Active => Ok(vec![]),
            Status::Closed => Err(Refusal::WalletClosed),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::refusal::Refusal;
    use crate::wallet::testing::*;
    use crate::wallet::{Unfreeze, WalletCommand, WalletEvent};

    fn unfreeze() -> WalletCommand {
        WalletCommand::Unfreeze(Unfreeze { reason: None })
    }

    #[test]
    fn a_frozen_wallet_thaws() {
        wallet()
            .given(vec![opened(), frozen()])
            .when(unfreeze())
            .then_expect_events(vec![WalletEvent::WalletUnfrozen { reason: None }]);
    }

    #[test]
    fn an_active_wallet_stays_as_it_is() {
        wallet().given(vec![opened()]).when(unfreeze()).then_expect_events(vec![]);
    }

    #[test]
    fn unknown_and_closed_wallets_do_not_thaw() {
        wallet()
            .given_no_previous_events()
            .when(unfreeze())
            .then_expect_error(Refusal::WalletNotFound);
        wallet()
            .given(vec![opened(), closed()])
            .when(unfreeze())
            .then_expect_error(Refusal::WalletClosed);
    }
}

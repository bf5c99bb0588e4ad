use super::{Status, Wallet, WalletEvent};
use crate::ids::Reason;
use crate::refusal::Refusal;

/// Stops money from leaving a wallet; asked again, it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Kept with `WalletFrozen`.
    pub reason: Option<Reason>,
}

impl Freeze {
    pub(super) fn decide(self, wallet: &Wallet) -> Result<Vec<WalletEvent>, Refusal> {
        match wallet.opened()?.status {
            Status::Active => Ok(vec![WalletEvent::WalletFrozen { reason: self.reason }]),
            Status::Frozen => Ok(vec![]),
            Status::Closed => Err(Refusal::WalletClosed),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::refusal::Refusal;
    use crate::wallet::testing::*;
    use crate::wallet::{Freeze, WalletCommand};

    fn freeze() -> WalletCommand {
        WalletCommand::Freeze(Freeze { reason: None })
    }

    #[test]
    fn an_active_wallet_freezes() {
        wallet().given(vec![opened()]).when(freeze()).then_expect_events(vec![frozen()]);
    }

    #[test]
    fn freezing_twice_is_freezing_once() {
        wallet().given(vec![opened(), frozen()]).when(freeze()).then_expect_events(vec![]);
    }

    #[test]
    fn unknown_and_closed_wallets_do_not_freeze() {
        wallet()
            .given_no_previous_events()
            .when(freeze())
            .then_expect_error(Refusal::WalletNotFound);
        wallet()
            .given(vec![opened(), closed()])
            .when(freeze())
            .then_expect_error(Refusal::WalletClosed);
    }
}

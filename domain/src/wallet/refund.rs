use super::{Wallet, WalletEvent};
use crate::ids::{TransferId, WalletId};
use crate::money::Amount;
use crate::refusal::Refusal;

/// Money out of flight, back into the source, because the target refused it.
///
/// The wallet's own money always comes home: refused, it would be in flight for ever. So a frozen
/// wallet takes it, and `Close` waits for transfers under way. The limit of a balance cannot be
/// passed in earnest, but if it were, the money still comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The transfer that it belongs to.
    pub transfer_id: TransferId,
    /// Who refused it.
    pub to: WalletId,
    /// How much.
    pub amount: Amount,
}

impl Refund {
    pub(super) fn decide(self, wallet: &Wallet) -> Result<Vec<WalletEvent>, Refusal> {
        let account = wallet.opened()?;
        Ok(vec![WalletEvent::FundsRefunded {
            balance: account.balance + self.amount.value(),
            transfer_id: self.transfer_id,
            counterparty: self.to,
            amount: self.amount.value(),
            currency: self.amount.currency(),
        }])
    }
}

#[cfg(test)]
mod tests {
    use crate::refusal::Refusal;
    use crate::wallet::testing::*;
    use crate::wallet::{Refund, WalletCommand};

    fn refund() -> WalletCommand {
        WalletCommand::Refund(Refund {
            transfer_id: transfer(),
            to: id("bob"),
            amount: amount("2", "USD"),
        })
    }

    #[test]
    fn money_comes_back_whatever_happened_to_the_wallet_meanwhile() {
        let sent = vec![opened(), deposited("2.00", "2.00"), debited("bob", "2.00", "0.00")];
        for meanwhile in [vec![], vec![frozen()], vec![closed()]] {
            wallet()
                .given(sent.clone())
                .and(meanwhile)
                .when(refund())
                .then_expect_events(vec![refunded("bob", "2.00", "2.00")]);
        }
    }

    #[test]
    fn nothing_comes_back_to_a_wallet_that_never_was() {
        wallet()
            .given_no_previous_events()
            .when(refund())
            .then_expect_error(Refusal::WalletNotFound);
    }
}

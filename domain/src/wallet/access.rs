//! Whose commands a wallet heeds, when they are given in the name of one owner.
//!
//! To everybody else a wallet is as one that was never opened. Only its id is taken: who opens a
//! wallet under it is told so.

use super::{Wallet, WalletCommand};
use crate::ids::Owner;
use crate::refusal::Refusal;

impl Wallet {
    /// Whether it is open and belongs to this owner.
    pub fn is_of(&self, owner: &Owner) -> bool {
        self.account().is_some_and(|account| account.owner.as_ref() == Some(owner))
    }

    /// Whether a command in the name of an owner is this wallet's to decide: it is theirs, or nobody's
    /// yet and opened by the command.
    ///
    /// # Errors
    /// [`Refusal::WalletNotFound`]; [`Refusal::WalletExists`] for one who would open it.
    pub fn heeds(&self, owner: &Owner, command: &WalletCommand) -> Result<(), Refusal> {
        let is_theirs = self.is_of(owner) || (self.account().is_none() && command.may_open());
        match command {
            _ if is_theirs => Ok(()),
            WalletCommand::Open(_) => Err(Refusal::WalletExists),
            WalletCommand::Deposit(_)
            | WalletCommand::Withdraw(_)
            | WalletCommand::Freeze(_)
            | WalletCommand::Unfreeze(_)
            | WalletCommand::Close(_)
            | WalletCommand::Debit(_)
            | WalletCommand::Credit(_)
            | WalletCommand::Refund(_) => Err(Refusal::WalletNotFound),
        }
    }
}

impl WalletCommand {
    /// Whether it opens a wallet that was never opened.
    fn may_open(&self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Deposit(deposit) => deposit.opens_unknown,
            Self::Credit(credit) => credit.opens_unknown,
            Self::Withdraw(_)
            | Self::Freeze(_)
            | Self::Unfreeze(_)
            | Self::Close(_)
            | Self::Debit(_)
            | Self::Refund(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wallet::testing::*;
    use crate::wallet::{Close, Deposit, Freeze, Open, WalletEvent, Withdraw};

    fn owner(name: &str) -> Owner {
        name.parse().unwrap()
    }

    fn known(event: &WalletEvent) -> Wallet {
        let mut wallet = Wallet::default();
        wallet.apply_event(event);
        wallet
    }

    fn deposit(opens_unknown: bool) -> WalletCommand {
        WalletCommand::Deposit(Deposit {
            transaction_id: transaction(),
            amount: requested("1"),
            currency: None,
            metadata: None,
            opens_unknown,
            owner: None,
        })
    }

    fn open() -> WalletCommand {
        WalletCommand::Open(Open { currency: usd(), owner: None, metadata: None, initial: None })
    }

    fn others() -> [WalletCommand; 3] {
        let withdraw = Withdraw {
            transaction_id: transaction(),
            amount: requested("1"),
            currency: None,
            metadata: None,
        };
        [
            WalletCommand::Withdraw(withdraw),
            WalletCommand::Freeze(Freeze { reason: None }),
            WalletCommand::Close(Close { reason: None, in_flight: false }),
        ]
    }

    #[test]
    fn a_wallet_heeds_its_owner() {
        let wallet = known(&opened());
        for command in others().into_iter().chain([open(), deposit(true), deposit(false)]) {
            assert_eq!(wallet.heeds(&owner("alice"), &command), Ok(()), "{command:?}");
        }
    }

    #[test]
    fn to_a_stranger_a_wallet_is_as_one_that_was_never_opened() {
        let ownerless = WalletEvent::WalletOpened { currency: usd(), owner: None, metadata: None };
        let unknown = Wallet::default();
        for wallet in [known(&opened()), known(&ownerless)] {
            for command in others().into_iter().chain([deposit(false)]) {
                let refused = wallet.heeds(&owner("mallory"), &command);
                assert_eq!(refused, Err(Refusal::WalletNotFound), "{command:?}");
                assert_eq!(refused, unknown.heeds(&owner("mallory"), &command), "{command:?}");
            }
        }
    }

    #[test]
    fn an_id_that_is_taken_cannot_be_opened_by_a_stranger() {
        let wallet = known(&opened());
        assert_eq!(wallet.heeds(&owner("mallory"), &open()), Err(Refusal::WalletExists));
        assert_eq!(wallet.heeds(&owner("mallory"), &deposit(true)), Err(Refusal::WalletNotFound));
    }

    #[test]
    fn an_id_that_is_free_is_anybodys_to_open() {
        for command in [open(), deposit(true)] {
            assert_eq!(Wallet::default().heeds(&owner("mallory"), &command), Ok(()));
        }
    }
}

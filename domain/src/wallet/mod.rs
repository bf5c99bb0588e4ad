//! The Wallet aggregate: who owns it, which currency it holds, how much, and whether it may move.
//!
//! | command | not opened | active | frozen | closed |
//! |---|---|---|---|---|
//! | [`Open`] | `WalletOpened` (+ `FundsDeposited`) | refused | refused | refused |
//! | [`Deposit`], [`Credit`] | opens first, or refused | money in | money in | refused |
//! | [`Withdraw`], [`Debit`] | refused | money out | refused | refused |
//! | [`Refund`] | refused | money back | money back | money back |
//! | [`Freeze`], [`Unfreeze`] | refused | `WalletFrozen`, nothing | nothing, `WalletUnfrozen` | refused |
//! | [`Close`] | refused | `WalletClosed` if empty | `WalletClosed` if empty | nothing |
//!
//! [`Wallet::decide`] reads and returns events or a [`Refusal`]; [`Wallet::apply_event`] writes and
//! cannot fail. The state holds only what a command reads, and the owner: of a command in somebody's
//! name, [`Wallet::heeds`] says whether the wallet is theirs.

mod access;
mod close;
mod credit;
mod debit;
mod deposit;
mod event;
mod freeze;
mod open;
mod refund;
mod unfreeze;
mod withdraw;

pub use close::Close;
pub use credit::Credit;
pub use debit::Debit;
pub use deposit::Deposit;
pub use event::WalletEvent;
pub use freeze::Freeze;
pub use open::Open;
pub use refund::Refund;
pub use unfreeze::Unfreeze;
pub use withdraw::Withdraw;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::ids::Owner;
use crate::money::{Amount, Currency, RequestedAmount, zero};
use crate::refusal::Refusal;

/// What can be asked of a wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the command of its name, documented there")]
pub enum WalletCommand {
    Open(Open),
    Deposit(Deposit),
    Withdraw(Withdraw),
    Freeze(Freeze),
    Unfreeze(Unfreeze),
    Close(Close),
    Debit(Debit),
    Credit(Credit),
    Refund(Refund),
}

/// Whether a wallet may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Money in and out.
    Active,
    /// Money in only.
    Frozen,
    /// Neither.
    Closed,
}

/// A wallet that was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The one currency it holds.
    pub currency: Currency,
    /// What it holds, never below zero, in the scale of the currency.
    pub balance: Decimal,
    /// Whether it may move.
    pub status: Status,
    /// Whom it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

/// The state of one wallet; [`Default`] is a wallet that was never opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wallet {
    account: Option<Account>,
}

impl Wallet {
    /// The opened wallet, or `None` when it never was.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// What follows from a command: events (none when it is already so), or the reason why not.
    ///
    /// # Errors
    /// The [`Refusal`] of the command's own file.
    pub fn decide(&self, command: WalletCommand) -> Result<Vec<WalletEvent>, Refusal> {
        match command {
            WalletCommand::Open(open) => open.decide(self),
            WalletCommand::Deposit(deposit) => deposit.decide(self),
            WalletCommand::Withdraw(withdraw) => withdraw.decide(self),
            WalletCommand::Freeze(freeze) => freeze.decide(self),
            WalletCommand::Unfreeze(unfreeze) => unfreeze.decide(self),
            WalletCommand::Close(close) => close.decide(self),
            WalletCommand::Debit(debit) => debit.decide(self),
            WalletCommand::Credit(credit) => credit.decide(self),
            WalletCommand::Refund(refund) => refund.decide(self),
        }
    }

    /// Takes a fact into the state. Events of a stream come in order, the first one opens.
    pub fn apply_event(&mut self, event: &WalletEvent) {
        if let WalletEvent::WalletOpened { currency, owner, .. } = event {
            self.account = Some(Account {
                currency: *currency,
                balance: zero(*currency),
                status: Status::Active,
                owner: owner.clone(),
            });
        }
        let Some(account) = &mut self.account else {
            return;
        };
        match event {
            WalletEvent::WalletOpened { .. } => {}
            WalletEvent::FundsDeposited { balance, .. }
            | WalletEvent::FundsWithdrawn { balance, .. }
            | WalletEvent::FundsDebited { balance, .. }
            | WalletEvent::FundsCredited { balance, .. }
            | WalletEvent::FundsRefunded { balance, .. } => account.balance = *balance,
            WalletEvent::WalletFrozen { .. } => account.status = Status::Frozen,
            WalletEvent::WalletUnfrozen { .. } => account.status = Status::Active,
            WalletEvent::WalletClosed { .. } => account.status = Status::Closed,
        }
    }

    pub(crate) fn opened(&self) -> Result<&Account, Refusal> {
        self.account().ok_or(Refusal::WalletNotFound)
    }
}

impl Account {
    /// The amount in this wallet's currency, if that is the one meant.
    fn own(&self, amount: RequestedAmount, meant: Option<Currency>) -> Result<Amount, Refusal> {
        match meant {
            Some(given) if given != self.currency => {
                Err(Refusal::CurrencyMismatch { expected: self.currency, given })
            }
            Some(_) | None => amount.in_currency(self.currency),
        }
    }

    /// Money in: a frozen wallet takes it, a closed one does not.
    fn receive(&self, amount: Amount) -> Result<Decimal, Refusal> {
        match self.status {
            Status::Active | Status::Frozen => amount.added_to(self.balance),
            Status::Closed => Err(Refusal::WalletClosed),
        }
    }

    /// Money out: only an active wallet gives it.
    fn pay(&self, amount: Amount) -> Result<Decimal, Refusal> {
        match self.status {
            Status::Active => amount.taken_from(self.balance),
            Status::Frozen => Err(Refusal::WalletFrozen),
            Status::Closed => Err(Refusal::WalletClosed),
        }
    }
}

impl Aggregate for Wallet {
    const TYPE: &'static str = "Wallet";
    type Command = WalletCommand;
    type Event = WalletEvent;
    type Error = Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: WalletCommand,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refusal> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: WalletEvent) {
        self.apply_event(&event);
    }
}

#[cfg(test)]
pub(crate) mod testing;

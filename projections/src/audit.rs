//! The audit: reads the whole journal and proves that the money adds up at every position.
//!
//! | invariant | how |
//! |---|---|
//! | positions are dense, the hash chain holds | each event follows the last one of its partition |
//! | sequences are dense | each event follows the last one of its stream |
//! | no wallet below zero, balances are right | balance = balance before ± amount, in the column too |
//! | Σ wallets + in flight = Σ deposits − Σ withdrawals | per currency, after every event |
//! | money is in one place | what a transfer debits is credited or refunded once, as its stream says |
//!
//! Partitions are read one after the other, so a credit may be met before its debit: what is in
//! flight is then negative for a while, and the sums hold all the same. Memory grows with wallets and
//! with transfers under way, not with events.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use florin_domain::journal::{Event, GENESIS, Hash, RecordedEvent};
use florin_domain::transfer::Phase;
use florin_domain::upcast::{UnreadableEvent, decode};
use florin_domain::{Currency, Transfer, TransferEvent, TransferId, Wallet, WalletEvent};
use rust_decimal::Decimal;
use thiserror::Error;

/// Something that is not as it must be.
#[derive(Debug, Error)]
pub enum Problem {
    /// With the event at a position.
    #[error("{partition}-{position}: {what}")]
    At {
        /// Where.
        partition: u32,
        /// Where.
        position: u64,
        /// What is wrong.
        what: String,
    },
    /// The event cannot be read.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// With a transfer, after everything was read.
    #[error("transfer {id}: {what}")]
    Transfer {
        /// Which.
        id: TransferId,
        /// What is wrong.
        what: String,
    },
}

/// The sums of one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// What came from the outside world.
    pub deposited: Decimal,
    /// What went to the outside world.
    pub withdrawn: Decimal,
    /// What all wallets hold.
    pub in_wallets: Decimal,
    /// What has left a source and has not arrived.
    pub in_flight: Decimal,
}

impl Totals {
    fn balance(&self) -> bool {
        self.in_wallets + self.in_flight == self.deposited - self.withdrawn
    }
}

/// What was found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many events there are.
    pub events: u64,
    /// How many wallets.
    pub wallets: usize,
    /// How many transfers have not ended.
    pub unfinished: usize,
    /// The sums, by currency.
    pub totals: BTreeMap<Currency, Totals>,
}

/// The fold. Feed it every event of each partition in order, then [`Audit::finish`].
#[derive(Debug, Default)]
pub struct Audit {
    events: u64,
    heads: HashMap<u32, (u64, Hash)>,
    wallets: HashMap<Arc<str>, (u64, Wallet)>,
    transfers: HashMap<TransferId, Path>,
    totals: BTreeMap<Currency, Totals>,
}

/// What is known of a transfer until it has ended and both its legs were met.
#[derive(Debug, Default)]
struct Path {
    version: u64,
    transfer: Transfer,
    debited: Decimal,
    credited: Decimal,
    refunded: Decimal,
}

impl Audit {
    /// Takes the next event of its partition.
    ///
    /// # Errors
    /// The [`Problem`] with it.
    pub fn take(&mut self, recorded: &RecordedEvent) -> Result<(), Problem> {
        self.events += 1;
        self.check_chain(recorded)?;
        match decode(recorded)? {
            Event::Wallet(event) => self.take_wallet(recorded, &event),
            Event::Transfer(event) => self.take_transfer(recorded, &event),
        }
    }

    /// What was found, once every event was taken.
    ///
    /// # Errors
    /// The first transfer whose stream and legs disagree.
    pub fn finish(self) -> Result<Summary, Problem> {
        let mut unfinished = 0;
        for (id, path) in &self.transfers {
            match path.verdict() {
                Ok(true) => {}
                Ok(false) => unfinished += 1,
                Err(what) => return Err(Problem::Transfer { id: *id, what }),
            }
        }
        Ok(Summary {
            events: self.events,
            wallets: self.wallets.len(),
            unfinished,
            totals: self.totals,
        })
    }

    fn check_chain(&mut self, recorded: &RecordedEvent) -> Result<(), Problem> {
        let head = self.heads.entry(recorded.partition).or_insert((0, GENESIS));
        if recorded.position != head.0 + 1 {
            return Err(at(recorded, format!("follows position {}", head.0)));
        }
        if recorded.hash != recorded.chained(&head.1) {
            return Err(at(recorded, "its hash does not match its content and what is before it"));
        }
        *head = (recorded.position, recorded.hash);
        Ok(())
    }

    fn take_wallet(
        &mut self,
        recorded: &RecordedEvent,
        event: &WalletEvent,
    ) -> Result<(), Problem> {
        let (version, wallet) = self.wallets.entry(Arc::clone(&recorded.aggregate_id)).or_default();
        if recorded.sequence != *version + 1 {
            return Err(at(recorded, format!("sequence {} follows {version}", recorded.sequence)));
        }
        let before = wallet.account().map_or(Decimal::ZERO, |account| account.balance);
        wallet.apply_event(event);
        *version = recorded.sequence;
        let Some(account) = wallet.account() else {
            return Err(at(recorded, "the wallet was never opened"));
        };
        let (balance, currency) = (account.balance, account.currency);
        if recorded.balance != Some(balance) || balance < Decimal::ZERO {
            return Err(at(recorded, format!("balance {balance}, stored {:?}", recorded.balance)));
        }
        let moved = self.take_movement(recorded, event, currency)?;
        if balance != before + moved {
            return Err(at(recorded, format!("balance {balance} follows {before} by {moved}")));
        }
        let totals = self.totals.entry(currency).or_default();
        totals.in_wallets += moved;
        match totals.balance() {
            true => Ok(()),
            false => Err(at(recorded, format!("the sums of {currency} do not add up: {totals:?}"))),
        }
    }

    /// Books the other side of a wallet's event; answers with the change of the wallet.
    fn take_movement(
        &mut self,
        recorded: &RecordedEvent,
        event: &WalletEvent,
        own: Currency,
    ) -> Result<Decimal, Problem> {
        let (currency, amount) = match event {
            WalletEvent::WalletOpened { .. }
            | WalletEvent::WalletFrozen { .. }
            | WalletEvent::WalletUnfrozen { .. }
            | WalletEvent::WalletClosed { .. } => return Ok(Decimal::ZERO),
            WalletEvent::FundsDeposited { currency, amount, .. }
            | WalletEvent::FundsWithdrawn { currency, amount, .. }
            | WalletEvent::FundsDebited { currency, amount, .. }
            | WalletEvent::FundsCredited { currency, amount, .. }
            | WalletEvent::FundsRefunded { currency, amount, .. } => (*currency, *amount),
        };
        if currency != own || amount <= Decimal::ZERO {
            return Err(at(recorded, format!("moves {amount} {currency} in a wallet of {own}")));
        }
        let totals = self.totals.entry(currency).or_default();
        match event {
            WalletEvent::WalletOpened { .. }
            | WalletEvent::WalletFrozen { .. }
            | WalletEvent::WalletUnfrozen { .. }
            | WalletEvent::WalletClosed { .. } => Ok(Decimal::ZERO),
            WalletEvent::FundsDeposited { .. } => {
                totals.deposited += amount;
                Ok(amount)
            }
            WalletEvent::FundsWithdrawn { .. } => {
                totals.withdrawn += amount;
                Ok(-amount)
            }
            WalletEvent::FundsDebited { transfer_id, .. } => {
                totals.in_flight += amount;
                self.leg(*transfer_id, |path| path.debited += amount);
                Ok(-amount)
            }
            WalletEvent::FundsCredited { transfer_id, .. } => {
                totals.in_flight -= amount;
                self.leg(*transfer_id, |path| path.credited += amount);
                Ok(amount)
            }
            WalletEvent::FundsRefunded { transfer_id, .. } => {
                totals.in_flight -= amount;
                self.leg(*transfer_id, |path| path.refunded += amount);
                Ok(amount)
            }
        }
    }

    fn take_transfer(
        &mut self,
        recorded: &RecordedEvent,
        event: &TransferEvent,
    ) -> Result<(), Problem> {
        let id = recorded.aggregate_id.parse().map(TransferId);
        let id = id.map_err(|_| at(recorded, "a transfer's id is a UUID"))?;
        let path = self.transfers.entry(id).or_default();
        if recorded.sequence != path.version + 1 {
            return Err(at(
                recorded,
                format!("sequence {} follows {}", recorded.sequence, path.version),
            ));
        }
        path.transfer.apply_event(event);
        path.version = recorded.sequence;
        self.forget_if_over(id);
        Ok(())
    }

    fn leg(&mut self, id: TransferId, note: impl FnOnce(&mut Path)) {
        note(self.transfers.entry(id).or_default());
        self.forget_if_over(id);
    }

    /// A transfer that has ended in order needs no memory. (A leg that came later all the same would
    /// be met without its transfer, and reported at the end.)
    fn forget_if_over(&mut self, id: TransferId) {
        if self.transfers.get(&id).is_some_and(|path| path.verdict() == Ok(true)) {
            self.transfers.remove(&id);
        }
    }
}

impl Path {
    /// Whether the transfer has ended with both legs as its stream says; the reason if it cannot.
    fn verdict(&self) -> Result<bool, String> {
        let Some(details) = self.transfer.details() else {
            return Err("has legs, but no stream".to_owned());
        };
        let amount = details.amount.value();
        let legs = (self.debited, self.credited, self.refunded);
        let zero = Decimal::ZERO;
        let over = match details.phase {
            Phase::Initiated => legs == (zero, zero, zero),
            Phase::Debited => legs == (amount, zero, zero) || legs == (amount, amount, zero),
            Phase::Compensated => legs == (amount, zero, amount),
            Phase::Completed => legs == (amount, amount, zero),
            Phase::Failed => legs == (zero, zero, zero) || legs == (amount, zero, amount),
        };
        let ended = matches!(details.phase, Phase::Completed | Phase::Failed);
        match over {
            true => Ok(ended),
            false => Err(format!(
                "is {:?} over {amount}, but was debited {}, credited {}, refunded {}",
                details.phase, legs.0, legs.1, legs.2
            )),
        }
    }
}

fn at(recorded: &RecordedEvent, what: impl Into<String>) -> Problem {
    Problem::At { partition: recorded.partition, position: recorded.position, what: what.into() }
}

#[cfg(test)]
mod tests;

//! What a range of the journal changes, page by page.
//!
//! A wallet's balance changes by what its event says it holds, less what the event before said: that
//! one is remembered, or read from the journal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::upcast::decode;
use florin_domain::{Currency, WalletEvent};
use rust_decimal::Decimal;

use super::sums::{ByCurrency, Held, Moved, Sums};
use super::{MAX_FOLDED, MAX_KNOWN, PAGE, TrialBalanceError};
use crate::ports::PastReader;

/// A fold under way.
pub(super) struct Fold<'a> {
    journal: &'a dyn PastReader,
    /// By wallet, the sequence of the last event that was met, and what it says.
    known: HashMap<Arc<str>, (u64, Decimal)>,
    /// In the partition of now: what is left out if it cannot be read.
    discarded: HashSet<u64>,
    folded: u64,
    /// [`PAGE`] and [`MAX_KNOWN`].
    bounds: (usize, usize),
}

impl<'a> Fold<'a> {
    pub(super) fn new(journal: &'a dyn PastReader) -> Self {
        Self::within(journal, (PAGE, MAX_KNOWN))
    }

    fn within(journal: &'a dyn PastReader, bounds: (usize, usize)) -> Self {
        let (known, discarded) = (HashMap::new(), HashSet::new());
        Self { journal, known, discarded, folded: 0, bounds }
    }

    /// Which events of the next partition are left out if they cannot be read.
    pub(super) fn leave_out(&mut self, discarded: &[u64]) {
        self.discarded = discarded.iter().copied().collect();
    }

    /// Over a range of a partition, without some wallets.
    pub(super) async fn range(
        &mut self,
        partition: u32,
        (from, to): (u64, u64),
        without: &HashSet<Arc<str>>,
    ) -> Result<ByCurrency, TrialBalanceError> {
        let (journal, limit) = (self.journal, self.bounds.0);
        let mut change = ByCurrency::default();
        let read = async |after: u64| match after < to {
            true => journal.of_wallets(partition, after, to, limit).await,
            false => Ok(Vec::new()),
        };
        let mut page = read(from).await?;
        while let Some(last) = page.last().map(|event| event.position) {
            page.retain(|event| !without.contains(&event.aggregate_id));
            // The next one is on its way meanwhile.
            let (next, taken) = tokio::join!(read(last), self.take(&page, &mut change));
            taken?;
            page = next?;
        }
        Ok(change)
    }

    /// Over one wallet's stream, up to a position of its partition.
    pub(super) async fn stream(
        &mut self,
        wallet: &Arc<str>,
        up_to: u64,
    ) -> Result<ByCurrency, TrialBalanceError> {
        let (mut change, mut after) = (ByCurrency::default(), 0);
        loop {
            let page = self.journal.wallet(wallet, after, up_to, self.bounds.0).await?;
            let Some(last) = page.last() else { return Ok(change) };
            after = last.sequence;
            self.take(&page, &mut change).await?;
        }
    }

    async fn take(
        &mut self,
        page: &[RecordedEvent],
        change: &mut ByCurrency,
    ) -> Result<(), TrialBalanceError> {
        self.folded += page.len() as u64;
        if self.folded > MAX_FOLDED {
            return Err(TrialBalanceError::TooFar(self.folded));
        }
        self.learn(page).await?;
        for recorded in page {
            let wallet = Arc::clone(&recorded.aggregate_id);
            let known = self.known.get(&wallet).map_or(Decimal::ZERO, |(_, balance)| *balance);
            match decode(recorded) {
                Ok(Event::Wallet(event)) => {
                    if let Some((currency, sums)) = change_by(&event, known) {
                        change.count(currency, &sums)?;
                    }
                }
                Ok(Event::Transfer(_)) => {}
                Err(_) if self.discarded.contains(&recorded.position) => {}
                Err(unreadable) => return Err(unreadable.into()),
            }
            let balance = recorded.balance.unwrap_or(known);
            self.known.insert(wallet, (recorded.sequence, balance));
        }
        Ok(())
    }

    /// Makes sure of what each wallet of a page held before it.
    async fn learn(&mut self, page: &[RecordedEvent]) -> Result<(), TrialBalanceError> {
        if self.known.len() > self.bounds.1 {
            self.known.clear();
        }
        let (mut met, mut wanted) = (HashSet::new(), Vec::new());
        for event in page {
            let (wallet, before) = (&event.aggregate_id, event.sequence.saturating_sub(1));
            let is_first = met.insert(wallet);
            let is_known = self.known.get(wallet).is_some_and(|(sequence, _)| *sequence == before);
            if is_first && !is_known {
                self.known.remove(wallet);
                wanted.extend((before > 0).then(|| (Arc::clone(wallet), before)));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        for (wallet, balance) in self.journal.balances_after(&wanted).await? {
            self.known.insert(wallet, (0, balance));
        }
        Ok(())
    }
}

/// What an event changes, in a wallet that held `before`; nothing, if it only changes the status.
fn change_by(event: &WalletEvent, before: Decimal) -> Option<(Currency, Sums)> {
    let (currency, amount, balance) = match event {
        WalletEvent::WalletOpened { currency, .. } => {
            let held = Held { wallets: 1, ..Held::default() };
            return Some((*currency, Sums { held, ..Sums::default() }));
        }
        WalletEvent::WalletFrozen { .. }
        | WalletEvent::WalletUnfrozen { .. }
        | WalletEvent::WalletClosed { .. } => return None,
        WalletEvent::FundsDeposited { currency, amount, balance, .. }
        | WalletEvent::FundsWithdrawn { currency, amount, balance, .. }
        | WalletEvent::FundsDebited { currency, amount, balance, .. }
        | WalletEvent::FundsCredited { currency, amount, balance, .. }
        | WalletEvent::FundsRefunded { currency, amount, balance, .. } => {
            (*currency, *amount, *balance)
        }
    };
    let moved = match event {
        WalletEvent::FundsDeposited { .. } => Moved { deposited: amount, ..Moved::default() },
        WalletEvent::FundsWithdrawn { .. } => Moved { withdrawn: amount, ..Moved::default() },
        WalletEvent::FundsDebited { .. } => Moved { sent: amount, ..Moved::default() },
        WalletEvent::FundsCredited { .. } => Moved { received: amount, ..Moved::default() },
        WalletEvent::FundsRefunded { .. } => Moved { sent: -amount, ..Moved::default() },
        WalletEvent::WalletOpened { .. }
        | WalletEvent::WalletFrozen { .. }
        | WalletEvent::WalletUnfrozen { .. }
        | WalletEvent::WalletClosed { .. } => Moved::default(),
    };
    // Both are at most 10^18 with four decimals: their difference has room.
    let held = Held { wallets: 0, balances: balance - before };
    Some((currency, Sums { held, moved }))
}

#[cfg(test)]
mod tests;

//! The transfers that are under way: what their streams say, and what the wallets say.

use std::collections::HashMap;

use florin_domain::transfer::Phase;
use florin_domain::{Transfer, TransferId};
use rust_decimal::Decimal;

use super::problem::Place;

/// What is known of a transfer until it has ended and both its legs were met.
#[derive(Debug, Default)]
pub(super) struct Path {
    pub(super) version: u64,
    /// Its last event, or that of a wallet.
    pub(super) place: Place,
    pub(super) transfer: Transfer,
    /// An event of it cannot be read, or is missing: what it comes to is not known.
    pub(super) is_torn: bool,
    pub(super) debited: Decimal,
    pub(super) credited: Decimal,
    pub(super) refunded: Decimal,
}

/// Those under way. It grows with them, and not with all that there were.
#[derive(Debug, Default)]
pub(super) struct Transfers(HashMap<TransferId, Path>);

impl Transfers {
    /// One of them, which something was met of.
    pub(super) fn at(&mut self, id: TransferId, place: Place) -> &mut Path {
        let path = self.0.entry(id).or_default();
        path.place = place;
        path
    }

    /// A transfer that has ended in order needs no memory. (A leg that came later all the same would
    /// be met without its transfer, and reported at the end.)
    pub(super) fn forget_if_over(&mut self, id: TransferId) {
        if self.0.get(&id).is_some_and(|path| path.verdict() == Ok(true)) {
            self.0.remove(&id);
        }
    }

    /// Forgets it, whatever is known of it.
    pub(super) fn forget(&mut self, id: TransferId) {
        self.0.remove(&id);
    }

    /// Those that are left, by their places.
    pub(super) fn into_left(self) -> Vec<(TransferId, Path)> {
        let mut left: Vec<_> = self.0.into_iter().collect();
        left.sort_by_key(|(id, path)| (path.place, id.0));
        left
    }
}

impl Path {
    /// Whether the transfer has ended with both legs as its stream says; the reason if it cannot.
    pub(super) fn verdict(&self) -> Result<bool, String> {
        let Some(details) = self.transfer.details() else {
            return Err("has legs, but no stream".to_owned());
        };
        let amount = details.amount.value();
        let legs = (self.debited, self.credited, self.refunded);
        let zero = Decimal::ZERO;
        let is_right = match details.phase {
            Phase::Initiated => legs == (zero, zero, zero),
            Phase::Debited => legs == (amount, zero, zero) || legs == (amount, amount, zero),
            Phase::Compensated => legs == (amount, zero, amount),
            Phase::Completed => legs == (amount, amount, zero),
            Phase::Failed => legs == (zero, zero, zero) || legs == (amount, zero, amount),
        };
        match is_right {
            true => Ok(matches!(details.phase, Phase::Completed | Phase::Failed)),
            false => Err(format!(
                "is {:?} over {amount}, but was debited {}, credited {}, refunded {}",
                details.phase, legs.0, legs.1, legs.2
            )),
        }
    }
}

//! A wallet as it was at one of its events, from those few that tell.
//!
//! What it held is recorded with every event, so that the last one tells it, also where nobody can read
//! what that event was. Currency, owner and metadata are in the first, and never change. Whether it was
//! frozen or closed, the last event of those types says.

use florin_domain::journal::RecordedEvent;
use florin_domain::upcast::UnreadableEvent;
use thiserror::Error;

use super::{Balance, Rows, WalletRow};
use crate::fact::{Fact, Unapplicable};
use crate::read_model::ReadModel as _;

/// The events that say the status of a wallet; of the first one, everything that never changes.
const OF_STATUS: [&str; 4] = ["WalletOpened", "WalletFrozen", "WalletUnfrozen", "WalletClosed"];

/// Why it is not known what a wallet was.
#[derive(Debug, Error)]
pub enum Untold {
    /// One of those events is of no shape that this version knows.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// One of them cannot follow the one before.
    #[error(transparent)]
    Unapplicable(#[from] Unapplicable),
}

/// The wallet after the last of these events: its first one, the last one of its status, and the last, in
/// order, each as often as it may be. None without events.
///
/// # Errors
/// [`Untold`].
pub fn as_of(telling: &[RecordedEvent]) -> Result<Option<WalletRow>, Untold> {
    let Some(last) = telling.last() else { return Ok(None) };
    let mut rows = Rows::default();
    let mut sequence = 0;
    for event in telling.iter().filter(|event| OF_STATUS.contains(&&*event.event_type)) {
        if event.sequence > sequence {
            Balance.apply(&mut rows, &Fact::read(event)?)?;
            sequence = event.sequence;
        }
    }
    let Some(mut row) = rows.wallets.remove(&last.aggregate_id) else {
        return Err(Unapplicable("the wallet was never opened".to_owned()).into());
    };
    row.balance = last.balance.unwrap_or(row.balance);
    row.version = last.sequence;
    row.position = last.position;
    row.updated_at = last.recorded_at;
    Ok(Some(row))
}

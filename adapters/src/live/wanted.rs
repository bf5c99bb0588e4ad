//! What a reader wants to be told.

use std::ops::Range;

use florin_domain::WalletId;
use florin_domain::journal::RecordedEvent;

use super::types::Types;

/// The events of one wallet, or of all streams in some partitions; of all types, or of some.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The wallet, if it is about one: then there is one partition, where it lies.
    pub wallet: Option<WalletId>,
    /// The partitions.
    pub partitions: Range<u32>,
    /// The types.
    pub types: Types,
}

impl Wanted {
    /// Whether an event of these partitions is wanted.
    pub(super) fn includes(&self, event: &RecordedEvent) -> bool {
        let is_of_it = |wallet: &WalletId| {
            event.aggregate_type == "Wallet" && *event.aggregate_id == *wallet.as_str()
        };
        self.wallet.as_ref().is_none_or(is_of_it) && self.types.include(event)
    }
}

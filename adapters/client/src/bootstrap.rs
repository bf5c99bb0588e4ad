//! A consistent start: all wallets as they are, and from which position on to follow.
//!
//! The list of wallets is read page by page while the ledger goes on, so its pages are of different
//! moments. That is no harm:
//!
//! 1. Where the journal ends is asked first. This *floor* is a position in every partition.
//! 2. Each page is asked to be as of the floor at least. Each wallet in it says the number of its own
//!    last event, its `version`: it has all its events up to there, and its next one is later than the
//!    page.
//! 3. The events are followed from the floor on, and one is applied to a wallet only if its
//!    `sequence` is beyond that number ([`Wallet::lacks`]).
//!
//! Nothing is missed: an event that a wallet does not have in its page is later than the page, so later
//! than the floor, so it is followed; the same holds for a wallet that was opened after its page was
//! read, whose first event is later than that page. Nothing is doubled: an event that a wallet has in
//! its page has a sequence that is not beyond its number. Once a wallet has had one later event, all
//! that follow are later still.
//!
//! A wallet that a read model has set aside is behind its page, and says so (`staleSince`): it is read
//! from the write side instead, which is as of now.
//!
//! Deliberately absent: transfers that are under way at the floor. The legs are in the wallets; who
//! follows the transfers' own events too meets the end of some without their beginning, and asks for
//! them by [`Florin::transfer_now`].

use crate::http::{CallError, Florin, Wallet};
use crate::positions::Positions;

/// The most wallets of a page, as the service has it.
const PAGE: u32 = 200;

/// All wallets of the ledger, page by page.
#[derive(Debug)]
pub struct Bootstrap {
    api: Florin,
    floor: Positions,
    cursor: Option<String>,
    is_over: bool,
}

impl Florin {
    /// Begins to read all wallets, as of now at least.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn bootstrap(&self) -> Result<Bootstrap, CallError> {
        let floor = self.heads().await?;
        Ok(Bootstrap { api: self.clone(), floor, cursor: None, is_over: false })
    }
}

impl Bootstrap {
    /// The positions after which to follow.
    pub fn floor(&self) -> &Positions {
        &self.floor
    }

    /// The next wallets, by id; none at the end.
    ///
    /// # Errors
    /// [`CallError`]; the same page may be asked for again.
    pub async fn next(&mut self) -> Result<Option<Vec<Wallet>>, CallError> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.api.wallets(self.cursor.as_deref(), PAGE, &self.floor).await?.value;
        let mut wallets = page.data;
        for wallet in wallets.iter_mut().filter(|wallet| wallet.stale_since.is_some()) {
            let now = self.api.wallet_now(&wallet.id).await?.value;
            // Which the write side does not hold, and which never changes.
            let metadata = wallet.metadata.take();
            *wallet = Wallet { metadata, ..now };
        }
        self.is_over = page.next_cursor.is_none();
        self.cursor = page.next_cursor;
        Ok(Some(wallets))
    }
}

//! The front door: every command of every kind comes in here, and nothing else appends.

use std::sync::Arc;

use florin_domain::{TransferId, WalletId};

use crate::command::{Answer, Request, SubmitError, TransferState, WalletState};

/// A running ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<()>,
}

impl Ledger {
    /// Carries a command to its outcome.
    ///
    /// # Errors
    /// [`SubmitError`] when it came to none.
    pub async fn submit(&self, request: Request) -> Result<Answer, SubmitError> {
        todo!()
    }

    /// The wallet as of now, whichever process wrote last; `None` when it was never opened.
    ///
    /// # Errors
    /// [`SubmitError::Busy`] and [`SubmitError::Unavailable`].
    pub async fn wallet(&self, id: &WalletId) -> Result<Option<WalletState>, SubmitError> {
        todo!()
    }

    /// The transfer as of now; `None` when it is not on record.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`].
    pub async fn transfer(&self, id: TransferId) -> Result<Option<TransferState>, SubmitError> {
        todo!()
    }
}

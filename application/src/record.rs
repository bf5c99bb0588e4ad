//! Where a stream has come to: the state of its aggregate, and which event was the last.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_domain::event_metadata::request_id;
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::transfer::Phase;
use florin_domain::transfer::saga::{Step, next_step};
use florin_domain::upcast::decode;
use florin_domain::{Refusal, Transfer, TransferId, Wallet, WalletId};

use crate::command::{Outcome, Receipt, Refused, TransferReceipt, TransferState, WalletState};
use crate::journal::JournalError;

/// A wallet's state and where its stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletRecord {
    /// The state.
    pub wallet: Wallet,
    /// How many events its stream has; 0 when it was never opened.
    pub version: u64,
    /// The position of the last one.
    pub position: u64,
    /// When the first one was recorded.
    pub opened_at: DateTime<Utc>,
    /// When the last one was.
    pub updated_at: DateTime<Utc>,
}

impl WalletRecord {
    /// A wallet that was never opened.
    pub fn unknown() -> Self {
        Self {
            wallet: Wallet::default(),
            version: 0,
            position: 0,
            opened_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    /// Takes the next event of the stream; one that the record has already is skipped.
    ///
    /// # Errors
    /// [`JournalError`] when the event cannot be read or leaves a gap.
    pub fn replay(&mut self, event: &RecordedEvent) -> Result<(), JournalError> {
        match next_of(self.version, event)? {
            None => return Ok(()),
            Some(Event::Wallet(fact)) => self.wallet.apply_event(&fact),
            Some(Event::Transfer(_)) => return Err(JournalError::gap(event)),
        }
        self.mark(event);
        Ok(())
    }

    /// Notes that the stream now ends with this event.
    pub(crate) fn mark(&mut self, event: &RecordedEvent) {
        if event.sequence == 1 {
            self.opened_at = event.recorded_at;
        }
        self.version = event.sequence;
        self.position = event.position;
        self.updated_at = event.recorded_at;
    }

    /// What a reader is shown, or `None` when the wallet was never opened.
    pub(crate) fn state(&self, id: &WalletId, partition: u32) -> Option<WalletState> {
        Some(WalletState {
            wallet_id: id.clone(),
            account: self.wallet.account()?.clone(),
            version: self.version,
            partition,
            position: self.position,
            opened_at: self.opened_at,
            updated_at: self.updated_at,
        })
    }
}

/// A transfer's state and where its stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRecord {
    /// Which.
    pub id: TransferId,
    /// The state.
    pub transfer: Transfer,
    /// What is kept with its first event, and with every one that follows from it.
    pub metadata: Arc<str>,
    /// How many events its stream has.
    pub version: u64,
    /// Where it lies.
    pub partition: u32,
    /// The position of the last event.
    pub position: u64,
    /// When the first event was recorded.
    pub initiated_at: DateTime<Utc>,
    /// When the last one was.
    pub updated_at: DateTime<Utc>,
}

impl TransferRecord {
    /// A transfer that is not on record yet.
    pub fn new(id: TransferId, partition: u32) -> Self {
        Self {
            id,
            transfer: Transfer::default(),
            metadata: "{}".into(),
            version: 0,
            partition,
            position: 0,
            initiated_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    /// Takes the next event of the stream; one that the record has already is skipped.
    ///
    /// # Errors
    /// [`JournalError`] when the event cannot be read or leaves a gap.
    pub fn replay(&mut self, event: &RecordedEvent) -> Result<(), JournalError> {
        match next_of(self.version, event)? {
            None => return Ok(()),
            Some(Event::Transfer(fact)) => self.transfer.apply_event(&fact),
            Some(Event::Wallet(_)) => return Err(JournalError::gap(event)),
        }
        self.mark(event);
        Ok(())
    }

    /// Notes that the stream now ends with this event.
    pub(crate) fn mark(&mut self, event: &RecordedEvent) {
        if event.sequence == 1 {
            self.initiated_at = event.recorded_at;
            self.metadata = Arc::clone(&event.metadata);
        }
        self.version = event.sequence;
        self.position = event.position;
        self.updated_at = event.recorded_at;
    }

    /// What its client is told, and for ever under its key; `None` while it is under way.
    pub fn outcome(&self) -> Option<Outcome> {
        self.is_over().then(|| self.told())
    }

    /// The same; of one under way, what its client is told if it takes longer than they wait.
    pub(crate) fn told(&self) -> Outcome {
        let refused = |refusal: Option<Refusal>| {
            let refusal = refusal.unwrap_or(Refusal::TransferPhase);
            Outcome::Refused(Refused { transfer_id: Some(self.id), ..Refused::because(refusal) })
        };
        let Some(details) = self.transfer.details() else { return refused(None) };
        let (Phase::Debited | Phase::Completed, Some(debit)) = (details.phase, &details.debit)
        else {
            return refused(details.refusal.clone());
        };
        Outcome::Accepted(Receipt::Transfer(TransferReceipt {
            transfer_id: self.id,
            phase: details.phase,
            from: details.from.clone(),
            to: details.to.clone(),
            amount: details.amount,
            debit: debit.clone(),
            credit: details.credit.clone(),
            partition: self.partition,
            position: self.position,
            recorded_at: self.updated_at,
        }))
    }

    /// Whether nothing is left to do for it.
    pub(crate) fn is_over(&self) -> bool {
        next_step(&self.transfer) == Step::Done
    }

    /// What a reader is shown, or `None` when the transfer is not on record.
    pub(crate) fn state(self) -> Option<TransferState> {
        Some(TransferState {
            transfer_id: self.id,
            details: self.transfer.details()?.clone(),
            request_id: request_id(&self.metadata),
            version: self.version,
            partition: self.partition,
            position: self.position,
            initiated_at: self.initiated_at,
            updated_at: self.updated_at,
        })
    }
}

/// The event, if it is the next one of a stream at that version; `None` if the stream has it.
fn next_of(version: u64, recorded: &RecordedEvent) -> Result<Option<Event>, JournalError> {
    match recorded.sequence {
        known if known <= version => Ok(None),
        next if next == version + 1 => decode(recorded).map(Some).map_err(JournalError::corrupt),
        _ => Err(JournalError::gap(recorded)),
    }
}

//! `history`: every movement of a wallet's money, numbered without gaps.
//!
//! | event | entry |
//! |---|---|
//! | `FundsDeposited`, `FundsWithdrawn` | `deposit`, `withdrawal`: completed |
//! | `FundsDebited` | `transfer_out`: pending |
//! | `FundsCredited`, `FundsRefunded` | `transfer_in`, `transfer_refund`: completed |
//! | `TransferCompleted`, `TransferFailed` | none; the transfer's `transfer_out` is completed, or failed |
//!
//! A transfer's stream lies in its source's partition, so its end finds the entry there.

#[macro_use]
mod sql;
mod past;
mod read;
mod save;
mod statement;
#[cfg(test)]
mod tests;

pub use past::{PastPageError, page_at};
pub use read::{Entry, Filter, MAX_PAGE, NUMBERED_SCAN, Page, Place, SCAN, page};
pub use statement::{MAX_STATEMENT, Period, Statement, Totals, statement};

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::{Currency, Metadata, TransferEvent, WalletEvent};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::fact::{Fact, Unapplicable};
use crate::read_model::ReadModel;

/// The read model.
#[derive(Debug, Clone, Copy, Default)]
pub struct History;

/// What a movement was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From the outside world.
    Deposit,
    /// To the outside world.
    Withdrawal,
    /// From another wallet.
    TransferIn,
    /// To another wallet.
    TransferOut,
    /// Back, because the other wallet refused it.
    TransferRefund,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Deposit,
        Self::Withdrawal,
        Self::TransferIn,
        Self::TransferOut,
        Self::TransferRefund,
    ];

    /// Whether the wallet holds more afterwards.
    pub fn is_in(self) -> bool {
        match self {
            Self::Deposit | Self::TransferIn | Self::TransferRefund => true,
            Self::Withdrawal | Self::TransferOut => false,
        }
    }

    /// As it is stored, and as clients are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::TransferIn => "transfer_in",
            Self::TransferOut => "transfer_out",
            Self::TransferRefund => "transfer_refund",
        }
    }
}

/// How far a movement came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its transfer is under way.
    Pending,
    /// It stands.
    Completed,
    /// Its transfer failed, and the money came back.
    Failed,
}

impl Status {
    /// As it is stored, and as clients are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// A movement that a batch adds.
#[derive(Debug)]
struct Movement {
    wallet_id: Arc<str>,
    entry: u64,
    partition: u32,
    position: u64,
    kind: Kind,
    status: Status,
    failure: Option<String>,
    amount: Decimal,
    currency: Currency,
    balance_after: Decimal,
    counterparty: Option<String>,
    reference: Uuid,
    request_id: Option<String>,
    metadata: Option<String>,
    recorded_at: chrono::DateTime<chrono::Utc>,
}

/// An outgoing transfer that has not ended, and its entry.
#[derive(Debug, Clone)]
struct InFlight {
    wallet_id: Arc<str>,
    entry: u64,
    /// Which of the batch's movements it is; `None` for one that is stored.
    index: Option<usize>,
}

/// What became of a stored transfer.
#[derive(Debug)]
struct Ended {
    transfer_id: Uuid,
    wallet_id: Arc<str>,
    entry: u64,
    status: Status,
    failure: Option<String>,
}

/// What a batch adds and ends.
#[derive(Debug, Default)]
pub struct Rows {
    /// The last entry of each wallet.
    last: HashMap<Arc<str>, u64>,
    in_flight: HashMap<Uuid, InFlight>,
    movements: Vec<Movement>,
    ended: Vec<Ended>,
}

#[async_trait]
impl ReadModel for History {
    type Rows = Rows;

    const NAME: &'static str = "history";
    const TABLES: &'static [&'static str] = &["movements", "movements_in_flight"];

    fn reads(&self, event: &RecordedEvent) -> bool {
        const OTHERS: [&str; 7] = [
            "WalletOpened",
            "WalletFrozen",
            "WalletUnfrozen",
            "WalletClosed",
            "TransferInitiated",
            "TransferDebited",
            "TransferCompensated",
        ];
        !OTHERS.contains(&&*event.event_type)
    }

    async fn load(
        &self,
        connection: &mut PgConnection,
        facts: &[Fact<'_>],
    ) -> Result<Rows, sqlx::Error> {
        let last = save::last_entries(connection, facts).await?;
        let in_flight = save::in_flight(connection, facts).await?;
        Ok(Rows { last, in_flight, ..Rows::default() })
    }

    fn apply(&self, rows: &mut Rows, fact: &Fact<'_>) -> Result<(), Unapplicable> {
        match &fact.event {
            Event::Wallet(event) => rows.take_movement(fact, event),
            Event::Transfer(TransferEvent::TransferCompleted(_)) => {
                rows.end(fact.transfer_id()?, Status::Completed, None);
                Ok(())
            }
            Event::Transfer(TransferEvent::TransferFailed { reason }) => {
                rows.end(fact.transfer_id()?, Status::Failed, Some(reason.to_string()));
                Ok(())
            }
            Event::Transfer(
                TransferEvent::TransferInitiated { .. }
                | TransferEvent::TransferDebited(_)
                | TransferEvent::TransferCompensated { .. },
            ) => Ok(()),
        }
    }

    async fn save(&self, connection: &mut PgConnection, rows: Rows) -> Result<(), sqlx::Error> {
        if !rows.movements.is_empty() {
            save::insert(connection, &rows.movements).await?;
        }
        if !rows.ended.is_empty() {
            save::end(connection, &rows.ended).await?;
        }
        let departed: Vec<(&Uuid, &InFlight)> =
            rows.in_flight.iter().filter(|(_, transfer)| transfer.index.is_some()).collect();
        if !departed.is_empty() {
            save::depart(connection, &departed).await?;
        }
        Ok(())
    }

    async fn erase(&self, connection: &mut PgConnection, wallet: &str) -> Result<(), sqlx::Error> {
        for delete in [
            "DELETE FROM movements WHERE wallet_id = $1",
            "DELETE FROM movements_in_flight WHERE wallet_id = $1",
        ] {
            sqlx::query(delete).bind(wallet).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// What the five events that move money have in common.
pub(crate) struct Moved<'a> {
    pub(crate) kind: Kind,
    pub(crate) reference: Uuid,
    pub(crate) counterparty: Option<&'a str>,
    pub(crate) amount: Decimal,
    pub(crate) currency: Currency,
    pub(crate) balance: Decimal,
    pub(crate) metadata: Option<&'a Metadata>,
}

#[rustfmt::skip]
pub(crate) fn moved(event: &WalletEvent) -> Option<Moved<'_>> {
    let (kind, reference, counterparty, amount, currency, balance, metadata) = match event {
        WalletEvent::WalletOpened { .. }
        | WalletEvent::WalletFrozen { .. }
        | WalletEvent::WalletUnfrozen { .. }
        | WalletEvent::WalletClosed { .. } => return None,
        WalletEvent::FundsDeposited { transaction_id, amount, currency, balance, metadata } =>
            (Kind::Deposit, transaction_id.0, None, amount, currency, balance, metadata.as_ref()),
        WalletEvent::FundsWithdrawn { transaction_id, amount, currency, balance, metadata } =>
            (Kind::Withdrawal, transaction_id.0, None, amount, currency, balance, metadata.as_ref()),
        WalletEvent::FundsDebited {
            transfer_id, counterparty, amount, currency, balance, metadata,
        } => (Kind::TransferOut, transfer_id.0, Some(counterparty.as_str()), amount, currency,
              balance, metadata.as_ref()),
        WalletEvent::FundsCredited {
            transfer_id, counterparty, amount, currency, balance, metadata,
        } => (Kind::TransferIn, transfer_id.0, Some(counterparty.as_str()), amount, currency,
              balance, metadata.as_ref()),
        WalletEvent::FundsRefunded { transfer_id, counterparty, amount, currency, balance } =>
            (Kind::TransferRefund, transfer_id.0, Some(counterparty.as_str()), amount, currency,
             balance, None),
    };
    let (amount, currency, balance) = (*amount, *currency, *balance);
    Some(Moved { kind, reference, counterparty, amount, currency, balance, metadata })
}

impl Rows {
    fn take_movement(&mut self, fact: &Fact<'_>, event: &WalletEvent) -> Result<(), Unapplicable> {
        let Some(moved) = moved(event) else { return Ok(()) };
        let is_out = moved.kind == Kind::TransferOut;
        if is_out && self.in_flight.contains_key(&moved.reference) {
            return Err(Unapplicable("the transfer was debited before".to_owned()));
        }
        let wallet_id = Arc::clone(&fact.recorded.aggregate_id);
        let last = self.last.entry(Arc::clone(&wallet_id)).or_insert(0);
        *last += 1;
        let entry = *last;
        if is_out {
            let index = Some(self.movements.len());
            let transfer = InFlight { wallet_id: Arc::clone(&wallet_id), entry, index };
            self.in_flight.insert(moved.reference, transfer);
        }
        self.movements.push(Movement {
            wallet_id,
            entry,
            partition: fact.recorded.partition,
            position: fact.recorded.position,
            kind: moved.kind,
            status: if is_out { Status::Pending } else { Status::Completed },
            failure: None,
            amount: moved.amount,
            currency: moved.currency,
            balance_after: moved.balance,
            counterparty: moved.counterparty.map(str::to_owned),
            reference: moved.reference,
            request_id: fact.request_id(),
            metadata: moved.metadata.map(ToString::to_string),
            recorded_at: fact.recorded.recorded_at,
        });
        Ok(())
    }

    /// Ends a transfer. One that is not in flight moved nothing, or its source is parked.
    fn end(&mut self, transfer_id: Uuid, status: Status, failure: Option<String>) {
        let Some(InFlight { wallet_id, entry, index }) = self.in_flight.remove(&transfer_id) else {
            return;
        };
        match index.and_then(|index| self.movements.get_mut(index)) {
            Some(movement) => {
                movement.status = status;
                movement.failure = failure;
            }
            None => self.ended.push(Ended { transfer_id, wallet_id, entry, status, failure }),
        }
    }
}

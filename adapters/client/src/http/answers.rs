//! What the service answers, typed. Members that a later version adds are not read.

use chrono::{DateTime, Utc};
use florin_domain::transfer::Phase;
use florin_domain::wallet::Status;
use florin_domain::{Currency, Metadata, Owner, TransactionId, TransferId, WalletId};
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::event::LedgerEvent;
use crate::positions::Positions;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// The body.
    pub value: T,
    /// What it is as of. Give it to the reads that are to see it.
    pub positions: Positions,
    /// Whether it was decided earlier, under the same key.
    pub replayed: bool,
}

/// A wallet, as of one version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wallet {
    /// Which.
    pub id: WalletId,
    /// Its one currency.
    pub currency: Currency,
    /// What it holds.
    pub balance: Decimal,
    /// Whether it may move.
    pub status: Status,
    /// Whom it belongs to.
    pub owner: Option<Owner>,
    /// What was attached when it was opened; not told of the write side.
    pub metadata: Option<Metadata>,
    /// The number of its last event.
    pub version: u64,
    /// Where it lies.
    pub partition: u32,
    /// Where its last event is.
    pub position: u64,
    /// When its first event was recorded.
    pub created_at: DateTime<Utc>,
    /// When its last one was.
    pub updated_at: DateTime<Utc>,
    /// Since when the read model lacks events of it, if it does.
    pub stale_since: Option<DateTime<Utc>>,
}

impl Wallet {
    /// Whether the event is one of this wallet that it does not have yet: then it is to be applied,
    /// and otherwise it is not.
    pub fn lacks(&self, event: &LedgerEvent) -> bool {
        event.wallet() == Some(&self.id) && event.sequence > self.version
    }
}

/// A page of wallets, by id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WalletPage {
    /// The wallets.
    pub data: Vec<Wallet>,
    /// What the next page is asked for with; none at the end.
    pub next_cursor: Option<String>,
}

/// A deposit or a withdrawal that was made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Movement {
    /// To be quoted when it is asked about.
    pub transaction_id: TransactionId,
    /// Of which wallet.
    pub wallet_id: WalletId,
    /// How much.
    pub amount: Decimal,
    /// Of what.
    pub currency: Currency,
    /// What the wallet holds after it.
    pub balance: Decimal,
    /// The number of its event in the wallet.
    pub version: u64,
    /// Where its event is.
    pub partition: u32,
    /// Where its event is.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// A transfer, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transfer {
    /// Which.
    pub transfer_id: TransferId,
    /// How far it is. One between two partitions may be answered while it is under way.
    pub status: Phase,
    /// From which wallet.
    pub from_wallet_id: WalletId,
    /// To which.
    pub to_wallet_id: WalletId,
    /// How much.
    pub amount: Decimal,
    /// Of what.
    pub currency: Currency,
    /// What the source held after it.
    pub from_balance: Option<Decimal>,
    /// What the target held after it, told to whoever may read that wallet.
    pub to_balance: Option<Decimal>,
    /// Why it came to nothing, if it did.
    pub reason: Option<Reason>,
}

/// Why a transfer came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reason {
    /// By name.
    pub code: String,
    /// In words.
    pub detail: String,
}

/// What has moved a wallet's money, in sums.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Of which wallet.
    pub wallet_id: WalletId,
    /// In what.
    pub currency: Currency,
    /// From outside.
    pub total_deposited: Decimal,
    /// To outside.
    pub total_withdrawn: Decimal,
    /// From other wallets.
    pub total_transferred_in: Decimal,
    /// To other wallets.
    pub total_transferred_out: Decimal,
    /// When money moved last.
    pub last_activity_at: Option<DateTime<Utc>>,
    /// Whether a fraud rule found something that nobody has dismissed.
    pub suspicious: bool,
    /// What it found, the newest first.
    pub suspicious_reasons: Vec<String>,
}

/// An entry of a wallet's history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The event, as `<partition>-<position>`.
    pub id: String,
    /// `deposit`, `withdrawal`, `transfer_in` and so on, as the service's document lists them.
    #[serde(rename = "type")]
    pub kind: String,
    /// `completed`, `pending` or `failed`.
    pub status: String,
    /// How much.
    pub amount: Decimal,
    /// Of what.
    pub currency: Currency,
    /// What the wallet held after it.
    pub balance_after: Decimal,
    /// The wallet at the other end of a transfer.
    pub counterparty: Option<WalletId>,
    /// The transfer that it is part of.
    pub transfer_id: Option<TransferId>,
    /// The key of the request.
    pub request_id: Option<String>,
    /// When it was recorded.
    pub occurred_at: DateTime<Utc>,
}

/// A page of a history, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryPage {
    /// The entries.
    pub data: Vec<Entry>,
    /// What the next page is asked for with; none at the end.
    pub next_cursor: Option<String>,
}

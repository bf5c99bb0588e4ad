//! Batches as a writer drafts them, for tests of the journal without a ledger.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_application::command::{Key, Movement, Outcome, Receipt};
use florin_application::fingerprint::Fingerprint;
use florin_application::journal::{Batch, Head, KeptKey};
use florin_domain::journal::RecordedEvent;
use florin_domain::transfer::Leg;
use florin_domain::{
    Amount, Currency, RequestedAmount, TransactionId, TransferEvent, TransferId, WalletEvent,
    WalletId,
};
use rust_decimal::Decimal;
use uuid::Uuid;

/// Every event of these tests happens at once.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

/// A batch that nothing is in yet.
pub fn batch(partition: u32, expected: Head) -> Batch {
    Batch {
        partition,
        expected,
        recorded_at: now(),
        events: vec![],
        calls: vec![],
        keys: vec![],
        started: vec![],
        finished: vec![],
    }
}

/// A batch with the first two events of a wallet: opened, and one deposit.
pub fn opening(partition: u32, expected: Head, id: &WalletId, cents: i64) -> Batch {
    let mut batch = batch(partition, expected);
    wallet_event(&mut batch, id, 1, &opened(), 0);
    wallet_event(&mut batch, id, 2, &deposited(cents, cents), cents);
    batch
}

/// `WalletOpened`, in US dollars.
pub fn opened() -> WalletEvent {
    WalletEvent::WalletOpened { currency: Currency::USD, owner: None, metadata: None }
}

/// `FundsDeposited`.
pub fn deposited(cents: i64, balance: i64) -> WalletEvent {
    WalletEvent::FundsDeposited {
        transaction_id: TransactionId(Uuid::now_v7()),
        amount: Decimal::new(cents, 2),
        currency: Currency::USD,
        balance: Decimal::new(balance, 2),
        metadata: None,
    }
}

/// Adds an event of a wallet, after which it holds so many cents.
pub fn wallet_event(batch: &mut Batch, id: &WalletId, sequence: u64, of: &WalletEvent, cents: i64) {
    let blank = blank(batch);
    push(
        batch,
        RecordedEvent {
            aggregate_type: "Wallet",
            aggregate_id: id.as_str().into(),
            sequence,
            event_type: of.name().into(),
            event_version: of.version().to_owned(),
            payload: serde_json::to_string(of).unwrap(),
            balance: Some(Decimal::new(cents, 2)),
            ..blank
        },
    );
}

/// Adds an event of a transfer.
pub fn transfer_event(batch: &mut Batch, id: TransferId, sequence: u64, of: &TransferEvent) {
    let blank = blank(batch);
    push(
        batch,
        RecordedEvent {
            aggregate_type: "Transfer",
            aggregate_id: id.to_string().into(),
            sequence,
            event_type: of.name().into(),
            event_version: of.version().to_owned(),
            payload: serde_json::to_string(of).unwrap(),
            ..blank
        },
    );
}

/// Adds an event as no writer would: of any name, with any payload.
pub fn raw_event(
    batch: &mut Batch,
    (aggregate_type, id, sequence): (&'static str, &str, u64),
    event_type: &'static str,
    payload: &str,
    balance: Option<i64>,
) {
    let blank = blank(batch);
    push(
        batch,
        RecordedEvent {
            aggregate_type,
            aggregate_id: id.into(),
            sequence,
            event_type: event_type.into(),
            event_version: "1.0".to_owned(),
            payload: payload.to_owned(),
            balance: balance.map(|cents| Decimal::new(cents, 2)),
            ..blank
        },
    );
}

fn blank(batch: &Batch) -> RecordedEvent {
    let head = batch.head();
    RecordedEvent {
        partition: batch.partition,
        position: head.position + 1,
        aggregate_type: "",
        aggregate_id: "".into(),
        sequence: 0,
        event_type: "".into(),
        event_version: String::new(),
        payload: String::new(),
        metadata: "{}".into(),
        balance: None,
        recorded_at: batch.recorded_at,
        hash: head.hash,
    }
}

fn push(batch: &mut Batch, mut event: RecordedEvent) {
    event.hash = event.chained(&batch.head().hash);
    batch.events.push(event);
}

/// A key of a wallet.
pub fn key(wallet: &WalletId, request_id: &str) -> Key {
    Key::of_wallet(wallet, request_id.parse().unwrap())
}

/// The key, kept with an outcome or without one yet.
pub fn kept(wallet: &WalletId, request_id: &str, outcome: Option<Outcome>) -> KeptKey {
    KeptKey {
        key: key(wallet, request_id),
        fingerprint: Fingerprint([7; 16]),
        outcome: outcome.map(Arc::new),
        transfer: None,
    }
}

/// The key, kept with a transfer that tells the outcome.
pub fn kept_transfer(wallet: &WalletId, request_id: &str, transfer: TransferId) -> KeptKey {
    KeptKey { transfer: Some(transfer), ..kept(wallet, request_id, None) }
}

/// What a deposit of so many cents into an empty wallet came to.
pub fn outcome(wallet: &WalletId, cents: i64) -> Outcome {
    let amount = dollars(cents);
    Outcome::Accepted(Receipt::Movement(Movement {
        direction: florin_application::command::Direction::Deposit,
        transaction_id: TransactionId(Uuid::from_u128(1)),
        wallet_id: wallet.clone(),
        amount,
        balance: amount.value(),
        version: 2,
        partition: 0,
        position: 2,
        recorded_at: now(),
    }))
}

/// So many cents of a dollar.
pub fn dollars(cents: i64) -> Amount {
    let requested: RequestedAmount = Decimal::new(cents, 2).to_string().parse().unwrap();
    requested.in_currency(Currency::USD).unwrap()
}

/// A transfer that takes all of the wallet's money into flight: the wallet's third event.
pub fn departure(partition: u32, head: Head, from: &WalletId, to: &WalletId, cents: i64) -> Batch {
    let transfer_id = TransferId(Uuid::now_v7());
    let (amount, zero) = (Decimal::new(cents, 2), Decimal::new(0, 2));
    let mut batch = batch(partition, head);
    let initiated = TransferEvent::TransferInitiated {
        from: from.clone(),
        to: to.clone(),
        amount,
        currency: Currency::USD,
        metadata: None,
    };
    transfer_event(&mut batch, transfer_id, 1, &initiated);
    let debited = WalletEvent::FundsDebited {
        transfer_id,
        counterparty: to.clone(),
        amount,
        currency: Currency::USD,
        balance: zero,
        metadata: None,
    };
    wallet_event(&mut batch, from, 3, &debited, 0);
    let leg = Leg { balance: zero, version: 3, partition, position: batch.head().position };
    transfer_event(&mut batch, transfer_id, 2, &TransferEvent::TransferDebited(leg));
    batch.started.push(transfer_id);
    batch
}

/// The money comes back to the wallet, and the transfer ends.
pub fn homecoming(
    partition: u32,
    head: Head,
    (transfer_id, from, to): (TransferId, &WalletId, &WalletId),
    cents: i64,
) -> Batch {
    let amount = Decimal::new(cents, 2);
    let reason = florin_domain::Refusal::WalletClosed;
    let mut batch = batch(partition, head);
    let refunded = WalletEvent::FundsRefunded {
        transfer_id,
        counterparty: to.clone(),
        amount,
        currency: Currency::USD,
        balance: amount,
    };
    wallet_event(&mut batch, from, 4, &refunded, cents);
    let compensated = TransferEvent::TransferCompensated { reason: reason.clone() };
    transfer_event(&mut batch, transfer_id, 3, &compensated);
    transfer_event(&mut batch, transfer_id, 4, &TransferEvent::TransferFailed { reason });
    batch.finished.push(transfer_id);
    batch
}

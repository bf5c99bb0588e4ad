//! Words for the requests that tests send to a ledger.

use florin_application::command::{
    Leg, Movement, NewTransfer, Outcome, Receipt, Refused, TransferReceipt, WalletState,
};
use florin_application::{Answer, AtomicBulk, Command, Origin, Request};
use florin_domain::wallet::{Close, Deposit, Freeze, Open, Unfreeze, Withdraw};
use florin_domain::{
    Currency, Metadata, Refusal, TransactionId, TransferId, WalletCommand, WalletId, partition_of,
};
use uuid::Uuid;

/// A wallet id.
pub fn id(text: &str) -> WalletId {
    text.parse().unwrap()
}

/// A wallet id that lies in that partition.
pub fn id_in(partition: u32, partitions: u32, name: &str) -> WalletId {
    (0..)
        .map(|n| id(&format!("{name}-{n}")))
        .find(|i| partition_of(i, partitions) == partition)
        .unwrap()
}

/// A request without a key.
pub fn request(command: Command) -> Request {
    Request {
        command,
        request_id: None,
        expected_version: None,
        expected_owner: None,
        origin: Origin::default(),
    }
}

/// The same request under a key.
pub fn keyed(key: &str, command: Command) -> Request {
    Request { request_id: Some(key.parse().unwrap()), ..request(command) }
}

fn wallet(id: &WalletId, command: WalletCommand) -> Command {
    Command::Wallet { id: id.clone(), id_is_new: false, command }
}

/// Opens an empty wallet.
pub fn open(id: &WalletId, currency: &str) -> Command {
    let currency = currency.parse().unwrap();
    wallet(id, WalletCommand::Open(Open { currency, owner: None, metadata: None, initial: None }))
}

/// Deposits, and opens the wallet if need be.
pub fn deposit(id: &WalletId, amount: &str) -> Command {
    deposit_with(id, amount, None)
}

/// Deposits with something of the client's own.
pub fn deposit_with(id: &WalletId, amount: &str, metadata: Option<Metadata>) -> Command {
    wallet(
        id,
        WalletCommand::Deposit(Deposit {
            transaction_id: TransactionId(Uuid::now_v7()),
            amount: amount.parse().unwrap(),
            currency: None,
            metadata,
            opens_unknown: true,
            owner: None,
        }),
    )
}

/// Withdraws.
pub fn withdraw(id: &WalletId, amount: &str) -> Command {
    wallet(
        id,
        WalletCommand::Withdraw(Withdraw {
            transaction_id: TransactionId(Uuid::now_v7()),
            amount: amount.parse().unwrap(),
            currency: None,
            metadata: None,
        }),
    )
}

/// Freezes.
pub fn freeze(id: &WalletId) -> Command {
    wallet(id, WalletCommand::Freeze(Freeze { reason: None }))
}

/// Thaws.
pub fn unfreeze(id: &WalletId) -> Command {
    wallet(id, WalletCommand::Unfreeze(Unfreeze { reason: None }))
}

/// Closes.
pub fn close(id: &WalletId) -> Command {
    wallet(id, WalletCommand::Close(Close { reason: None, in_flight: false }))
}

/// Transfers.
pub fn transfer(from: &WalletId, to: &WalletId, amount: &str) -> Command {
    Command::Transfer(NewTransfer {
        transfer_id: TransferId(Uuid::now_v7()),
        from: from.clone(),
        to: to.clone(),
        amount: amount.parse().unwrap(),
        currency: None::<Currency>,
        metadata: None,
    })
}

/// The receipt of a deposit or withdrawal.
pub fn movement(answer: Answer) -> Movement {
    let Outcome::Accepted(Receipt::Movement(movement)) = answer.outcome else {
        panic!("no movement: {answer:?}")
    };
    movement
}

/// The receipt of a transfer.
pub fn transferred(answer: Answer) -> TransferReceipt {
    let Outcome::Accepted(Receipt::Transfer(receipt)) = answer.outcome else {
        panic!("no transfer: {answer:?}")
    };
    receipt
}

/// The wallet that an answer shows.
pub fn wallet_of(answer: Answer) -> WalletState {
    let Outcome::Accepted(Receipt::Wallet(state)) = answer.outcome else {
        panic!("no wallet: {answer:?}")
    };
    state
}

/// The reason of a refusal, and the failed transfer on record for it.
pub fn refused(answer: Answer) -> (Refusal, Option<TransferId>) {
    let Outcome::Refused(Refused { refusal, transfer_id, .. }) = answer.outcome else {
        panic!("not refused: {answer:?}")
    };
    (refusal, transfer_id)
}

/// Commands of which all take effect or none, without a key.
pub fn atomic(commands: Vec<Command>) -> AtomicBulk {
    AtomicBulk { commands, request_id: None, expected_owner: None, origin: Origin::default() }
}

/// The same under a key.
pub fn keyed_atomic(key: &str, commands: Vec<Command>) -> AtomicBulk {
    AtomicBulk { request_id: Some(key.parse().unwrap()), ..atomic(commands) }
}

/// What each command of an atomic bulk did.
pub fn receipts(answer: Answer) -> Vec<Receipt> {
    let Outcome::Accepted(Receipt::All(receipts)) = answer.outcome else {
        panic!("no atomic bulk that took effect: {answer:?}")
    };
    receipts
}

/// Which command of an atomic bulk was refused, and why.
pub fn stopped(answer: Answer) -> (usize, Refusal) {
    let Outcome::Refused(Refused { refusal, transfer_id: None, index: Some(index) }) =
        answer.outcome
    else {
        panic!("no atomic bulk that was refused: {answer:?}")
    };
    (index, refusal)
}

/// The balance of a leg, as text.
pub fn balance(leg: &Leg) -> String {
    leg.balance.to_string()
}

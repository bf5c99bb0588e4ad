//! The JSON of every event is frozen: `domain/snapshots/<Event>.json` holds one of each, and a
//! change of shape shows up as a failing test that asks for a new version and an upcaster.

use std::fs;
use std::path::PathBuf;

use crate::journal::EVENT_TYPES;
use crate::transfer::Leg;
use crate::{Metadata, Refusal, TransactionId, TransferEvent, TransferId, WalletEvent};
use cqrs_es::DomainEvent;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

fn wallet_events() -> Vec<WalletEvent> {
    let metadata: Option<Metadata> = Some(serde_json::from_str(r#"{"order":7.10}"#).unwrap());
    let transaction_id = TransactionId(Uuid::from_u128(1));
    let transfer_id = TransferId(Uuid::from_u128(2));
    let (amount, balance) = ("12.50".parse().unwrap(), "112.50".parse().unwrap());
    let currency = "USD".parse().unwrap();
    let reason = Some("asked by support".parse().unwrap());
    let bob = || "bob".parse().unwrap();
    vec![
        WalletEvent::WalletOpened {
            currency,
            owner: Some("user-1".parse().unwrap()),
            metadata: metadata.clone(),
        },
        WalletEvent::FundsDeposited {
            transaction_id,
            amount,
            currency,
            balance,
            metadata: metadata.clone(),
        },
        WalletEvent::FundsWithdrawn {
            transaction_id,
            amount,
            currency,
            balance,
            metadata: metadata.clone(),
        },
        WalletEvent::FundsDebited {
            transfer_id,
            counterparty: bob(),
            amount,
            currency,
            balance,
            metadata: metadata.clone(),
        },
        WalletEvent::FundsCredited {
            transfer_id,
            counterparty: bob(),
            amount,
            currency,
            balance,
            metadata,
        },
        WalletEvent::FundsRefunded { transfer_id, counterparty: bob(), amount, currency, balance },
        WalletEvent::WalletFrozen { reason: reason.clone() },
        WalletEvent::WalletUnfrozen { reason: reason.clone() },
        WalletEvent::WalletClosed { reason },
    ]
}

fn leg() -> Leg {
    Leg { balance: "87.50".parse().unwrap(), version: 3, partition: 1, position: 7 }
}

fn transfer_events() -> Vec<TransferEvent> {
    let reason = Refusal::InsufficientFunds {
        available: "1.00".parse().unwrap(),
        requested: "12.50".parse().unwrap(),
        currency: "USD".parse().unwrap(),
    };
    vec![
        TransferEvent::TransferInitiated {
            from: "alice".parse().unwrap(),
            to: "bob".parse().unwrap(),
            amount: "12.50".parse().unwrap(),
            currency: "USD".parse().unwrap(),
            metadata: Some(serde_json::from_str(r#"{"order":7.10}"#).unwrap()),
        },
        TransferEvent::TransferDebited(leg()),
        TransferEvent::TransferCompleted(leg()),
        TransferEvent::TransferCompensated { reason: reason.clone() },
        TransferEvent::TransferFailed { reason },
    ]
}

/// One event as the journal keeps it; `FLORIN_FREEZE=1` writes the file of a new event.
fn is_frozen<E: DomainEvent + Serialize + DeserializeOwned>(event: &E) {
    let name = event.event_type();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("snapshots/{name}.json"));
    let version = event.event_version();
    let json = serde_json::to_string(event).unwrap();
    let line = format!("{{\"version\":\"{version}\",\"event\":{json}}}\n");
    if std::env::var_os("FLORIN_FREEZE").is_some() {
        fs::write(&path, &line).unwrap();
    }
    let frozen = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        line, frozen,
        "{name} changed its shape: give it a new version and an upcaster, then freeze it again"
    );
    assert_eq!(&serde_json::from_str::<E>(&json).unwrap(), event, "{name} survives its JSON");
}

#[test]
fn every_event_has_the_json_that_was_frozen() {
    wallet_events().iter().for_each(is_frozen);
    transfer_events().iter().for_each(is_frozen);
}

#[test]
fn every_event_is_among_them() {
    let names: Vec<String> = wallet_events()
        .iter()
        .map(DomainEvent::event_type)
        .chain(transfer_events().iter().map(DomainEvent::event_type))
        .collect();
    assert_eq!(names, EVENT_TYPES);
}

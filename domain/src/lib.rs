//! The rules of the ledger, pure: commands and facts go in, events or a refusal come out.
//!
//! | module | holds |
//! |---|---|
//! | [`money`] | currencies and amounts that are positive and in scale by construction |
//! | [`ids`] | wallet, transfer and transaction ids, and the partition of a wallet |
//! | [`wallet`] | the Wallet aggregate: one file per command |
//! | [`transfer`] | the Transfer aggregate and the saga's step function |
//! | [`fraud`] | the fraud rules: movements of a wallet in, alerts out; one file per rule |
//! | [`journal`] | what a recorded event is, and the hash that chains it to the one before |
//! | [`event_metadata`] | what is kept with an event besides its payload |
//! | [`upcast`] | how events of older shapes are read today |
//! | [`contracts`] | what other services may rely on in an event: its JSON Schema |
//!
//! Deliberately absent: IO, clock, random, logging, `async` (the cqrs-es shims aside). A rule that
//! needs a fact from outside finds it in the command.

pub mod contracts;
pub mod event_metadata;
pub mod fraud;
#[cfg(test)]
mod frozen_events;
pub mod ids;
#[cfg(test)]
mod invariants;
pub mod journal;
pub mod metadata;
pub mod money;
pub mod refusal;
pub mod transfer;
pub mod upcast;
pub mod wallet;

pub use ids::{
    Operator, Owner, Reason, TransactionId, TransferId, WalletId, hash_of, partition_of,
};
pub use metadata::Metadata;
pub use money::{Amount, Currency, RequestedAmount};
pub use refusal::Refusal;
pub use transfer::{Transfer, TransferCommand, TransferEvent};
pub use wallet::{Wallet, WalletCommand, WalletEvent};

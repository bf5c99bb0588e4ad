//! The ledger over its journal: in memory and in Postgres, with one partition and with four.

mod atomic;
mod audit;
mod bulk;
mod commands;
mod contention;
mod idempotency;
mod ownership;
mod transfers;

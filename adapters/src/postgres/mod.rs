//! The journal in Postgres.
//!
//! | file | does |
//! |---|---|
//! | `migrate` | creates and upgrades the schema, and the partitions of a new ledger |
//! | `connect` | options and bounds of every connection |
//! | `journal` | the ledger-wide port: transfers by id, snapshots |
//! | `partition` | the port of one writer: its own connection, the lock, reconnecting |
//! | `append` | the one statement of a batch |
//! | `load` | wallets by snapshot and tail, kept keys |
//! | `row` | rows to recorded events |
//! | `follow` | the journal in order, for whoever reads all of it |

mod append;
mod connect;
pub mod follow;
mod journal;
mod load;
mod migrate;
mod partition;
mod row;

pub use connect::{ConnectError, connect};
pub use journal::{OpenError, PostgresJournal};
pub use migrate::{MigrateError, migrate};

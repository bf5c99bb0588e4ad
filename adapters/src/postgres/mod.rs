//! The journal in Postgres.
//!
//! | file | does |
//! |---|---|
//! | `migrate` | creates and upgrades the schema, and the partitions of a new ledger |
//! | `schema` | what a database was migrated to, beside what this program knows |
//! | `roles` | the roles of a ledger, and what each may do |
//! | `role` | whether the role of a connection could change history |
//! | `connect` | options and bounds of every connection |
//! | `journal` | the ledger-wide port: transfers by id, snapshots |
//! | `partition` | the port of one writer: its own connection, the lock, reconnecting |
//! | `append` | the one statement of a batch |
//! | `calls` | the record of calls |
//! | `load` | wallets by snapshot and tail, kept keys |
//! | `row` | rows to recorded events |
//! | `follow` | the journal in order, a page at a time |
//! | `scan` | the same as fast as it can be, for whoever reads all of it |
//! | `past` | where it was at a moment that has passed, without walking there |
//! | `strays` | what lies where nobody reads |
//! | `export`, `import` | a whole ledger on its way out, and into an empty one |
//! | `heads` | the ends of the partitions as they move, for whoever waits for events |
//! | `recent` | the newest events in memory, for all who follow |
//! | `lease` | what only one process may do at a time |
//! | `relay_cursor` | how far the journal is published |
//! | `backlog` | how large the journal is, and what is open beside the read models |
//! | `snapshots` | snapshots as rows, to be compared and removed |
//! | `patience` | how long a batch in hand waits for Postgres |
//! | `wake` | waiting for a notification, and not too long |

mod append;
pub mod backlog;
pub mod calls;
mod connect;
pub mod export;
pub mod follow;
pub mod heads;
pub mod import;
mod journal;
pub mod lease;
mod load;
mod migrate;
mod partition;
pub mod past;
pub(crate) mod patience;
pub mod recent;
pub mod relay_cursor;
pub(crate) mod role;
pub mod roles;
mod row;
pub mod scan;
pub(crate) mod schema;
pub mod snapshots;
pub mod strays;
pub mod wake;

pub use connect::{ConnectError, connect, connect_sized, within};
pub use journal::{OpenError, PostgresJournal};
pub(crate) use migrate::migrations;
pub use migrate::{LOCK_WAIT, MAX_PARTITIONS, MigrateError, apply, migrate, migrate_with_roles};
pub use role::{Danger, Dangerous};
pub use roles::Passwords;

//! The port to the journal, without a ledger: what every journal promises, and what only Postgres
//! can.

mod laws;
mod port;
mod rebuilt_snapshots;
mod snapshots;

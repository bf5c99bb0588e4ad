//! End to end against real Postgres and real NATS.

mod ledger;
mod private_servers;

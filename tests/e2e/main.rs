//! End to end against real Postgres and real NATS.

mod http;
mod ledger;
mod private_servers;

//! End to end against real Postgres and real NATS.

mod http;
mod journal;
mod ledger;
mod private_servers;

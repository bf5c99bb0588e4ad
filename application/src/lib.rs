//! Accepts commands: routing to partitions, batching, idempotency, the saga's driver, and the ports
//! that adapters implement. It knows no SQL, no NATS, no HTTP.

pub mod command;
pub mod ledger;

pub use command::{Answer, Command, Request, SubmitError};
pub use ledger::Ledger;

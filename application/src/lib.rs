//! Accepts commands: routing to partitions, batching, idempotency, the saga's driver, and the ports
//! that adapters implement. It knows no SQL, no NATS, no HTTP.
//!
//! ```text
//! Request ─▶ Ledger ─route─▶ partition (queue, writer) ─append─▶ Journal
//!                                 ▲        │ money in flight
//!                                 └─ saga ◀┘
//! ```

pub mod audit;
mod bulk;
pub mod clock;
pub mod command;
pub mod fingerprint;
pub mod journal;
pub mod ledger;
pub mod memory;
pub mod observer;
mod partition;
mod record;
mod saga;
pub mod snapshots;

pub use audit::Origin;
pub use clock::Clock;
pub use command::{Answer, AtomicBulk, Command, Request, SubmitError};
pub use journal::Journal;
pub use ledger::{Ledger, Settings};
pub use observer::Observer;
pub use partition::Depth;

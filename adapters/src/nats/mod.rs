//! NATS JetStream: the journal on its way out, and back in for the projections.
//!
//! ```text
//! journal ─page─▶ relay ─message─▶ publisher ─▶ stream LEDGER ─▶ source ─message─▶ projection
//! ```
//!
//! | file | does |
//! |---|---|
//! | `connect` | how the connection is made |
//! | `stream` | creates and updates the streams |
//! | `message` | a recorded event as a message, and back |
//! | `publisher` | many messages in flight, and up to where all are acknowledged |
//! | `relay` | copies one partition, for as long as it holds the lease |
//! | `courier` | carries what waits in a table to its streams, for as long as there is any |
//! | `pull` | a durable consumer of a work queue, which all workers share |
//! | `hands` | the batches that a process has in hand of such queues |
//! | `outbox` | publishes alerts and dead letters |
//! | `republish` | publishes a range again |
//! | `reset` | begins the stream anew, for a journal that went back |
//! | `source` | a durable consumer for one projection and partition |
//! | `trim` | drops the oldest messages before the stream is full |
//!
//! JetStream may lose, repeat and reorder messages; the journal is the only truth. Whoever reads the
//! stream counts positions, skips what it has and reads the rest from the journal.

pub(crate) mod connect;
pub(crate) mod courier;
pub(crate) mod hands;
pub mod message;
pub mod outbox;
pub mod publisher;
pub(crate) mod pull;
pub mod relay;
pub mod republish;
pub mod reset;
pub mod source;
pub mod stream;
pub mod trim;

pub use connect::{Access, NatsError, connect, connect_as, tls};

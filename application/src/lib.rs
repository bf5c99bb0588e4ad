//! Accepts commands: routing, batching, idempotency, the saga's driver, and the ports that adapters implement.

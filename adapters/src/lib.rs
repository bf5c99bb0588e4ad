//! Everything that touches the world: HTTP, Postgres, NATS, the clock, configuration, the command
//! line and the binary `florin`.

pub mod clock;
pub mod dev;
pub mod monkey;
pub mod postgres;

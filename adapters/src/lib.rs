//! Everything that touches the world: HTTP, Postgres, NATS, the clock, configuration, the command
//! line and the binary `florin`.

pub mod archive;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod contracts;
pub mod dead_letters;
pub mod dev;
pub mod doctor;
pub mod fraud;
pub mod generations;
mod hex;
pub mod http;
pub mod intake;
pub mod live;
pub mod moment;
pub mod monkey;
pub mod nats;
pub mod operations;
pub mod past;
pub mod postgres;
pub mod proof;
pub mod reads;
pub mod reports;
pub mod snapshots;
pub mod telemetry;
pub mod version;
pub mod worker;

//! End to end against real Postgres and real NATS.

mod access;
mod architecture;
mod archive;
mod auth;
mod chaos;
mod contracts;
mod dead_letters;
mod doctor;
mod fraud;
mod generations;
mod health;
mod http;
mod intake;
mod journal;
mod ledger;
mod live;
mod operations;
mod packaging;
mod past;
mod pipeline;
mod private_servers;
mod processes;
mod projections;
mod proof;
mod relay;
mod subscribers;

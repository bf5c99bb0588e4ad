//! Fraud on real Postgres and NATS: what is found, decided, published and frozen.

mod backtest;
mod folding;
mod freezing;
mod publishing;
mod reviewing;
mod routes;

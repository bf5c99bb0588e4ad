//! The contract over HTTP, row by row: real server, real Postgres.

mod amounts;
mod audit;
mod bulk;
mod documented;
mod edge;
mod garbage;
mod in_flight;
mod kept_keys;
mod keys;
mod limits;
mod malformed;
mod older_systems;
mod outages;
mod reads;
mod refusals;
mod statements;
mod traces;
mod transfers;
mod trial_balance;
mod wallets;

/// Where the routes of wallets answer.
const PREFIXES: [&str; 4] = ["/wallets", "/wallet", "/v1/wallets", "/v1/wallet"];

//! Everything that can be configured: the only module that reads the environment.
//!
//! Each setting but passwords of roles is a flag and a variable; `--help` of a verb lists what it takes. One file here for each
//! group of settings, with what they are to those who use them.

mod audit;
mod auth;
mod database;
mod edge;
mod intake;
mod ledger;
mod limits;
mod log;
mod nats;
mod operator;
mod passwords;
mod projections;

pub use audit::{AuditArgs, SecretsError};
pub use auth::{AuthArgs, AuthError, AuthMode, BearerArgs, TokenArgs};
pub use database::{AdminArgs, DataArgs, DatabaseArgs, PartitionArgs};
pub use edge::{EdgeArgs, EdgeError, ListenArgs};
pub use intake::{InitialError, IntakeArgs};
pub use ledger::{LedgerArgs, ReadArgs};
pub use limits::{LimitArgs, Switch};
pub use log::LogArgs;
pub use nats::{NatsArgs, StreamArgs};
pub use operator::OperatorArgs;
pub use passwords::{PasswordError, passwords};
pub use projections::{FraudArgs, FraudRulesError, ProjectionArgs, ProjectionsError};

//! Everything that can be configured: the only module that reads the environment.
//!
//! A setting is a flag, a variable, and a key in a file, in this order of precedence: what is before goes
//! before what follows. It is said in one place, as a clap argument with a variable, in the file of its
//! group here; all else is read off the command line's definition.
//!
//! | file | does |
//! |---|---|
//! | `audit`, `auth`, `database` … | a group of settings each, and what they are to those who use them |
//! | `setting` | what can be configured, as the command line says |
//! | `file` | the file of settings |
//! | `environment` | refuses variables that are none |
//! | `effective`, `mask` | what a verb goes by and where that is from, without secrets |
//! | `reference` | every setting for people to look up |

mod audit;
mod auth;
mod database;
mod edge;
mod effective;
pub mod environment;
mod file;
mod intake;
mod ledger;
mod limits;
mod log;
mod mask;
mod nats;
mod operator;
mod passwords;
mod projections;
pub mod reference;
mod setting;
mod traces;

pub use audit::{AuditArgs, SecretsError};
pub use auth::{AuthArgs, AuthError, AuthMode, BearerArgs, TokenArgs};
pub use database::{AdminArgs, DataArgs, DatabaseArgs, PartitionArgs};
pub use edge::{EdgeArgs, EdgeError, ListenArgs};
pub use effective::{Effective, Origin, effective};
pub use file::{ConfigFile, ConfigFileArgs, ConfigFileError, MAX_FILE_BYTES, WrongLine};
pub use intake::{InitialError, IntakeArgs};
pub use ledger::{LedgerArgs, ReadArgs};
pub use limits::{LimitArgs, Switch};
pub use log::LogArgs;
pub use nats::{NatsArgs, StreamArgs};
pub use operator::OperatorArgs;
pub use passwords::{PasswordError, passwords};
pub use projections::{FraudArgs, FraudRulesError, ProjectionArgs, ProjectionsError};
pub use setting::{Setting, Settings};
pub use traces::TraceArgs;

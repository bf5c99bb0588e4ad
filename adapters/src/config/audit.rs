//! What is recorded of calls.

use clap::{ArgAction, Args};
use thiserror::Error;

use crate::audit::{NoName, Secrets};

/// What is recorded of calls.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// Whether every POST is recorded, with its events: who sent what, and what they were told.
    #[arg(long, env = "FLORIN_AUDIT", default_value_t = true, action = ArgAction::Set)]
    pub audit: bool,
    /// What is taken out of the record besides authorization and cookies: names of headers, of
    /// parameters, and of fields at any depth, with commas between.
    #[arg(long, env = "FLORIN_AUDIT_REDACT", default_value = "", value_name = "NAMES")]
    pub audit_redact: String,
}

/// A list of secrets that is none.
#[derive(Debug, Error)]
#[error("FLORIN_AUDIT_REDACT: {0}")]
pub struct SecretsError(#[from] NoName);

impl AuditArgs {
    /// What is taken out; `None` where nothing is recorded.
    ///
    /// # Errors
    /// [`SecretsError`] for names that are none.
    pub fn secrets(&self) -> Result<Option<Secrets>, SecretsError> {
        let secrets = Secrets::read(&self.audit_redact)?;
        Ok(self.audit.then_some(secrets))
    }
}

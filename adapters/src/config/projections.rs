//! Which read models are kept, and by which rules the one of fraud judges.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use florin_domain::fraud;
use florin_projections::models;
use florin_projections::read_model::Projection;
use thiserror::Error;

use crate::fraud::{RulesError, read};

/// By which thresholds fraud is found.
#[derive(Debug, Clone, Default, Args)]
pub struct FraudArgs {
    /// The file of the fraud rules (TOML); without one, every rule has its defaults.
    #[arg(long, env = "FLORIN_FRAUD_RULES", value_name = "FILE")]
    pub fraud_rules: Option<PathBuf>,
}

impl FraudArgs {
    /// As the rules take them.
    ///
    /// # Errors
    /// [`FraudRulesError`] when the file cannot be read or says what cannot be.
    pub fn settings(&self) -> Result<fraud::Settings, FraudRulesError> {
        Ok(read(self.fraud_rules.as_deref())?)
    }
}

/// The file of the fraud rules says what cannot be.
#[derive(Debug, Error)]
#[error("FLORIN_FRAUD_RULES: {0}")]
pub struct FraudRulesError(#[from] RulesError);

/// Which read models are kept up to date.
#[derive(Debug, Clone, Default, Args)]
pub struct ProjectionArgs {
    /// The read models to keep up to date, all unless said: names with commas between, or `none`
    /// to leave them to other workers.
    #[arg(long, env = "FLORIN_PROJECTIONS", value_name = "NAMES")]
    pub projections: Option<String>,
}

/// A list of read models that names something else.
#[derive(Debug, Error)]
#[error("FLORIN_PROJECTIONS: {0}")]
pub struct ProjectionsError(#[from] models::UnknownModel);

impl ProjectionArgs {
    /// As a worker takes them.
    ///
    /// # Errors
    /// [`ProjectionsError`] for a name that no read model has.
    pub fn models(&self) -> Result<Vec<Arc<dyn Projection>>, ProjectionsError> {
        Ok(self.projections.as_deref().map_or_else(|| Ok(models::all()), models::named)?)
    }
}

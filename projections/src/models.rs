//! Every read model there is.

use std::sync::Arc;

use crate::balance::Balance;
use crate::fraud::Fraud;
use crate::history::History;
use crate::read_model::Projection;
use crate::stats::Stats;

/// The read models, each to be run in every partition.
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(Balance), Arc::new(History), Arc::new(Stats), Arc::new(Fraud)]
}

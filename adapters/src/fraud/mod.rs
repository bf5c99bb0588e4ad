//! Fraud, on this side of the fold: the file of thresholds, the desk at which people review alerts,
//! and the policy that freezes wallets.

mod desk;
mod policy;
mod rules;

pub use desk::FraudDesk;
pub use policy::{BATCH, FreezePolicy};
pub use rules::{RulesError, adopt, read};

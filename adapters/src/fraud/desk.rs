//! Where people review alerts: the read model's functions, on a pool.

use florin_domain::fraud::Alert;
use florin_domain::{Operator, Reason};
use florin_projections::fraud::review::{self, Decided, ReviewError, Reviewed, Verdict};
use sqlx::PgPool;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct FraudDesk {
    pool: PgPool,
}

impl FraudDesk {
    /// Over the read models' database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// One alert, by [`Alert::id`].
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn show(&self, id: &str) -> Result<Option<Reviewed>, sqlx::Error> {
        review::show(&self.pool, id).await
    }

    /// Decides about an alert.
    ///
    /// # Errors
    /// [`ReviewError`].
    pub async fn decide(
        &self,
        id: &str,
        verdict: Verdict,
        by: &Operator,
        reason: Option<&Reason>,
    ) -> Result<Decided, ReviewError> {
        let reason = reason.map(Reason::as_str);
        let decided = review::decide(&self.pool, id, verdict, by.as_str(), reason).await?;
        if !decided.is_repeated {
            let (Alert { wallet, .. }, verdict) = (&decided.alert.alert, verdict.name());
            tracing::info!(alert = id, %wallet, verdict, by = by.as_str(), "alert reviewed");
        }
        Ok(decided)
    }
}

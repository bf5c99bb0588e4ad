//! Freezes the wallets of alerts whose rule says `freeze = true`, through the front door.
//!
//! ```text
//! fraud_alerts ─pending─▶ Ledger::submit(Freeze, key fraud:<alert id>) ─▶ dealt with
//! ```
//!
//! **Once**: the key makes a second freeze for an alert the first one's answer, so a crash between
//! the freeze and its note, or two processes at work, change nothing; and a wallet that an operator
//! unfroze stays so. **Which alerts**: of events recorded after the rule was first run with
//! `freeze = true`; not those that a replay or a rebuild finds later. An alert of a time at which no
//! process was at work is dealt with when one is.
//!
//! To be run by one process at a time, under the lease [`FreezePolicy::LEASE`].

use std::convert::Infallible;
use std::time::Duration;

use florin_application::command::{Outcome, RequestId};
use florin_application::{Command, Ledger, Origin, Request, SubmitError};
use florin_domain::WalletCommand;
use florin_domain::fraud::{Alert, Rule, Settings};
use florin_domain::wallet::Freeze;
use florin_projections::fraud::policy;
use florin_projections::outbox::CHANNEL;
use sqlx::PgPool;
use thiserror::Error;
use tokio::time::sleep;

use crate::postgres::wake::Wake;

/// How many alerts are dealt with between two looks at the table: a freeze takes a millisecond.
pub const BATCH: u32 = 100;

/// The first and the longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The policy, in this process.
pub struct FreezePolicy {
    ledger: Ledger,
    pool: PgPool,
    rules: Vec<Rule>,
}

/// Why it waits.
#[derive(Debug, Error)]
enum Trouble {
    #[error("Postgres is away: {0}")]
    Away(#[from] sqlx::Error),
    #[error("the freeze for {0} came to no outcome: {1}")]
    Submit(String, #[source] SubmitError),
}

impl FreezePolicy {
    /// The lease under which it runs.
    pub const LEASE: &'static str = "fraud-policy";

    /// A policy that does nothing yet. While it runs, it holds one connection of the pool, and now
    /// and then another.
    pub fn new(ledger: Ledger, pool: PgPool, settings: &Settings) -> Self {
        let freezing = Rule::ALL.iter().copied().filter(|rule| settings.freezes(*rule));
        Self { ledger, pool, rules: freezing.collect() }
    }

    /// Freezes for ever. To be dropped when the lease is lost.
    pub async fn run(&self) -> Infallible {
        let mut wait = BACKOFF.0;
        loop {
            let Err(error) = self.attempt(&mut wait).await;
            // Once, when it goes.
            if wait == BACKOFF.0 {
                tracing::warn!(%error, "fraud policy waits");
            }
            sleep(wait).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    async fn attempt(&self, wait: &mut Duration) -> Result<Infallible, Trouble> {
        policy::begin(&self.pool, &self.rules).await?;
        if self.rules.is_empty() {
            return std::future::pending().await;
        }
        let mut wake = Wake::new(self.pool.clone(), CHANNEL);
        loop {
            let is_full = self.pass().await?;
            if std::mem::replace(wait, BACKOFF.0) != BACKOFF.0 {
                tracing::info!("fraud policy goes on");
            }
            if !is_full {
                wake.next().await;
            }
        }
    }

    /// Deals with what there is; says whether there may be more.
    async fn pass(&self) -> Result<bool, Trouble> {
        let pending = policy::pending(&self.pool, BATCH).await?;
        for alert in &pending.alerts {
            self.freeze(alert).await?;
            policy::dealt_with(&self.pool, alert).await?;
        }
        if !pending.is_full {
            policy::reached(&self.pool, &pending.checkpoints).await?;
        }
        Ok(pending.is_full)
    }

    async fn freeze(&self, alert: &Alert) -> Result<(), Trouble> {
        // The names of rules are within the bounds of a reason.
        let reason = format!("fraud: {}", alert.rule).parse().ok();
        let request = Request {
            command: Command::Wallet {
                id: alert.wallet.clone(),
                id_is_new: false,
                command: WalletCommand::Freeze(Freeze { reason }),
            },
            request_id: Some(RequestId::of_freeze(alert.rule, alert.event)),
            expected_version: None,
            expected_owner: None,
            origin: Origin::default(),
        };
        let (id, wallet) = (&alert.id, &alert.wallet);
        match self.ledger.submit(request).await {
            Ok(answer) => match answer.outcome {
                Outcome::Accepted(_) => {
                    tracing::warn!(alert = id, %wallet, replayed = answer.replayed, "wallet frozen");
                }
                Outcome::Refused(refused) => {
                    let refusal = refused.refusal;
                    tracing::warn!(alert = id, %wallet, %refusal, "wallet not frozen");
                }
            },
            // Tried again, these would say the same, and everybody else's freeze would wait.
            Err(
                error @ (SubmitError::KeyReused
                | SubmitError::Rejected
                | SubmitError::VersionMismatch { .. }
                | SubmitError::Apart { .. }),
            ) => tracing::error!(alert = id, %wallet, %error, "wallet not frozen"),
            Err(
                error @ (SubmitError::InProgress | SubmitError::Busy | SubmitError::Unavailable),
            ) => return Err(Trouble::Submit(id.clone(), error)),
        }
        Ok(())
    }
}

//! What deals with messages: a ledger, a database, and how long it is patient.

use std::collections::HashMap;
use std::time::Duration;

use florin_application::Ledger;
use florin_domain::{Currency, RequestedAmount};
use sqlx::PgPool;

use super::letters::{self, Draft};
use super::read::TransactionRef;
use super::row::Row;
use super::step::Step;
use super::store::{self, Notes};
use super::taken::{Fate, Taken};
use super::{ACK_WAIT, Patience, Settings};
use crate::postgres::patience;

/// How long the ledger is waited for. It answers in milliseconds, or something is the matter; what it
/// decides later is found under the key.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Where messages are dealt with.
pub(super) struct Desk {
    ledger: Ledger,
    pool: PgPool,
    settings: Settings,
}

impl Desk {
    pub(super) fn new(ledger: Ledger, pool: PgPool, settings: Settings) -> Self {
        Self { ledger, pool, settings }
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.settings.patience
    }

    pub(super) fn currency(&self) -> Currency {
        self.settings.currency
    }

    pub(super) fn initial(&self) -> Option<RequestedAmount> {
        self.settings.initial
    }

    /// Puts on record what messages ask for; nothing where Postgres is away for too long.
    pub(super) async fn recorded(
        &self,
        notes: &HashMap<TransactionRef, Notes>,
    ) -> Option<Vec<Row>> {
        let mut patience = patience("recorded");
        loop {
            match store::record(&self.pool, notes).await {
                Ok(rows) => return Some(rows),
                Err(error) if patience.has_ended(&error).await => return None,
                Err(_) => {}
            }
        }
    }

    /// Puts on record what became of transactions and messages; nothing where Postgres is away for too
    /// long.
    pub(super) async fn saved(&self, steps: &[Step], drafts: &[Draft]) -> Option<Vec<Row>> {
        let mut patience = patience("saved");
        loop {
            match store::save(&self.pool, steps, drafts).await {
                Ok(rows) => return Some(rows),
                Err(error) if patience.has_ended(&error).await => return None,
                Err(_) => {}
            }
        }
    }

    /// Notes what became of replayed messages, so that they are not sent again, or not yet; says whether
    /// it could. Those that are in a letter again were noted with that.
    pub(super) async fn noted(&self, batch: &[Taken], fates: &[Fate]) -> bool {
        let (mut done, mut waiting) = (Vec::new(), Vec::new());
        for (taken, fate) in batch.iter().zip(fates) {
            let Some(letter) = &taken.letter else { continue };
            match fate {
                Fate::Done => done.push(letter.clone()),
                Fate::Later(wait) => waiting.push((letter.clone(), *wait)),
                Fate::Aside => {}
            }
        }
        if done.is_empty() && waiting.is_empty() {
            return true;
        }
        let mut patience = patience("noted");
        loop {
            match letters::note(&self.pool, &done, &waiting).await {
                Ok(()) => return true,
                Err(error) if patience.has_ended(&error).await => return false,
                Err(_) => {}
            }
        }
    }
}

fn patience(done: &'static str) -> patience::Patience {
    patience::Patience::new("messages of other services", done, ACK_WAIT)
}

//! `fraud`: what the rules of [`florin_domain::fraud`] find in the movements of each wallet.
//!
//! | file | holds |
//! |---|---|
//! | here, `save` | the fold: histories of wallets, and the alerts that come out |
//! | [`settings`] | by which thresholds an event is judged |
//! | [`review`] | the alerts for people: list, show, decide, and whether a wallet is suspicious |
//! | [`publish`] | the alerts that are to be published |
//! | [`policy`] | the alerts that freeze a wallet |
//! | [`backtest`] | what other rules would have found |
//!
//! A batch takes two statements to load (settings, histories) and one or two to save (histories,
//! and alerts if there are any). The thresholds are read from a table and not from the process, so
//! every fold of an event, first or repeated, judges it by the same ones: alerts are the same
//! whenever they are made.

pub mod backtest;
pub mod policy;
pub mod publish;
pub mod review;
mod row;
mod save;
pub mod settings;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use florin_domain::WalletId;
use florin_domain::fraud::{Alert, EventId, Movement, Settings, WalletHistory};
use florin_domain::journal::{Event, RecordedEvent};
use sqlx::PgConnection;

use crate::fact::{Fact, Unapplicable, is_of_wallet, wallet_of};
use crate::read_model::ReadModel;

/// The read model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fraud;

/// What is remembered of a wallet.
#[derive(Debug)]
struct Wallet {
    id: WalletId,
    partition: u32,
    /// Its last movement.
    position: u64,
    history: WalletHistory,
}

/// The wallets of a batch, and what was found in them.
#[derive(Debug, Default)]
pub struct Rows {
    /// The settings in force after each of these positions, in their order; the defaults before.
    settings: Vec<(u64, Settings)>,
    defaults: Settings,
    wallets: HashMap<Arc<str>, Wallet>,
    alerts: Vec<Alert>,
}

#[async_trait]
impl ReadModel for Fraud {
    type Rows = Rows;

    const NAME: &'static str = "fraud";
    const TABLES: &'static [&'static str] = &["fraud_histories", "fraud_alerts"];

    fn reads(&self, event: &RecordedEvent) -> bool {
        const STILL: [&str; 4] = ["WalletOpened", "WalletFrozen", "WalletUnfrozen", "WalletClosed"];
        is_of_wallet(event) && !STILL.contains(&&*event.event_type)
    }

    async fn load(
        &self,
        connection: &mut PgConnection,
        facts: &[Fact<'_>],
    ) -> Result<Rows, sqlx::Error> {
        let (Some(first), Some(last)) = (facts.first(), facts.last()) else {
            return Ok(Rows::default());
        };
        let partition = first.recorded.partition;
        let (from, to) = (first.recorded.position, last.recorded.position);
        Ok(Rows {
            settings: settings::between(connection, partition, from, to).await?,
            wallets: save::load(connection, facts).await?,
            ..Rows::default()
        })
    }

    fn apply(&self, rows: &mut Rows, fact: &Fact<'_>) -> Result<(), Unapplicable> {
        let Event::Wallet(event) = &fact.event else { return Ok(()) };
        let at = fact.recorded;
        let settings = rows.settings.iter().rev().find(|(after, _)| *after < at.position);
        let settings = settings.map_or(&rows.defaults, |(_, settings)| settings);
        let wallet = match rows.wallets.get_mut(fact.stream()) {
            Some(wallet) => wallet,
            None => {
                let fresh = Wallet::new(at)?;
                rows.wallets.entry(Arc::clone(&at.aggregate_id)).or_insert(fresh)
            }
        };
        if at.position <= wallet.position {
            let (given, known) = (at.position, wallet.position);
            return Err(Unapplicable(format!("the movement at {given} follows that at {known}")));
        }
        let id = EventId { partition: at.partition, position: at.position };
        if let Some(movement) = Movement::of(&wallet.id, event, id, at.recorded_at) {
            rows.alerts.extend(wallet.history.observe(settings, &movement));
            wallet.position = at.position;
        }
        Ok(())
    }

    async fn save(&self, connection: &mut PgConnection, rows: Rows) -> Result<(), sqlx::Error> {
        save::histories(connection, rows.wallets.values()).await?;
        match rows.alerts.is_empty() {
            true => Ok(()),
            false => save::alerts(connection, &rows.alerts).await,
        }
    }

    async fn erase(&self, connection: &mut PgConnection, wallet: &str) -> Result<(), sqlx::Error> {
        for delete in [
            "DELETE FROM fraud_histories WHERE wallet_id = $1",
            "DELETE FROM fraud_alerts WHERE wallet_id = $1",
        ] {
            sqlx::query(delete).bind(wallet).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

impl Wallet {
    /// Of which nothing is remembered yet.
    fn new(at: &RecordedEvent) -> Result<Self, Unapplicable> {
        let id = wallet_of(at);
        let id = id.ok_or_else(|| Unapplicable("the id is no wallet's".to_owned()))?;
        Ok(Self { id, partition: at.partition, position: 0, history: WalletHistory::default() })
    }
}

//! `stats`: what came and went, per wallet in all and per day (UTC).
//!
//! The fold is a sum, so a batch loads no totals: it adds what it brings. What is loaded are the
//! debits that a refund of the batch takes back, because they count on their own day.
//!
//! | event | counts as |
//! |---|---|
//! | `FundsDeposited`, `FundsWithdrawn` | deposited, withdrawn |
//! | `FundsCredited` | transferred in |
//! | `FundsDebited` | transferred out, and in flight until `TransferCompleted` |
//! | `FundsRefunded` | nothing; its debit no longer counts |

mod read;
mod save;
#[cfg(test)]
mod tests;

pub use read::{DayVolume, Days, MAX_DAYS, WalletStats, wallet};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::{Currency, TransferEvent, WalletEvent};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::fact::{Fact, Unapplicable};
use crate::read_model::ReadModel;

/// The read model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats;

/// A sum and how many it is of; both may shrink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    amount: Decimal,
    count: i64,
}

impl Sum {
    fn plus(self, amount: Decimal, count: i64) -> Result<Self, Unapplicable> {
        let too_much = || Unapplicable("the sums of the batch pass 28 digits".to_owned());
        let amount = self.amount.checked_add(amount).ok_or_else(too_much)?;
        Ok(Self { amount, count: self.count + count })
    }
}

/// What a batch adds to a wallet.
#[derive(Debug, Clone)]
struct Change {
    partition: u32,
    currency: Currency,
    deposited: Sum,
    withdrawn: Sum,
    transferred_in: Sum,
    transferred_out: Sum,
    last_activity_at: Option<DateTime<Utc>>,
}

/// What a batch adds to a day of a wallet.
#[derive(Debug, Clone, Copy, Default)]
struct Volume {
    money_in: Sum,
    money_out: Sum,
}

/// Under which heading money is counted.
#[derive(Clone, Copy)]
enum Heading {
    Deposited,
    Withdrawn,
    TransferredIn,
    TransferredOut,
}

impl Change {
    fn sum(&mut self, heading: Heading) -> &mut Sum {
        match heading {
            Heading::Deposited => &mut self.deposited,
            Heading::Withdrawn => &mut self.withdrawn,
            Heading::TransferredIn => &mut self.transferred_in,
            Heading::TransferredOut => &mut self.transferred_out,
        }
    }
}

impl Volume {
    fn side(&mut self, heading: Heading) -> &mut Sum {
        match heading {
            Heading::Deposited | Heading::TransferredIn => &mut self.money_in,
            Heading::Withdrawn | Heading::TransferredOut => &mut self.money_out,
        }
    }
}

/// A debit that may come back.
#[derive(Debug, Clone)]
struct InFlight {
    wallet_id: Arc<str>,
    day: NaiveDate,
    is_stored: bool,
}

/// What a batch adds.
#[derive(Debug, Default)]
pub struct Rows {
    changes: HashMap<Arc<str>, Change>,
    volumes: HashMap<(Arc<str>, NaiveDate), Volume>,
    in_flight: HashMap<Uuid, InFlight>,
    /// The stored debits that have landed or come back.
    landed: Vec<Uuid>,
}

#[async_trait]
impl ReadModel for Stats {
    type Rows = Rows;

    const NAME: &'static str = "stats";
    const TABLES: &'static [&'static str] = &["wallet_stats", "wallet_volumes", "stats_in_flight"];

    fn reads(&self, event: &RecordedEvent) -> bool {
        const OTHERS: [&str; 7] = [
            "WalletFrozen",
            "WalletUnfrozen",
            "WalletClosed",
            "TransferInitiated",
            "TransferDebited",
            "TransferCompensated",
            "TransferFailed",
        ];
        !OTHERS.contains(&&*event.event_type)
    }

    async fn load(
        &self,
        connection: &mut PgConnection,
        facts: &[Fact<'_>],
    ) -> Result<Rows, sqlx::Error> {
        let mut landing = HashSet::new();
        let mut debited = HashSet::new();
        for fact in facts {
            match &fact.event {
                Event::Transfer(TransferEvent::TransferCompleted(_)) => {
                    landing.extend(fact.transfer_id());
                }
                Event::Wallet(WalletEvent::FundsRefunded { transfer_id, .. }) => {
                    landing.insert(transfer_id.0);
                }
                Event::Wallet(WalletEvent::FundsDebited { transfer_id, .. }) => {
                    debited.insert(transfer_id.0);
                }
                Event::Wallet(_) | Event::Transfer(_) => {}
            }
        }
        let wanted: Vec<Uuid> = landing.difference(&debited).copied().collect();
        let in_flight = save::in_flight(connection, &wanted).await?;
        Ok(Rows { in_flight, ..Rows::default() })
    }

    fn apply(&self, rows: &mut Rows, fact: &Fact<'_>) -> Result<(), Unapplicable> {
        match &fact.event {
            Event::Wallet(event) => rows.take(fact.recorded, event),
            Event::Transfer(TransferEvent::TransferCompleted(_)) => {
                rows.land(fact.transfer_id()?);
                Ok(())
            }
            Event::Transfer(
                TransferEvent::TransferInitiated { .. }
                | TransferEvent::TransferDebited(_)
                | TransferEvent::TransferCompensated { .. }
                | TransferEvent::TransferFailed { .. },
            ) => Ok(()),
        }
    }

    async fn save(&self, connection: &mut PgConnection, rows: Rows) -> Result<(), sqlx::Error> {
        save::save(connection, &rows).await
    }

    async fn erase(&self, connection: &mut PgConnection, wallet: &str) -> Result<(), sqlx::Error> {
        for delete in [
            "DELETE FROM wallet_stats WHERE wallet_id = $1",
            "DELETE FROM wallet_volumes WHERE wallet_id = $1",
            "DELETE FROM stats_in_flight WHERE wallet_id = $1",
        ] {
            sqlx::query(delete).bind(wallet).execute(&mut *connection).await?;
        }
        Ok(())
    }
}

impl Rows {
    fn take(&mut self, recorded: &RecordedEvent, event: &WalletEvent) -> Result<(), Unapplicable> {
        let day = recorded.recorded_at.date_naive();
        match event {
            WalletEvent::WalletOpened { currency, .. } => {
                self.change(recorded, *currency);
                Ok(())
            }
            WalletEvent::FundsDeposited { amount, currency, .. } => {
                self.count(recorded, Heading::Deposited, (*currency, *amount, 1), day)
            }
            WalletEvent::FundsWithdrawn { amount, currency, .. } => {
                self.count(recorded, Heading::Withdrawn, (*currency, *amount, 1), day)
            }
            WalletEvent::FundsCredited { amount, currency, .. } => {
                self.count(recorded, Heading::TransferredIn, (*currency, *amount, 1), day)
            }
            WalletEvent::FundsDebited { transfer_id, amount, currency, .. } => {
                self.count(recorded, Heading::TransferredOut, (*currency, *amount, 1), day)?;
                let wallet_id = Arc::clone(&recorded.aggregate_id);
                let debit = InFlight { wallet_id, day, is_stored: false };
                self.in_flight.insert(transfer_id.0, debit);
                Ok(())
            }
            WalletEvent::FundsRefunded { transfer_id, amount, currency, .. } => {
                let Some(debit) = self.in_flight.get(&transfer_id.0) else {
                    return Err(Unapplicable("refunds a debit that is not in flight".to_owned()));
                };
                let day = debit.day;
                self.count(recorded, Heading::TransferredOut, (*currency, -*amount, -1), day)?;
                self.land(transfer_id.0);
                Ok(())
            }
            WalletEvent::WalletFrozen { .. }
            | WalletEvent::WalletUnfrozen { .. }
            | WalletEvent::WalletClosed { .. } => Ok(()),
        }
    }

    /// Adds to a sum of the wallet and to its day.
    fn count(
        &mut self,
        recorded: &RecordedEvent,
        heading: Heading,
        (currency, amount, count): (Currency, Decimal, i64),
        day: NaiveDate,
    ) -> Result<(), Unapplicable> {
        let wallet_id = Arc::clone(&recorded.aggregate_id);
        let volume = self.volumes.get(&(Arc::clone(&wallet_id), day));
        let mut volume = volume.copied().unwrap_or_default();
        let of_day = volume.side(heading);
        *of_day = of_day.plus(amount, count)?;
        let change = self.change(recorded, currency);
        let of_wallet = change.sum(heading);
        *of_wallet = of_wallet.plus(amount, count)?;
        change.last_activity_at = Some(recorded.recorded_at);
        self.volumes.insert((wallet_id, day), volume);
        Ok(())
    }

    fn change(&mut self, recorded: &RecordedEvent, currency: Currency) -> &mut Change {
        let unchanged = || Change {
            partition: recorded.partition,
            currency,
            deposited: Sum::default(),
            withdrawn: Sum::default(),
            transferred_in: Sum::default(),
            transferred_out: Sum::default(),
            last_activity_at: None,
        };
        self.changes.entry(Arc::clone(&recorded.aggregate_id)).or_insert_with(unchanged)
    }

    /// A debit that is over. One that is not in flight is of a parked wallet.
    fn land(&mut self, transfer_id: Uuid) {
        if self.in_flight.remove(&transfer_id).is_some_and(|debit| debit.is_stored) {
            self.landed.push(transfer_id);
        }
    }
}

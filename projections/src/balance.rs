//! `balance`: what each wallet is now, one row a wallet.
//!
//! | read | by |
//! |---|---|
//! | [`wallet`] | id |
//! | [`as_of`] | the events of its stream that tell what it was |
//! | [`list`] | keyset on the id, with filters; at most [`SCAN`] wallets are looked at for a page |

mod past;
mod read;
#[cfg(test)]
mod tests;

pub use past::{Untold, as_of};
pub use read::{Filter, MAX_LIST, SCAN, WalletList, list, wallet};

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::money::zero;
use florin_domain::wallet::Status;
use florin_domain::{Currency, WalletEvent};
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row as _};

use crate::column::{currency, money};
use crate::fact::{Fact, Unapplicable, is_of_wallet, number, signed, unsigned};
use crate::read_model::ReadModel;

/// The read model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Balance;

/// A wallet as of its last event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletRow {
    /// Which.
    pub wallet_id: Arc<str>,
    /// Where it lies.
    pub partition: u32,
    /// What it holds, in the scale of the currency.
    pub balance: Decimal,
    /// Its one currency.
    pub currency: Currency,
    /// Whether it may move.
    pub status: Status,
    /// Whom it belongs to.
    pub owner: Option<String>,
    /// What the client attached when it was opened: a JSON object as text.
    pub metadata: Option<String>,
    /// The sequence of its last event.
    pub version: u64,
    /// The position of its last event.
    pub position: u64,
    /// When its first event was recorded.
    pub opened_at: DateTime<Utc>,
    /// When its last one was.
    pub updated_at: DateTime<Utc>,
}

/// The wallets of a batch; those that it opened are to be inserted.
#[derive(Debug, Default)]
pub struct Rows {
    wallets: HashMap<Arc<str>, WalletRow>,
    opened: Vec<Arc<str>>,
}

#[async_trait]
impl ReadModel for Balance {
    type Rows = Rows;

    const NAME: &'static str = "balance";
    const TABLES: &'static [&'static str] = &["balances"];
    const IS_CACHED: bool = true;

    fn reads(&self, event: &RecordedEvent) -> bool {
        is_of_wallet(event)
    }

    async fn load(
        &self,
        connection: &mut PgConnection,
        facts: &[Fact<'_>],
    ) -> Result<Rows, sqlx::Error> {
        let mut ids: Vec<&str> = facts.iter().map(Fact::stream).collect();
        ids.sort_unstable();
        ids.dedup();
        let wallets: Vec<WalletRow> =
            sqlx::query_as("SELECT b.* FROM balances b WHERE b.wallet_id = ANY($1)")
                .bind(ids)
                .fetch_all(connection)
                .await?;
        let wallets = wallets.into_iter().map(|row| (Arc::clone(&row.wallet_id), row)).collect();
        Ok(Rows { wallets, opened: Vec::new() })
    }

    fn apply(&self, rows: &mut Rows, fact: &Fact<'_>) -> Result<(), Unapplicable> {
        let Event::Wallet(event) = &fact.event else { return Ok(()) };
        let known = rows.wallets.get_mut(fact.stream());
        if let WalletEvent::WalletOpened { currency, owner, metadata } = event {
            if known.is_some() {
                return Err(Unapplicable("the wallet was opened before".to_owned()));
            }
            let owner = owner.as_ref().map(|owner| owner.as_str().to_owned());
            let metadata = metadata.as_ref().map(ToString::to_string);
            let row = opened(fact.recorded, *currency, owner, metadata);
            rows.opened.push(Arc::clone(&row.wallet_id));
            rows.wallets.insert(Arc::clone(&row.wallet_id), row);
            return Ok(());
        }
        let Some(row) = known else {
            return Err(Unapplicable("the wallet was never opened".to_owned()));
        };
        row.take(fact.recorded, event)
    }

    async fn save(&self, connection: &mut PgConnection, mut rows: Rows) -> Result<(), sqlx::Error> {
        let opened: Vec<WalletRow> =
            rows.opened.iter().filter_map(|id| rows.wallets.remove(id)).collect();
        if !opened.is_empty() {
            insert(connection, &opened).await?;
        }
        if !rows.wallets.is_empty() {
            update(connection, &rows.wallets.into_values().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    async fn erase(&self, connection: &mut PgConnection, wallet: &str) -> Result<(), sqlx::Error> {
        let delete = "DELETE FROM balances WHERE wallet_id = $1";
        sqlx::query(delete).bind(wallet).execute(connection).await.map(drop)
    }
}

fn opened(
    recorded: &RecordedEvent,
    currency: Currency,
    owner: Option<String>,
    metadata: Option<String>,
) -> WalletRow {
    WalletRow {
        wallet_id: Arc::clone(&recorded.aggregate_id),
        partition: recorded.partition,
        balance: zero(currency),
        currency,
        status: Status::Active,
        owner,
        metadata,
        version: recorded.sequence,
        position: recorded.position,
        opened_at: recorded.recorded_at,
        updated_at: recorded.recorded_at,
    }
}

impl WalletRow {
    /// Its status, as JSON says it.
    pub fn status_name(&self) -> &'static str {
        status_name(self.status)
    }

    /// Takes an event that is not the first.
    fn take(&mut self, recorded: &RecordedEvent, event: &WalletEvent) -> Result<(), Unapplicable> {
        if recorded.sequence <= self.version {
            let (given, known) = (recorded.sequence, self.version);
            return Err(Unapplicable(format!("event {given} of the wallet follows {known}")));
        }
        match event {
            WalletEvent::FundsDeposited { currency, balance, .. }
            | WalletEvent::FundsWithdrawn { currency, balance, .. }
            | WalletEvent::FundsDebited { currency, balance, .. }
            | WalletEvent::FundsCredited { currency, balance, .. }
            | WalletEvent::FundsRefunded { currency, balance, .. } => {
                if *currency != self.currency {
                    let own = self.currency;
                    return Err(Unapplicable(format!("moves {currency} in a wallet of {own}")));
                }
                self.balance = *balance;
            }
            WalletEvent::WalletOpened { .. } | WalletEvent::WalletUnfrozen { .. } => {
                self.status = Status::Active;
            }
            WalletEvent::WalletFrozen { .. } => self.status = Status::Frozen,
            WalletEvent::WalletClosed { .. } => self.status = Status::Closed,
        }
        self.version = recorded.sequence;
        self.position = recorded.position;
        self.updated_at = recorded.recorded_at;
        Ok(())
    }
}

async fn insert(connection: &mut PgConnection, rows: &[WalletRow]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO balances (wallet_id, partition, currency, balance, status, owner, metadata,
                               version, position, opened_at, updated_at)
         SELECT r.wallet_id, r.partition, r.currency, r.balance, r.status, r.owner,
                r.metadata::json, r.version, r.position, r.opened_at, r.updated_at
           FROM unnest($1::text[], $2::integer[], $3::text[], $4::numeric[], $5::text[], $6::text[],
                       $7::text[], $8::bigint[], $9::bigint[], $10::timestamptz[],
                       $11::timestamptz[])
                AS r (wallet_id, partition, currency, balance, status, owner, metadata, version,
                      position, opened_at, updated_at)",
    )
    .bind(rows.iter().map(|row| &*row.wallet_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| number(row.partition)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.currency.code()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.balance).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| status_name(row.status)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.owner.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.metadata.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| signed(row.version)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| signed(row.position)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.opened_at).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.updated_at).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

async fn update(connection: &mut PgConnection, rows: &[WalletRow]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE balances b
            SET balance = r.balance, status = r.status, version = r.version, position = r.position,
                updated_at = r.updated_at
           FROM unnest($1::text[], $2::numeric[], $3::text[], $4::bigint[], $5::bigint[],
                       $6::timestamptz[])
                AS r (wallet_id, balance, status, version, position, updated_at)
          WHERE b.wallet_id = r.wallet_id",
    )
    .bind(rows.iter().map(|row| &*row.wallet_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.balance).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| status_name(row.status)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| signed(row.version)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| signed(row.position)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.updated_at).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

/// As it is stored, and as JSON says it.
fn status_name(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Frozen => "frozen",
        Status::Closed => "closed",
    }
}

impl FromRow<'_, PgRow> for WalletRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let currency = currency(row)?;
        let status = match row.try_get("status")? {
            "frozen" => Status::Frozen,
            "closed" => Status::Closed,
            _ => Status::Active,
        };
        Ok(Self {
            wallet_id: row.try_get::<&str, _>("wallet_id")?.into(),
            partition: u32::try_from(row.try_get::<i32, _>("partition")?).unwrap_or(0),
            balance: money(row, "balance", currency)?,
            currency,
            status,
            owner: row.try_get("owner")?,
            metadata: row.try_get_unchecked("metadata")?,
            version: unsigned(row.try_get("version")?),
            position: unsigned(row.try_get("position")?),
            opened_at: row.try_get("opened_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

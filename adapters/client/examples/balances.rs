//! Keeps what every wallet holds, and a book of what happened to it, in a Postgres of its own.
//!
//! `FLORIN_URL` `FLORIN_TOKEN?` `NATS_URL` `NATS_CA?` `NAME?` (the subscription's) `DATABASE_URL`; ends
//! with Ctrl-C.

use std::env::var;
use std::error::Error;
use std::path::Path;

use florin_client::pg::{self, Apply, Pg};
use florin_client::{
    Florin, LedgerEvent, Subscription, connect_nats, connect_nats_trusting, follow,
};
use sqlx::{PgConnection, PgPool};

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS accounts (
  wallet_id text PRIMARY KEY, version bigint NOT NULL, balance numeric NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, partition integer NOT NULL,
  position bigint NOT NULL, wallet_id text NOT NULL, sequence bigint NOT NULL, event_type text NOT NULL,
  balance numeric NOT NULL)";

/// A wallet has what it began with, so what is not beyond its version is left out.
const ENTER: &str = "
WITH news AS (
  SELECT e.* FROM unnest($1::int[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::numeric[])
         WITH ORDINALITY AS e (partition, position, wallet_id, sequence, event_type, balance, number)
    LEFT JOIN accounts a USING (wallet_id) WHERE e.sequence > coalesce(a.version, 0)),
entered AS (
  INSERT INTO entries (partition, position, wallet_id, sequence, event_type, balance)
  SELECT partition, position, wallet_id, sequence, event_type, balance FROM news ORDER BY number)
INSERT INTO accounts
SELECT DISTINCT ON (wallet_id) wallet_id, sequence, balance FROM news
 ORDER BY wallet_id, sequence DESC
ON CONFLICT (wallet_id) DO UPDATE SET version = excluded.version, balance = excluded.balance";

struct Accounts;

impl Apply for Accounts {
    async fn apply(
        &mut self,
        transaction: &mut PgConnection,
        events: &[LedgerEvent],
    ) -> Result<(), sqlx::Error> {
        // Transfers have events of their own; of wallets, each says what the wallet holds after it.
        let of_wallets = || events.iter().filter_map(|event| Some((event, event.wallet()?)));
        let partition = |event: &LedgerEvent| i32::try_from(event.partition).unwrap_or(i32::MAX);
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        sqlx::query(ENTER)
            .bind(of_wallets().map(|(event, _)| partition(event)).collect::<Vec<_>>())
            .bind(of_wallets().map(|(event, _)| signed(event.position)).collect::<Vec<_>>())
            .bind(of_wallets().map(|(_, wallet)| wallet.as_str()).collect::<Vec<_>>())
            .bind(of_wallets().map(|(event, _)| signed(event.sequence)).collect::<Vec<_>>())
            .bind(of_wallets().map(|(event, _)| &*event.event_type).collect::<Vec<_>>())
            .bind(of_wallets().map(|(event, _)| event.balance).collect::<Vec<_>>())
            .execute(transaction)
            .await?;
        Ok(())
    }
}

/// Until the end of the transaction: of two processes that come at once, one waits for the other.
async fn one_at_a_time(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("SELECT pg_advisory_xact_lock(4711)").execute(transaction).await.map(drop)
}

/// Begins with all wallets as they are, in one transaction with the positions from which to follow.
async fn begin(
    florin: &Florin,
    pool: &PgPool,
    subscription: &Subscription,
) -> Result<(), Box<dyn Error>> {
    let mut transaction = pool.begin().await?;
    one_at_a_time(&mut transaction).await?;
    if !pg::load(&mut transaction, &subscription.name).await?.is_empty() {
        return Ok(());
    }
    let mut start = florin.bootstrap().await?;
    while let Some(wallets) = start.next().await? {
        for wallet in wallets {
            let version = i64::try_from(wallet.version)?;
            sqlx::query("INSERT INTO accounts VALUES ($1, $2, $3)")
                .bind(wallet.id.as_str())
                .bind(version)
                .bind(wallet.balance)
                .execute(&mut *transaction)
                .await?;
        }
    }
    if pg::begin(&mut transaction, &subscription.name, start.floor()).await? {
        transaction.commit().await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut florin = Florin::new(&var("FLORIN_URL")?)?;
    if let Ok(token) = var("FLORIN_TOKEN") {
        florin = florin.with_token(&token);
    }
    let url = var("NATS_URL")?;
    let nats = match var("NATS_CA") {
        Ok(ca) => connect_nats_trusting(&url, Path::new(&ca)).await?,
        Err(_) => connect_nats(&url).await?,
    };
    let pool = PgPool::connect(&var("DATABASE_URL")?).await?;
    let mut tables = pool.begin().await?;
    one_at_a_time(&mut tables).await?;
    sqlx::raw_sql(TABLES).execute(&mut *tables).await?;
    pg::create_table(&mut tables).await?;
    tables.commit().await?;

    let name = var("NAME").unwrap_or_else(|_| "balances".to_owned());
    let subscription = Subscription::to_all(&name)?;
    begin(&florin, &pool, &subscription).await?;
    let mut accounts = Pg::new(pool, subscription.name.clone(), Accounts);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    follow(&florin, &nats, &subscription, &mut accounts, stop).await?;
    Ok(())
}

//! How a batch finds what it goes on from, and keeps what it adds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use florin_domain::WalletEvent;
use florin_domain::journal::Event;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{Ended, InFlight, Movement};
use crate::fact::{Fact, is_of_wallet, number, signed, unsigned};

/// The last entry of each wallet that has one.
pub(super) async fn last_entries(
    connection: &mut PgConnection,
    facts: &[Fact<'_>],
) -> Result<HashMap<Arc<str>, u64>, sqlx::Error> {
    let of_wallets = facts.iter().filter(|fact| is_of_wallet(fact.recorded));
    let wallets: HashSet<&str> = of_wallets.map(Fact::stream).collect();
    if wallets.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT w.wallet_id, m.entry
           FROM unnest($1::text[]) AS w (wallet_id)
          CROSS JOIN LATERAL (SELECT m.entry FROM movements m WHERE m.wallet_id = w.wallet_id
                               ORDER BY m.entry DESC LIMIT 1) AS m",
    )
    .bind(wallets.into_iter().collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let last = |row: &sqlx::postgres::PgRow| {
        Ok((row.try_get::<&str, _>("wallet_id")?.into(), unsigned(row.try_get("entry")?)))
    };
    rows.iter().map(last).collect()
}

/// The stored transfers among those that end here; the others were debited in this batch.
pub(super) async fn in_flight(
    connection: &mut PgConnection,
    facts: &[Fact<'_>],
) -> Result<HashMap<Uuid, InFlight>, sqlx::Error> {
    let mut ending = HashSet::new();
    for fact in facts {
        match &fact.event {
            Event::Transfer(_) => ending.extend(fact.transfer_id()),
            Event::Wallet(_) => {}
        }
    }
    for fact in facts {
        if let Event::Wallet(WalletEvent::FundsDebited { transfer_id, .. }) = &fact.event {
            ending.remove(&transfer_id.0);
        }
    }
    if ending.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT transfer_id, wallet_id, entry FROM movements_in_flight
          WHERE transfer_id = ANY($1)",
    )
    .bind(ending.into_iter().collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let stored = |row: &sqlx::postgres::PgRow| {
        let wallet_id = row.try_get::<&str, _>("wallet_id")?.into();
        let entry = unsigned(row.try_get("entry")?);
        Ok((row.try_get("transfer_id")?, InFlight { wallet_id, entry, index: None }))
    };
    rows.iter().map(stored).collect()
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    rows: &[Movement],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO movements (wallet_id, entry, partition, position, type, status, failure, amount,
                                currency, balance_after, counterparty, reference, request_id,
                                metadata, recorded_at)
         SELECT r.wallet_id, r.entry, r.partition, r.position, r.type, r.status, r.failure, r.amount,
                r.currency, r.balance_after, r.counterparty, r.reference, r.request_id,
                r.metadata::json, r.recorded_at
           FROM unnest($1::text[], $2::bigint[], $3::integer[], $4::bigint[], $5::text[],
                       $6::text[], $7::text[], $8::numeric[], $9::text[], $10::numeric[],
                       $11::text[], $12::uuid[], $13::text[], $14::text[], $15::timestamptz[])
                AS r (wallet_id, entry, partition, position, type, status, failure, amount, currency,
                      balance_after, counterparty, reference, request_id, metadata, recorded_at)",
    )
    .bind(rows.iter().map(|row| &*row.wallet_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| signed(row.entry)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| number(row.partition)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| signed(row.position)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.kind.name()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.status.name()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.failure.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.amount).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.currency.code()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.balance_after).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.counterparty.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.reference).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.request_id.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.metadata.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.recorded_at).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

/// Writes the end of stored transfers into their entries, and forgets that they are in flight.
pub(super) async fn end(connection: &mut PgConnection, rows: &[Ended]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH landed AS (DELETE FROM movements_in_flight WHERE transfer_id = ANY($1))
         UPDATE movements m SET status = r.status, failure = r.failure
           FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[])
                AS r (wallet_id, entry, status, failure)
          WHERE m.wallet_id = r.wallet_id AND m.entry = r.entry",
    )
    .bind(rows.iter().map(|row| row.transfer_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| &*row.wallet_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| signed(row.entry)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.status.name()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.failure.as_deref()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

/// Remembers the transfers that this batch left in flight.
pub(super) async fn depart(
    connection: &mut PgConnection,
    rows: &[(&Uuid, &InFlight)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO movements_in_flight (transfer_id, wallet_id, entry)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])",
    )
    .bind(rows.iter().map(|(id, _)| **id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| &*row.wallet_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| signed(row.entry)).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

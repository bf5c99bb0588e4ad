//! How a batch's sums are added, and its debits in flight are kept.

use std::collections::HashMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{Change, InFlight, Rows, Sum};
use crate::fact::number;

/// The stored ones among these debits.
pub(super) async fn in_flight(
    connection: &mut PgConnection,
    wanted: &[Uuid],
) -> Result<HashMap<Uuid, InFlight>, sqlx::Error> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let select = "SELECT transfer_id, wallet_id, day FROM stats_in_flight
                   WHERE transfer_id = ANY($1)";
    let rows = sqlx::query(select).bind(wanted).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let wallet_id = row.try_get::<&str, _>("wallet_id")?.into();
            let debit = InFlight { wallet_id, day: row.try_get("day")?, is_stored: true };
            Ok((row.try_get("transfer_id")?, debit))
        })
        .collect()
}

pub(super) async fn save(connection: &mut PgConnection, rows: &Rows) -> Result<(), sqlx::Error> {
    if !rows.changes.is_empty() {
        add_totals(connection, rows).await?;
    }
    if !rows.volumes.is_empty() {
        add_volumes(connection, rows).await?;
    }
    if !rows.landed.is_empty() {
        let delete = "DELETE FROM stats_in_flight WHERE transfer_id = ANY($1)";
        sqlx::query(delete).bind(&rows.landed).execute(&mut *connection).await?;
    }
    let departed: Vec<(&Uuid, &InFlight)> =
        rows.in_flight.iter().filter(|(_, debit)| !debit.is_stored).collect();
    if !departed.is_empty() {
        depart(connection, &departed).await?;
    }
    Ok(())
}

async fn add_totals(connection: &mut PgConnection, rows: &Rows) -> Result<(), sqlx::Error> {
    let changes: Vec<&Change> = rows.changes.values().collect();
    let amounts = |sum: fn(&Change) -> Sum| {
        changes.iter().map(|change| sum(change).amount).collect::<Vec<Decimal>>()
    };
    let counts =
        |sum: fn(&Change) -> Sum| changes.iter().map(|c| sum(c).count).collect::<Vec<i64>>();
    sqlx::query(
        "INSERT INTO wallet_stats AS s
                (wallet_id, partition, currency, deposited, deposits, withdrawn, withdrawals,
                 transferred_in, transfers_in, transferred_out, transfers_out, last_activity_at)
         SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::numeric[], $5::bigint[],
                              $6::numeric[], $7::bigint[], $8::numeric[], $9::bigint[],
                              $10::numeric[], $11::bigint[], $12::timestamptz[])
         ON CONFLICT (wallet_id) DO UPDATE
            SET deposited = s.deposited + excluded.deposited,
                deposits = s.deposits + excluded.deposits,
                withdrawn = s.withdrawn + excluded.withdrawn,
                withdrawals = s.withdrawals + excluded.withdrawals,
                transferred_in = s.transferred_in + excluded.transferred_in,
                transfers_in = s.transfers_in + excluded.transfers_in,
                transferred_out = s.transferred_out + excluded.transferred_out,
                transfers_out = s.transfers_out + excluded.transfers_out,
                last_activity_at = coalesce(excluded.last_activity_at, s.last_activity_at)",
    )
    .bind(rows.changes.keys().map(|id| &**id).collect::<Vec<_>>())
    .bind(changes.iter().map(|change| number(change.partition)).collect::<Vec<_>>())
    .bind(changes.iter().map(|change| change.currency.code()).collect::<Vec<_>>())
    .bind(amounts(|change| change.deposited))
    .bind(counts(|change| change.deposited))
    .bind(amounts(|change| change.withdrawn))
    .bind(counts(|change| change.withdrawn))
    .bind(amounts(|change| change.transferred_in))
    .bind(counts(|change| change.transferred_in))
    .bind(amounts(|change| change.transferred_out))
    .bind(counts(|change| change.transferred_out))
    .bind(changes.iter().map(|change| change.last_activity_at).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

async fn add_volumes(connection: &mut PgConnection, rows: &Rows) -> Result<(), sqlx::Error> {
    let (ids, days): (Vec<&str>, Vec<NaiveDate>) =
        rows.volumes.keys().map(|(id, day)| (&**id, *day)).unzip();
    let of_days: Vec<_> = rows.volumes.values().collect();
    sqlx::query(
        "INSERT INTO wallet_volumes AS v
                (wallet_id, day, money_in, count_in, money_out, count_out)
         SELECT * FROM unnest($1::text[], $2::date[], $3::numeric[], $4::bigint[], $5::numeric[],
                              $6::bigint[])
         ON CONFLICT (wallet_id, day) DO UPDATE
            SET money_in = v.money_in + excluded.money_in,
                count_in = v.count_in + excluded.count_in,
                money_out = v.money_out + excluded.money_out,
                count_out = v.count_out + excluded.count_out",
    )
    .bind(ids)
    .bind(days)
    .bind(of_days.iter().map(|day| day.money_in.amount).collect::<Vec<_>>())
    .bind(of_days.iter().map(|day| day.money_in.count).collect::<Vec<_>>())
    .bind(of_days.iter().map(|day| day.money_out.amount).collect::<Vec<_>>())
    .bind(of_days.iter().map(|day| day.money_out.count).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

/// Remembers the debits that this batch left in flight.
async fn depart(
    connection: &mut PgConnection,
    rows: &[(&Uuid, &InFlight)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO stats_in_flight (transfer_id, wallet_id, day)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::date[])",
    )
    .bind(rows.iter().map(|(id, _)| **id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, debit)| &*debit.wallet_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, debit)| debit.day).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

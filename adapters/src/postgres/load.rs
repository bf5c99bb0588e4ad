//! Wallets by snapshot and tail, and kept keys: a fixed number of statements whatever is asked.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_application::command::{Key, Outcome};
use florin_application::fingerprint::Fingerprint;
use florin_application::journal::{JournalError, KeptKey, KeyRecord, TransferRecord, WalletRecord};
use florin_domain::{TransferId, WalletId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::row::{COLUMNS, column, read_error, recorded, signed, unsigned};

/// The shape of a wallet snapshot's payload. Raise it with every change of `Wallet`'s JSON: older
/// snapshots are then ignored and replaced in time.
pub(super) const SNAPSHOT_SHAPE: i32 = 1;

/// How many events of one wallet are read at a time, which bounds the memory for a stream without a
/// snapshot.
const PAGE: i64 = 5_000;

const SNAPSHOTS: &str = "
SELECT s.aggregate_id, s.last_sequence, s.payload::text AS payload, s.position, s.opened_at,
       s.updated_at
  FROM snapshots s
 WHERE s.aggregate_type = 'Wallet' AND s.aggregate_id = ANY ($1) AND s.schema_version = $2";

/// The states of the wallets, in the order asked.
pub(super) async fn wallets(
    connection: &mut PgConnection,
    ids: &[WalletId],
) -> Result<Vec<WalletRecord>, JournalError> {
    let names: Vec<&str> = ids.iter().map(WalletId::as_str).collect();
    let mut records: HashMap<&str, WalletRecord> =
        names.iter().map(|name| (*name, WalletRecord::unknown())).collect();
    let snapshots = sqlx::query(SNAPSHOTS)
        .bind(&names)
        .bind(SNAPSHOT_SHAPE)
        .fetch_all(&mut *connection)
        .await
        .map_err(read_error)?;
    for row in &snapshots {
        if let Some(record) = records.get_mut(row.get::<&str, _>("aggregate_id")) {
            // A snapshot that cannot be read is as good as none.
            if let Ok(snapshot) = snapshot(row) {
                *record = snapshot;
            }
        }
    }
    let mut open = replay_page(connection, &names, &mut records).await?;
    while !open.is_empty() {
        open = replay_page(connection, &open, &mut records).await?;
    }
    Ok(names.iter().filter_map(|name| records.get(name).cloned()).collect())
}

/// Reads the next page of each stream; answers with the streams that may have more.
async fn replay_page<'n>(
    connection: &mut PgConnection,
    names: &[&'n str],
    records: &mut HashMap<&'n str, WalletRecord>,
) -> Result<Vec<&'n str>, JournalError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM unnest($1::text[], $2::bigint[]) AS w (id, version)
          CROSS JOIN LATERAL (
            SELECT * FROM events
             WHERE aggregate_type = 'Wallet' AND aggregate_id = w.id AND sequence > w.version
             ORDER BY sequence LIMIT {PAGE}) e"
    );
    let versions: Vec<i64> =
        names.iter().map(|name| records.get(name).map_or(0, |r| signed(r.version))).collect();
    let rows = sqlx::query(&statement)
        .bind(names)
        .bind(&versions)
        .fetch_all(&mut *connection)
        .await
        .map_err(read_error)?;
    for row in &rows {
        let event = recorded(row)?;
        if let Some(record) = records.get_mut(&*event.aggregate_id) {
            record.replay(&event)?;
        }
    }
    let read = |name: &&str, before: i64| {
        records.get(name).map_or(0, |record| signed(record.version)) - before
    };
    Ok(names
        .iter()
        .zip(versions)
        .filter(|(name, before)| read(name, *before) >= PAGE)
        .map(|(name, _)| *name)
        .collect())
}

/// What a row of `snapshots` holds.
pub(super) fn snapshot(row: &PgRow) -> Result<WalletRecord, JournalError> {
    let payload: String = column(row, "payload")?;
    Ok(WalletRecord {
        wallet: serde_json::from_str(&payload).map_err(JournalError::corrupt)?,
        version: unsigned(column::<i64>(row, "last_sequence")?)?,
        position: unsigned(column::<i64>(row, "position")?)?,
        opened_at: column::<DateTime<Utc>>(row, "opened_at")?,
        updated_at: column::<DateTime<Utc>>(row, "updated_at")?,
    })
}

/// The transfers that the partition drives and that have not ended.
pub(super) async fn unfinished(
    connection: &mut PgConnection,
    partition: i32,
) -> Result<Vec<TransferRecord>, JournalError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM unfinished_transfers u
           JOIN events e ON e.aggregate_type = 'Transfer' AND e.aggregate_id = u.transfer_id::text
          WHERE u.partition = $1
          ORDER BY e.aggregate_id, e.sequence"
    );
    let rows = sqlx::query(&statement).bind(partition).fetch_all(connection).await;
    replay_transfers(&rows.map_err(read_error)?)
}

/// The transfers of these ids.
async fn transfers(
    connection: &mut PgConnection,
    ids: &[TransferId],
) -> Result<Vec<TransferRecord>, JournalError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events e
          WHERE e.aggregate_type = 'Transfer' AND e.aggregate_id = ANY ($1)
          ORDER BY e.aggregate_id, e.sequence"
    );
    let ids: Vec<String> = ids.iter().map(TransferId::to_string).collect();
    let rows = sqlx::query(&statement).bind(ids).fetch_all(connection).await;
    replay_transfers(&rows.map_err(read_error)?)
}

/// Streams one after the other, each in its order.
fn replay_transfers(rows: &[PgRow]) -> Result<Vec<TransferRecord>, JournalError> {
    let mut records: Vec<TransferRecord> = Vec::new();
    for row in rows {
        let event = recorded(row)?;
        let id = TransferId(event.aggregate_id.parse().map_err(JournalError::corrupt)?);
        if event.sequence == 1 {
            records.push(TransferRecord::new(id, event.partition));
        }
        if let Some(record) = records.last_mut() {
            record.replay(&event)?;
        }
    }
    Ok(records)
}

/// Those of the keys that are kept.
pub(super) async fn keys(
    connection: &mut PgConnection,
    keys: &[Key],
) -> Result<Vec<KeptKey>, JournalError> {
    let rows = sqlx::query(
        "SELECT i.wallet_id, i.request_id, i.fingerprint, i.outcome::text AS outcome, i.transfer_id
           FROM unnest($1::text[], $2::text[]) AS k (wallet_id, request_id)
           JOIN idempotency_keys i USING (wallet_id, request_id)",
    )
    .bind(keys.iter().map(|key| &*key.scope).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.request_id.as_str()).collect::<Vec<_>>())
    .fetch_all(&mut *connection)
    .await
    .map_err(read_error)?;
    let asked: HashMap<(&str, &str), &Key> =
        keys.iter().map(|key| ((&*key.scope, key.request_id.as_str()), key)).collect();
    let mut kept: Vec<KeptKey> = rows
        .iter()
        .filter_map(|row| {
            let key = asked.get(&(row.get("wallet_id"), row.get("request_id")))?;
            Some(kept_key(row, (*key).clone()))
        })
        .collect::<Result<_, _>>()?;
    add_outcomes(connection, &mut kept).await?;
    Ok(kept)
}

/// A key, and when it was recorded.
pub(super) async fn key(
    connection: &mut PgConnection,
    key: &Key,
) -> Result<Option<KeyRecord>, JournalError> {
    let kept = keys(connection, std::slice::from_ref(key)).await?;
    let Some(kept) = kept.into_iter().next() else { return Ok(None) };
    let row = sqlx::query(
        "SELECT recorded_at FROM idempotency_keys WHERE wallet_id = $1 AND request_id = $2",
    )
    .bind(&*key.scope)
    .bind(key.request_id.as_str())
    .fetch_one(connection)
    .await
    .map_err(read_error)?;
    Ok(Some(KeyRecord { kept, recorded_at: column(&row, "recorded_at")? }))
}

/// Adds what has become of the transfers that began under the keys.
async fn add_outcomes(
    connection: &mut PgConnection,
    kept: &mut [KeptKey],
) -> Result<(), JournalError> {
    let ids: Vec<TransferId> = kept.iter().filter_map(|kept| kept.transfer).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let transfers = transfers(connection, &ids).await?;
    let outcomes: HashMap<TransferId, Arc<Outcome>> = transfers
        .iter()
        .filter_map(|record| Some((record.id, Arc::new(record.outcome()?))))
        .collect();
    for kept in kept {
        if let Some(id) = kept.transfer {
            kept.outcome = outcomes.get(&id).cloned();
        }
    }
    Ok(())
}

fn kept_key(row: &PgRow, key: Key) -> Result<KeptKey, JournalError> {
    let fingerprint: Vec<u8> = column(row, "fingerprint")?;
    let outcome: Option<String> = column(row, "outcome")?;
    let outcome = outcome.map(|text| serde_json::from_str(&text)).transpose();
    Ok(KeptKey {
        key,
        fingerprint: Fingerprint(fingerprint.as_slice().try_into().map_err(JournalError::corrupt)?),
        outcome: outcome.map_err(JournalError::corrupt)?.map(Arc::new),
        transfer: column::<Option<Uuid>>(row, "transfer_id")?.map(TransferId),
    })
}

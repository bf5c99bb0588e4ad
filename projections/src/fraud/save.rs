//! How histories and alerts are kept.

use std::collections::HashMap;
use std::sync::Arc;

use florin_domain::fraud::{Alert, WalletHistory};
use sqlx::{PgConnection, Row as _};

use super::Wallet;
use crate::column::unreadable;
use crate::fact::{Fact, number, signed, unsigned};
use crate::outbox;

/// What is remembered of the wallets of these facts.
pub(super) async fn load(
    connection: &mut PgConnection,
    facts: &[Fact<'_>],
) -> Result<HashMap<Arc<str>, Wallet>, sqlx::Error> {
    let mut ids: Vec<&str> = facts.iter().map(Fact::stream).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = sqlx::query(
        "SELECT h.wallet_id, h.partition, h.position, h.history::text AS history
           FROM fraud_histories h WHERE h.wallet_id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let id: &str = row.try_get("wallet_id")?;
            let history: WalletHistory = serde_json::from_str(row.try_get("history")?)
                .map_err(|error| unreadable("history", error))?;
            let wallet = Wallet {
                id: id.parse().map_err(|error| unreadable("wallet_id", error))?,
                partition: u32::try_from(row.try_get::<i32, _>("partition")?).unwrap_or(0),
                position: unsigned(row.try_get("position")?),
                history,
            };
            Ok((Arc::from(id), wallet))
        })
        .collect()
}

pub(super) async fn histories(
    connection: &mut PgConnection,
    wallets: impl Iterator<Item = &Wallet> + Clone,
) -> Result<(), sqlx::Error> {
    let texts = wallets.clone().map(|wallet| serde_json::to_string(&wallet.history));
    let texts: Vec<String> =
        texts.collect::<Result<_, _>>().map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "INSERT INTO fraud_histories (wallet_id, partition, position, history)
         SELECT h.wallet_id, h.partition, h.position, h.history::json
           FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::text[])
                AS h (wallet_id, partition, position, history)
         ON CONFLICT (wallet_id) DO UPDATE
            SET position = excluded.position, history = excluded.history",
    )
    .bind(wallets.clone().map(|wallet| wallet.id.as_str()).collect::<Vec<_>>())
    .bind(wallets.clone().map(|wallet| number(wallet.partition)).collect::<Vec<_>>())
    .bind(wallets.map(|wallet| signed(wallet.position)).collect::<Vec<_>>())
    .bind(texts)
    .execute(connection)
    .await
    .map(drop)
}

/// Inserts alerts, and wakes whoever publishes them if any is new to the world.
pub(super) async fn alerts(
    connection: &mut PgConnection,
    alerts: &[Alert],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH found AS (
           INSERT INTO fraud_alerts (id, wallet_id, rule, partition, position, at, evidence, sum,
                                     currency, reason, published_at)
           SELECT a.id, a.wallet_id, a.rule, a.partition, a.position, a.at, a.evidence::bigint[],
                  a.sum, a.currency, a.reason, p.published_at
             FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::bigint[],
                         $6::timestamptz[], $7::text[], $8::numeric[], $9::text[], $10::text[])
                  AS a (id, wallet_id, rule, partition, position, at, evidence, sum, currency,
                        reason)
             LEFT JOIN published_messages p ON p.message_id = a.id
           ON CONFLICT (id) DO NOTHING
           RETURNING published_at)
         SELECT pg_notify($11, '') FROM found WHERE published_at IS NULL LIMIT 1",
    )
    .bind(alerts.iter().map(|alert| alert.id.as_str()).collect::<Vec<_>>())
    .bind(alerts.iter().map(|alert| alert.wallet.as_str()).collect::<Vec<_>>())
    .bind(alerts.iter().map(|alert| alert.rule.as_str()).collect::<Vec<_>>())
    .bind(alerts.iter().map(|alert| number(alert.event.partition)).collect::<Vec<_>>())
    .bind(alerts.iter().map(|alert| signed(alert.event.position)).collect::<Vec<_>>())
    .bind(alerts.iter().map(|alert| alert.at).collect::<Vec<_>>())
    .bind(alerts.iter().map(evidence).collect::<Vec<_>>())
    .bind(alerts.iter().map(|alert| alert.sum).collect::<Vec<_>>())
    .bind(alerts.iter().map(|alert| alert.currency.code()).collect::<Vec<_>>())
    .bind(alerts.iter().map(|alert| alert.reason.as_str()).collect::<Vec<_>>())
    .bind(outbox::CHANNEL)
    .execute(connection)
    .await
    .map(drop)
}

/// As Postgres writes an array: `unnest` would flatten an array of arrays.
fn evidence(alert: &Alert) -> String {
    let positions = alert.evidence.iter().map(|event| event.position.to_string());
    format!("{{{}}}", positions.collect::<Vec<_>>().join(","))
}

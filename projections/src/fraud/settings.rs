//! By which thresholds an event is judged: those on record for its position.
//!
//! A process brings its settings with [`adopt`] when it starts. If they are not the last ones on
//! record, they hold from where the projection is at that moment. What was found before stands, and
//! every later fold of those events (a replay, a fresh fold) reads the same record and finds the
//! same. Of two processes with different files, the one that started last is right.
//!
//! To judge the past by the present settings is a rebuild: into tables of its own, `fraud_settings`
//! among them, where [`adopt`] finds no event folded and no settings on record.

use florin_domain::fraud::Settings;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::Fraud;
use crate::checkpoint;
use crate::column::unreadable;
use crate::fact::{number, signed, unsigned};
use crate::read_model::ReadModel as _;

/// From where on new settings hold in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// In which.
    pub partition: u32,
    /// The last event that was judged by the settings before.
    pub after: u64,
}

/// Makes these the settings for every event that is not folded yet; says in which partitions they
/// were not in force already.
///
/// # Errors
/// When Postgres is away; some partitions may then have them already.
pub async fn adopt(
    connection: &mut PgConnection,
    partitions: u32,
    settings: &Settings,
) -> Result<Vec<Adopted>, sqlx::Error> {
    let mut adopted = Vec::new();
    for partition in 0..partitions {
        adopted.extend(adopt_in(connection, partition, settings).await?);
    }
    Ok(adopted)
}

async fn adopt_in(
    connection: &mut PgConnection,
    partition: u32,
    settings: &Settings,
) -> Result<Option<Adopted>, sqlx::Error> {
    let text =
        serde_json::to_string(settings).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let mut transaction = connection.begin().await?;
    // Held until the end: no batch is judged meanwhile.
    checkpoint::open(&mut transaction, Fraud::NAME, partition).await?;
    let at = checkpoint::lock(&mut transaction, Fraud::NAME, partition).await?;
    let after = at.map_or(0, |at| at.position);
    let last: Option<String> = sqlx::query_scalar(
        "SELECT settings::text FROM fraud_settings WHERE partition = $1
          ORDER BY after_position DESC LIMIT 1",
    )
    .bind(number(partition))
    .fetch_optional(&mut *transaction)
    .await?;
    // As values: an older or newer way to write the same thresholds changes nothing. What this
    // version cannot read is other settings.
    let last =
        last.map_or_else(|| Some(Settings::default()), |text| serde_json::from_str(&text).ok());
    if last.as_ref() == Some(settings) {
        transaction.commit().await?;
        return Ok(None);
    }
    sqlx::query(
        "INSERT INTO fraud_settings (partition, after_position, settings)
         VALUES ($1, $2, $3::json)
         ON CONFLICT (partition, after_position) DO UPDATE
            SET settings = excluded.settings, adopted_at = excluded.adopted_at",
    )
    .bind(number(partition))
    .bind(signed(after))
    .bind(text)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Some(Adopted { partition, after }))
}

/// The settings by which the events from one position to another are judged: each with the position
/// after which it holds, in their order.
pub(super) async fn between(
    connection: &mut PgConnection,
    partition: u32,
    from: u64,
    to: u64,
) -> Result<Vec<(u64, Settings)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT s.after_position, s.settings::text AS settings FROM fraud_settings s
          WHERE s.partition = $1 AND s.after_position < $3
            AND s.after_position >= coalesce(
                  (SELECT max(f.after_position) FROM fraud_settings f
                    WHERE f.partition = $1 AND f.after_position < $2), 0)
          ORDER BY s.after_position",
    )
    .bind(number(partition))
    .bind(signed(from))
    .bind(signed(to))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let settings = serde_json::from_str(row.try_get("settings")?)
                .map_err(|error| unreadable("settings", error))?;
            Ok((unsigned(row.try_get("after_position")?), settings))
        })
        .collect()
}

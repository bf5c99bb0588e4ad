//! A page of a wallet's history as it was at a position of its partition.
//!
//! Entries are never changed but for how far an outgoing transfer came. So the entries of then are the
//! first ones of today, up to a number that is found by bisection; and how far the transfers of a page
//! had come, their own streams tell, which lie in the same partition.

use std::collections::HashMap;

use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::upcast::{UnreadableEvent, decode};
use florin_domain::{TransferEvent, TransferId, WalletId};
use sqlx::{PgPool, Row as _};
use thiserror::Error;
use uuid::Uuid;

use super::{Filter, Kind, Page, Place, Status, page};
use crate::fact::{number, signed, unsigned};
use crate::ports::{JournalAway, JournalReader};

/// Why there is no such page.
#[derive(Debug, Error)]
pub enum PastPageError {
    /// The model has not folded so far.
    #[error("history is at {position} of partition {partition}, and not yet at {wanted}")]
    Behind {
        /// Where.
        partition: u32,
        /// Where it is.
        position: u64,
        /// Where it should be.
        wanted: u64,
    },
    /// An event of before then is not in the wallet's history.
    #[error("the wallet is parked in history at {partition}-{position}, which lies before")]
    Parked {
        /// Where.
        partition: u32,
        /// The event.
        position: u64,
    },
    /// The end of a transfer is of no shape that this version knows.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// Postgres is away.
    #[error("Postgres is away: {0}")]
    Away(#[from] sqlx::Error),
    /// The journal is.
    #[error(transparent)]
    Journal(#[from] JournalAway),
}

/// A page of what a wallet's history was at that position, newest first: the newest entries, or those
/// before one of that number.
///
/// # Errors
/// [`PastPageError`].
pub async fn page_at(
    pool: &PgPool,
    journal: &dyn JournalReader,
    (partition, position): (u32, u64),
    wallet: &WalletId,
    before: Option<u64>,
    limit: u32,
) -> Result<Page, PastPageError> {
    let last = last_entry(pool, (partition, position), wallet).await?;
    let beyond = last.saturating_add(1);
    let place = Place::Before(before.map_or(beyond, |before| before.min(beyond)));
    let mut page = page(pool, partition, wallet, &Filter::default(), place, limit).await?;
    let outgoing = page.entries.iter_mut().filter(|entry| entry.kind == Kind::TransferOut);
    let mut outgoing: Vec<_> = outgoing.collect();
    let ids: Vec<TransferId> = outgoing.iter().map(|entry| TransferId(entry.reference)).collect();
    let ends = match ids.is_empty() {
        true => HashMap::new(),
        false => ends(&journal.transfers(&ids, position).await?)?,
    };
    for entry in &mut outgoing {
        let end = ends.get(&entry.reference).cloned();
        (entry.status, entry.failure) = end.unwrap_or((Status::Pending, None));
    }
    Ok(page)
}

/// The number of the wallet's last entry up to a position; 0 if there is none.
async fn last_entry(
    pool: &PgPool,
    (partition, wanted): (u32, u64),
    wallet: &WalletId,
) -> Result<u64, PastPageError> {
    let row = sqlx::query(LAST_ENTRY)
        .bind(wallet.as_str())
        .bind(number(partition))
        .bind(signed(wanted))
        .fetch_one(pool)
        .await?;
    let checkpoint: Option<i64> = row.try_get("checkpoint")?;
    let position = unsigned(checkpoint.unwrap_or(0));
    if position < wanted {
        return Err(PastPageError::Behind { partition, position, wanted });
    }
    if let Some(parked) = row.try_get::<Option<i64>, _>("parked")?
        && unsigned(parked) <= wanted
    {
        return Err(PastPageError::Parked { partition, position: unsigned(parked) });
    }
    Ok(unsigned(row.try_get("entry")?))
}

/// How the transfers ended that had.
fn ends(
    events: &[RecordedEvent],
) -> Result<HashMap<Uuid, (Status, Option<String>)>, UnreadableEvent> {
    const ENDS: [&str; 2] = ["TransferCompleted", "TransferFailed"];
    let mut ends = HashMap::new();
    for recorded in events.iter().filter(|event| ENDS.contains(&&*event.event_type)) {
        let end = match decode(recorded)? {
            Event::Transfer(TransferEvent::TransferCompleted(_)) => (Status::Completed, None),
            Event::Transfer(TransferEvent::TransferFailed { reason }) => {
                (Status::Failed, Some(reason.to_string()))
            }
            Event::Wallet(_)
            | Event::Transfer(
                TransferEvent::TransferInitiated { .. }
                | TransferEvent::TransferDebited(_)
                | TransferEvent::TransferCompensated { .. },
            ) => continue,
        };
        if let Ok(id) = recorded.aggregate_id.parse() {
            ends.insert(id, end);
        }
    }
    Ok(ends)
}

/// One moment: where the model is, where the wallet is parked, and its last entry up to `$3`, which lies
/// between `low` and `high`, both included.
const LAST_ENTRY: &str = "
WITH RECURSIVE search (low, high) AS (
  SELECT 0::bigint,
         coalesce((SELECT m.entry FROM movements m WHERE m.wallet_id = $1
                    ORDER BY m.entry DESC LIMIT 1), 0)
  UNION ALL
  SELECT CASE WHEN m.position <= $3 THEN m.entry ELSE s.low END,
         CASE WHEN m.position <= $3 THEN s.high ELSE m.entry - 1 END
    FROM search s
   CROSS JOIN LATERAL (SELECT m.entry, m.position FROM movements m
                        WHERE m.wallet_id = $1 AND m.entry = (s.low + s.high + 1) / 2
                        LIMIT 1) AS m
   WHERE s.low < s.high)
SELECT c.position AS checkpoint, p.position AS parked,
       coalesce((SELECT s.low FROM search s WHERE s.low = s.high), 0) AS entry
  FROM (SELECT) AS one
  LEFT JOIN checkpoints c ON c.projection = 'history' AND c.partition = $2
  LEFT JOIN parked_wallets p ON p.projection = 'history' AND p.partition = $2
                            AND p.wallet_id = $1";

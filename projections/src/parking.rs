//! Setting aside what cannot be applied: an event goes to the dead letters, its wallet is parked,
//! and the wallet's later events follow it there, so that its rows never skip an event.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::upcast::decode;
use florin_domain::{TransferEvent, TransferId};
use sqlx::PgConnection;

use crate::checkpoint::count_parked;
use crate::fact::{is_of_wallet, number, signed};
use crate::outbox;
use crate::ports::{JournalAway, JournalReader};

/// An event that is set aside.
#[derive(Debug)]
struct Letter {
    position: u64,
    wallet_id: Option<Arc<str>>,
    error: String,
    attempts: u32,
}

/// A wallet that is parked from here on.
#[derive(Debug)]
struct Parked {
    wallet_id: Arc<str>,
    position: u64,
    error: String,
    since: DateTime<Utc>,
}

/// What one batch sets aside, and the wallets that stand aside already.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// With the position after which a wallet's events follow: 0 for one parked before.
    wallets: HashMap<Arc<str>, u64>,
    letters: Vec<Letter>,
    parked: Vec<Parked>,
}

impl Aside {
    /// With the wallets that are parked already.
    pub(crate) async fn load(
        connection: &mut PgConnection,
        projection: &str,
        partition: u32,
    ) -> Result<Self, sqlx::Error> {
        let select =
            "SELECT wallet_id FROM parked_wallets WHERE projection = $1 AND partition = $2";
        let wallets: Vec<String> = sqlx::query_scalar(select)
            .bind(projection)
            .bind(number(partition))
            .fetch_all(connection)
            .await?;
        let wallets = wallets.into_iter().map(|wallet| (Arc::from(wallet), 0)).collect();
        Ok(Self { wallets, ..Self::default() })
    }

    /// The events that may be applied; those of parked wallets follow into the dead letters.
    pub(crate) fn divert<'a>(&mut self, events: Vec<&'a RecordedEvent>) -> Vec<&'a RecordedEvent> {
        if self.wallets.is_empty() {
            return events;
        }
        let (follow, live) = events.into_iter().partition::<Vec<_>, _>(|event| {
            let from = self.wallets.get(&event.aggregate_id);
            is_of_wallet(event) && from.is_some_and(|from| event.position > *from)
        });
        for event in follow {
            self.letters.push(Letter {
                position: event.position,
                wallet_id: Some(Arc::clone(&event.aggregate_id)),
                error: "follows an event of its wallet that could not be applied".to_owned(),
                attempts: 0,
            });
        }
        live
    }

    /// Sets an event aside, and parks the wallet that it is about.
    pub(crate) async fn add(
        &mut self,
        journal: &dyn JournalReader,
        event: &RecordedEvent,
        error: &str,
        attempts: u32,
    ) -> Result<(), JournalAway> {
        let wallet_id = wallet_concerned(journal, event).await?;
        if let Some(wallet_id) = &wallet_id
            && let Entry::Vacant(unparked) = self.wallets.entry(Arc::clone(wallet_id))
        {
            unparked.insert(event.position);
            self.parked.push(Parked {
                wallet_id: Arc::clone(wallet_id),
                position: event.position,
                error: error.to_owned(),
                since: event.recorded_at,
            });
        }
        self.letters.push(Letter {
            position: event.position,
            wallet_id,
            error: error.to_owned(),
            attempts,
        });
        Ok(())
    }

    /// How many events are set aside, and how many wallets newly parked.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.letters.len(), self.parked.len())
    }

    /// Keeps what was set aside.
    pub(crate) async fn save(
        self,
        connection: &mut PgConnection,
        projection: &str,
        partition: u32,
    ) -> Result<(), sqlx::Error> {
        if !self.letters.is_empty() {
            save_letters(connection, projection, partition, &self.letters).await?;
        }
        if !self.parked.is_empty() {
            save_parked(connection, projection, partition, &self.parked).await?;
            let parked = i32::try_from(self.parked.len()).unwrap_or(i32::MAX);
            count_parked(connection, projection, partition, parked).await?;
        }
        Ok(())
    }
}

/// The wallet whose rows an event changes. Of a transfer's event that is its source, which is told
/// by its first event; nobody knows if that cannot be read either.
async fn wallet_concerned(
    journal: &dyn JournalReader,
    event: &RecordedEvent,
) -> Result<Option<Arc<str>>, JournalAway> {
    if is_of_wallet(event) {
        return Ok(Some(Arc::clone(&event.aggregate_id)));
    }
    let Ok(id) = event.aggregate_id.parse().map(TransferId) else { return Ok(None) };
    let stream = journal.transfers(&[id], event.position).await?;
    Ok(stream.iter().find_map(|first| match decode(first) {
        Ok(Event::Transfer(TransferEvent::TransferInitiated { from, .. })) => {
            Some(from.as_str().into())
        }
        Ok(Event::Transfer(_) | Event::Wallet(_)) | Err(_) => None,
    }))
}

async fn save_letters(
    connection: &mut PgConnection,
    projection: &str,
    partition: u32,
    letters: &[Letter],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH told AS (SELECT pg_notify($7, ''))
         INSERT INTO dead_letters (projection, partition, position, wallet_id, error, attempts)
         SELECT $1, $2, l.*
           FROM unnest($3::bigint[], $4::text[], $5::text[], $6::integer[]) AS l, told",
    )
    .bind(projection)
    .bind(number(partition))
    .bind(letters.iter().map(|letter| signed(letter.position)).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.wallet_id.as_deref()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.error.as_str()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| number(letter.attempts)).collect::<Vec<_>>())
    .bind(outbox::CHANNEL)
    .execute(connection)
    .await
    .map(drop)
}

async fn save_parked(
    connection: &mut PgConnection,
    projection: &str,
    partition: u32,
    parked: &[Parked],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO parked_wallets (projection, partition, wallet_id, position, error, since)
         SELECT $1, $2, p.*
           FROM unnest($3::text[], $4::bigint[], $5::text[], $6::timestamptz[]) AS p",
    )
    .bind(projection)
    .bind(number(partition))
    .bind(parked.iter().map(|wallet| &*wallet.wallet_id).collect::<Vec<_>>())
    .bind(parked.iter().map(|wallet| signed(wallet.position)).collect::<Vec<_>>())
    .bind(parked.iter().map(|wallet| wallet.error.as_str()).collect::<Vec<_>>())
    .bind(parked.iter().map(|wallet| wallet.since).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

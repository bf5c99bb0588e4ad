//! Bringing a parked wallet back: its rows are folded anew from the journal, up to where the
//! projection is.
//!
//! All of it is one transaction that holds the projection's checkpoint still, so that the wallet
//! neither misses an event nor has one twice; the checkpoint itself never moves. The projection of
//! that partition waits meanwhile: some ten seconds for a million events.
//!
//! To discard an event is to decide that the wallet's rows are folded without it, for good: now, in
//! every later replay, and in every rebuild. Its numbers are then missing from what is summed
//! (`stats`) and listed (`history`), while a balance is right again from the wallet's next movement
//! on, because every movement says what the wallet holds. An event on which later ones build cannot
//! be discarded alone: without `WalletOpened`, the next event cannot be applied, and the wallet stays
//! parked with that one.

use std::collections::HashSet;

use florin_domain::journal::{Event, RecordedEvent};
use florin_domain::upcast::decode;
use florin_domain::{TransferId, WalletEvent};
use sqlx::{Acquire as _, PgConnection, PgPool};
use thiserror::Error;

use crate::announcement::{Announcement, Changed, Tag};
use crate::checkpoint::{self, Checkpoint};
use crate::dead_letters::LetterId;
use crate::fact::{number, signed, unsigned};
use crate::ports::{JournalAway, JournalReader};
use crate::read_model::{Fault, FoldError, Projection};

/// How many events of the wallet are folded at a time: a megabyte or two.
const PAGE: usize = 2_000;

/// What a replay came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The wallet is as up to date as the projection, and no longer parked.
    Replayed {
        /// How many of its events were folded.
        events: u64,
        /// Where the projection is.
        position: u64,
    },
    /// The wallet is as it was: this event cannot be applied.
    StillParked(Fault),
    /// The event's wallet is unknown or not parked, so there was nothing to fold.
    NothingToFold,
    /// An operation, which is tried again.
    Queued,
}

/// Why nothing was tried.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The wallet is not parked in this projection.
    #[error("the wallet is not parked in this projection")]
    NotParked,
    /// There is no such dead letter, or it is settled.
    #[error("there is no open dead letter of that id")]
    NotOpen,
    /// Postgres is away.
    #[error("Postgres is away: {0}")]
    Away(#[from] sqlx::Error),
    /// The journal is.
    #[error(transparent)]
    Journal(#[from] JournalAway),
}

/// Where operators' decisions are carried out: one projection, and the journal.
#[derive(Clone, Copy)]
pub struct Replays<'a> {
    /// The read models' database.
    pub pool: &'a PgPool,
    /// The projection, as this version of the program folds it.
    pub model: &'a dyn Projection,
    /// What is folded.
    pub journal: &'a dyn JournalReader,
}

impl Replays<'_> {
    /// Folds a parked wallet anew.
    ///
    /// # Errors
    /// [`ReplayError`]; nothing has changed then.
    pub async fn replay(&self, partition: u32, wallet: &str) -> Result<Outcome, ReplayError> {
        let mut transaction = self.pool.begin().await?;
        let at = self.hold(&mut transaction, partition).await?.ok_or(ReplayError::NotParked)?;
        if !self.is_parked(&mut transaction, partition, wallet).await? {
            return Err(ReplayError::NotParked);
        }
        let outcome = self.refold(&mut transaction, partition, at, wallet).await?;
        transaction.commit().await?;
        Ok(outcome)
    }

    /// Decides that an event is never applied, and folds its wallet without it.
    ///
    /// # Errors
    /// [`ReplayError`]; nothing has changed then.
    pub async fn discard(
        &self,
        id: &LetterId,
        by: &str,
        reason: &str,
    ) -> Result<Outcome, ReplayError> {
        let mut transaction = self.pool.begin().await?;
        let at = self.hold(&mut transaction, id.partition).await?.ok_or(ReplayError::NotOpen)?;
        let discarded: Option<Option<String>> = sqlx::query_scalar(
            "UPDATE dead_letters SET state = 'discarded', decided_by = $4, reason = $5,
                                     last_at = now()
              WHERE projection = $1 AND partition = $2 AND position = $3 AND state = 'open'
             RETURNING wallet_id",
        )
        .bind(self.model.name())
        .bind(number(id.partition))
        .bind(signed(id.position))
        .bind(by)
        .bind(reason)
        .fetch_optional(&mut *transaction)
        .await?;
        let outcome = match discarded.filter(|_| id.projection == self.model.name()) {
            None => return Err(ReplayError::NotOpen),
            Some(Some(wallet))
                if self.is_parked(&mut transaction, id.partition, &wallet).await? =>
            {
                self.refold(&mut transaction, id.partition, at, &wallet).await?
            }
            Some(Some(_) | None) => Outcome::NothingToFold,
        };
        transaction.commit().await?;
        Ok(outcome)
    }

    async fn hold(
        &self,
        connection: &mut PgConnection,
        partition: u32,
    ) -> Result<Option<Checkpoint>, sqlx::Error> {
        checkpoint::lock(connection, self.model.name(), partition).await
    }

    async fn is_parked(
        &self,
        connection: &mut PgConnection,
        partition: u32,
        wallet: &str,
    ) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM parked_wallets
                             WHERE projection = $1 AND partition = $2 AND wallet_id = $3)",
        )
        .bind(self.model.name())
        .bind(number(partition))
        .bind(wallet)
        .fetch_one(connection)
        .await
    }

    /// Erases and folds a wallet behind a savepoint, and settles its letters or notes why not.
    async fn refold(
        &self,
        connection: &mut PgConnection,
        partition: u32,
        at: Checkpoint,
        wallet: &str,
    ) -> Result<Outcome, ReplayError> {
        let skipped = discarded(connection, self.model.name(), partition).await?;
        let mut savepoint = connection.begin().await?;
        let folded = self.fold(&mut savepoint, at.position, wallet, &skipped).await;
        match folded {
            Ok(events) => {
                savepoint.commit().await?;
                self.unpark(connection, partition, wallet).await?;
                let position = at.position;
                let projection = self.model.name().to_owned();
                let changed = Changed::Wallets(vec![Tag::of(wallet)]);
                let announcement = Announcement { projection, partition, position, changed };
                checkpoint::announce(connection, &announcement).await?;
                Ok(Outcome::Replayed { events, position })
            }
            Err(Unfolded::Fault(fault)) => {
                savepoint.rollback().await?;
                self.note(connection, partition, wallet, &fault).await?;
                Ok(Outcome::StillParked(fault))
            }
            Err(Unfolded::Away(error)) => Err(error),
        }
    }

    async fn fold(
        &self,
        connection: &mut PgConnection,
        up_to: u64,
        wallet: &str,
        skipped: &HashSet<u64>,
    ) -> Result<u64, Unfolded> {
        self.model.forget(connection, wallet).await.map_err(ReplayError::from)?;
        let (mut folded, mut after) = (0, 0);
        loop {
            let page = self.journal.wallet(wallet, after, up_to, PAGE).await;
            let mut page = page.map_err(ReplayError::from)?;
            let Some(last) = page.last() else { return Ok(folded) };
            after = last.sequence;
            page.extend(self.transfers_from(&page, up_to).await?);
            let events: Vec<&RecordedEvent> =
                page.iter().filter(|event| !skipped.contains(&event.position)).collect();
            folded += events.len() as u64;
            self.fold_page(connection, events).await?;
        }
    }

    /// Folds events up to the first that cannot be applied. Where Postgres refuses a run as a whole,
    /// it is halved until one event is left.
    async fn fold_page(
        &self,
        connection: &mut PgConnection,
        events: Vec<&RecordedEvent>,
    ) -> Result<(), Unfolded> {
        // The last one comes first.
        let mut runs = vec![events];
        while let Some(mut run) = runs.pop() {
            let mut savepoint = connection.begin().await.map_err(ReplayError::from)?;
            let folded = self.model.fold(&mut savepoint, &run).await;
            let end = match folded {
                Ok(()) => savepoint.commit().await,
                Err(_) => savepoint.rollback().await,
            };
            end.map_err(ReplayError::from)?;
            match (folded, run.as_slice()) {
                (Ok(()), _) => {}
                (Err(FoldError::Away(error)), _) => return Err(ReplayError::Away(error).into()),
                (Err(FoldError::Events(first, _)), _) => return Err(Unfolded::Fault(first)),
                (Err(FoldError::Refused(error)), [event]) => {
                    let (position, error) = (event.position, error.to_string());
                    return Err(Unfolded::Fault(Fault { position, error }));
                }
                (Err(FoldError::Refused(_)), _) => {
                    let later = run.split_off(run.len() / 2);
                    runs.extend([later, run]);
                }
            }
        }
        Ok(())
    }

    /// The streams of the transfers that leave the wallet here, after its own events: that is their
    /// order, except for what other wallets' events lie between.
    async fn transfers_from(
        &self,
        page: &[RecordedEvent],
        up_to: u64,
    ) -> Result<Vec<RecordedEvent>, ReplayError> {
        let mut ids = Vec::new();
        for event in page.iter().filter(|event| event.event_type == "FundsDebited") {
            // One that cannot be read is reported by the fold.
            if let Ok(Event::Wallet(WalletEvent::FundsDebited { transfer_id, .. })) = decode(event)
            {
                ids.push(TransferId(transfer_id.0));
            }
        }
        match ids.is_empty() {
            true => Ok(Vec::new()),
            false => Ok(self.journal.transfers(&ids, up_to).await?),
        }
    }

    async fn unpark(
        &self,
        connection: &mut PgConnection,
        partition: u32,
        wallet: &str,
    ) -> Result<(), sqlx::Error> {
        for settle in [
            "UPDATE dead_letters SET state = 'replayed', attempts = attempts + 1, last_at = now()
              WHERE projection = $1 AND partition = $2 AND wallet_id = $3 AND state = 'open'",
            "DELETE FROM parked_wallets
              WHERE projection = $1 AND partition = $2 AND wallet_id = $3",
        ] {
            sqlx::query(settle)
                .bind(self.model.name())
                .bind(number(partition))
                .bind(wallet)
                .execute(&mut *connection)
                .await?;
        }
        checkpoint::count_parked(connection, self.model.name(), partition, -1).await
    }

    /// Writes down what the wallet is parked for now. That may be an event that was applied before,
    /// by an older version of the program: it is a dead letter from now on.
    async fn note(
        &self,
        connection: &mut PgConnection,
        partition: u32,
        wallet: &str,
        fault: &Fault,
    ) -> Result<(), sqlx::Error> {
        for note in [
            "UPDATE parked_wallets SET position = $4, error = $5
              WHERE projection = $1 AND partition = $2 AND wallet_id = $3",
            "INSERT INTO dead_letters AS d
                    (projection, partition, wallet_id, position, error, attempts)
             VALUES ($1, $2, $3, $4, $5, 1)
             ON CONFLICT (projection, partition, position) DO UPDATE
                SET state = 'open', error = excluded.error, attempts = d.attempts + 1,
                    last_at = now()",
        ] {
            sqlx::query(note)
                .bind(self.model.name())
                .bind(number(partition))
                .bind(wallet)
                .bind(signed(fault.position))
                .bind(&fault.error)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}

/// Why a wallet was not folded.
enum Unfolded {
    Fault(Fault),
    Away(ReplayError),
}

impl From<ReplayError> for Unfolded {
    fn from(error: ReplayError) -> Self {
        Self::Away(error)
    }
}

/// The positions that a fold of this projection leaves out. Each was decided by a person: they are
/// few.
pub(crate) async fn discarded(
    connection: &mut PgConnection,
    projection: &str,
    partition: u32,
) -> Result<HashSet<u64>, sqlx::Error> {
    let positions: Vec<i64> = sqlx::query_scalar(
        "SELECT position FROM dead_letters
          WHERE projection = $1 AND partition = $2 AND state = 'discarded'",
    )
    .bind(projection)
    .bind(number(partition))
    .fetch_all(connection)
    .await?;
    Ok(positions.into_iter().map(unsigned).collect())
}

//! Wallets as they were: from the moment that somebody means to what a wallet was then.
//!
//! ```text
//! moment ─▶ position of the wallet's partition ─▶ its last event up to there ─▶ what it was
//!           (a time: by bisection)                (by bisection)                (three events)
//! ```
//!
//! It is the journal that is asked, and nothing but the journal: so the answer does not depend on what
//! any read model has come to, and it costs the same however many events a wallet has.

use chrono::{DateTime, Utc};
use florin_application::journal::JournalError;
use florin_domain::WalletId;
use florin_projections::balance::{Untold, WalletRow, as_of};
use sqlx::PgPool;
use thiserror::Error;

use crate::moment::Moment;
use crate::postgres::follow::head;
use crate::postgres::past::{Stream, last_at, position_at, telling};

/// Why nobody knows what was then.
#[derive(Debug, Error)]
pub enum PastError {
    /// The partition does not go so far.
    #[error("partition {partition} ends at {head}, before {wanted}")]
    BeyondHead {
        /// Which.
        partition: u32,
        /// What was asked for.
        wanted: u64,
        /// Where it ends.
        head: u64,
    },
    /// Nobody knows yet what will have happened by then.
    #[error("the time lies in the future: ask for one that has passed")]
    Future,
    /// The positions do not name the partition of the wallet, or name it twice.
    #[error("the wallet lies in partition {0}: say one position there, such as {0}-123")]
    Elsewhere(u32),
    /// The wallet has not so many events.
    #[error("{wallet} is at version {last}, and not at {wanted}")]
    NoVersion {
        /// Which.
        wallet: WalletId,
        /// What was asked for.
        wanted: u64,
        /// Its last.
        last: u64,
    },
    /// The events that tell cannot be read.
    #[error(transparent)]
    Untold(#[from] Untold),
    /// The journal cannot be.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The position of a partition at a moment that has passed; its last one without a moment.
///
/// # Errors
/// [`PastError`].
pub async fn position(
    pool: &PgPool,
    partition: u32,
    moment: Option<&Moment>,
    now: DateTime<Utc>,
) -> Result<u64, PastError> {
    match moment {
        None => Ok(head(pool, partition).await?),
        Some(Moment::Time(time)) if *time > now => Err(PastError::Future),
        Some(Moment::Time(time)) => Ok(position_at(pool, partition, *time).await?),
        Some(Moment::Positions(positions)) => {
            let named = positions.of_each(partition..partition.saturating_add(1));
            let wanted = named.and_then(|named| named.first().copied());
            let wanted = wanted.ok_or(PastError::Elsewhere(partition))?;
            match head(pool, partition).await? {
                head if wanted > head => Err(PastError::BeyondHead { partition, wanted, head }),
                _ => Ok(wanted),
            }
        }
    }
}

/// The stream of a wallet.
pub fn stream_of(wallet: &WalletId) -> Stream {
    Stream { aggregate_type: "Wallet", aggregate_id: wallet.as_str().to_owned() }
}

/// A wallet as it was at a position of its partition; none if it had not been opened yet.
///
/// # Errors
/// [`PastError`].
pub async fn wallet(
    pool: &PgPool,
    wallet: &WalletId,
    position: u64,
) -> Result<Option<WalletRow>, PastError> {
    let last = last_at(pool, &stream_of(wallet), position).await?;
    if last == 0 {
        return Ok(None);
    }
    Ok(as_of(&telling(pool, wallet.as_str(), last).await?)?)
}

/// A wallet as it was after so many of its events; none if it has not been opened.
///
/// # Errors
/// [`PastError`].
pub async fn wallet_of_version(
    pool: &PgPool,
    wallet: &WalletId,
    version: u64,
) -> Result<Option<WalletRow>, PastError> {
    let last = last_at(pool, &stream_of(wallet), u64::MAX).await?;
    match last {
        0 => Ok(None),
        last if version > last => {
            Err(PastError::NoVersion { wallet: wallet.clone(), wanted: version, last })
        }
        _ => Ok(as_of(&telling(pool, wallet.as_str(), version).await?)?),
    }
}

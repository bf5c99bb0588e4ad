//! The trial balance: whether the money adds up, per currency, as of one position in each partition.
//!
//! ```text
//! rows of `balance` at its checkpoint ─┐
//! rows of `stats` at its checkpoint ───┼─ ± the journal from there to the position ─▶ figures
//! nothing at all, at position 0 ───────┘
//! ```
//!
//! | figure | is the sum of |
//! |---|---|
//! | balances | what each wallet's last event says that it holds |
//! | deposited, withdrawn | the amounts that came from and went to the outside world |
//! | in flight | the amounts debited, without those credited or refunded |
//!
//! The balances are what the write side decided, and all else are amounts that moved: that the two
//! agree follows from nothing but the ledger being right.
//!
//! The rows of the two read models are of one snapshot, each at its own checkpoint, and the journal
//! leads from there to the position that is asked for, forwards or backwards; from the beginning,
//! where that is nearer. So the answer is exact at any position, waits for no model, and costs what
//! the distance costs. A wallet that is parked, or of which an event was discarded, is folded from its
//! own stream. An event that cannot be read is left out if it was discarded, and else there is no
//! answer.
//!
//! A transfer is in flight as far as the partitions are read: where the target's is read further than
//! the source's, a credit is met without its debit, and the sum is smaller by that amount.
//!
//! Bounds: [`MAX_FOLDED`] events for an answer, [`PAGE`] of them at a time, [`MAX_KNOWN`] balances in
//! memory.

mod base;
mod fold;
mod sums;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use florin_domain::Currency;
use florin_domain::upcast::UnreadableEvent;
use rust_decimal::Decimal;
use sqlx::PgPool;
use thiserror::Error;

use crate::ports::{JournalAway, PastReader};
use base::Standpoint;
use fold::Fold;
use sums::{ByCurrency, Way};

/// How many events are folded at a time: some megabytes, and enough that the round trip is nothing.
pub const PAGE: usize = 10_000;

/// How many events lie between the position and the nearest start at most: some seconds' work, which a
/// request has the time for. Whoever asks further back reads the journal by other means.
pub const MAX_FOLDED: u64 = 2_000_000;

/// How many wallets' balances are remembered from page to page: some 10 MB. Beyond it they are
/// forgotten, and read from the journal when they are needed again.
pub const MAX_KNOWN: usize = 100_000;

/// As of when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The end of the journal.
    Now,
    /// This position of every partition.
    Positions(Vec<(u32, u64)>),
}

/// The figures of one currency, in its scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Which.
    pub currency: Currency,
    /// How many wallets were opened in it.
    pub wallets: u64,
    /// What they hold.
    pub balances: Decimal,
    /// What has left a wallet and has neither arrived nor come back.
    pub in_flight: Decimal,
    /// What came from the outside world.
    pub deposited: Decimal,
    /// What went there.
    pub withdrawn: Decimal,
    /// What is missing: deposited − withdrawn − balances − in flight, and so zero.
    pub difference: Decimal,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialBalance {
    /// The position of every partition that the figures are as of.
    pub positions: Vec<(u32, u64)>,
    /// By the code of the currency.
    pub figures: Vec<Figures>,
}

/// Why there is no trial balance.
#[derive(Debug, Error)]
pub enum TrialBalanceError {
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
    /// A partition is missing, is named twice, or does not exist.
    #[error("a position of each of the {0} partitions is needed")]
    Partitions(u32),
    /// More than [`MAX_FOLDED`] events would have to be folded.
    #[error("{0} events and more would have to be folded")]
    TooFar(u64),
    /// An event on the way is of no shape that this version knows.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// A sum has more than 28 digits.
    #[error("the sums of {0} pass 28 digits")]
    TooLarge(Currency),
    /// Postgres is away.
    #[error("Postgres is away: {0}")]
    Away(#[from] sqlx::Error),
    /// The journal is.
    #[error(transparent)]
    Journal(#[from] JournalAway),
}

/// The trial balance as of then.
///
/// # Errors
/// [`TrialBalanceError`].
pub async fn trial_balance(
    pool: &PgPool,
    journal: &dyn PastReader,
    at: &At,
) -> Result<TrialBalance, TrialBalanceError> {
    let (standpoints, mut sums) = base::read(pool, at).await?;
    let ahead = standpoints.iter().map(Standpoint::distance).fold(0, u64::saturating_add);
    if ahead > MAX_FOLDED {
        return Err(TrialBalanceError::TooFar(ahead));
    }
    let mut fold = Fold::new(journal);
    for standpoint in &standpoints {
        go(&mut fold, standpoint, &mut sums).await?;
    }
    let positions = standpoints.iter().map(|one| (one.partition, one.wanted)).collect();
    Ok(TrialBalance { positions, figures: sums.figures()? })
}

/// Leads the sums of a partition from where its rows are to the position that is wanted.
async fn go(
    fold: &mut Fold<'_>,
    standpoint: &Standpoint,
    sums: &mut ByCurrency,
) -> Result<(), TrialBalanceError> {
    let Standpoint { partition, wanted, held, moved, apart, discarded } = standpoint;
    let stops: BTreeSet<u64> = [*wanted, *held, *moved].into();
    let without: HashSet<Arc<str>> = apart.iter().cloned().collect();
    fold.leave_out(discarded);
    for (from, to) in stops.iter().zip(stops.iter().skip(1)) {
        let ways = [held, moved].map(|base| Way::between(*base, *wanted, (*from, *to)));
        let change = fold.range(*partition, (*from, *to), &without).await?;
        sums.add(&change, ways)?;
    }
    for wallet in apart {
        let change = fold.stream(wallet, *wanted).await?;
        sums.add(&change, [Way::Forth; 2])?;
    }
    Ok(())
}

//! The proof that a ledger is in order.
//!
//! ```text
//! Scan ─rows▶ Chain: links, decoding ─facts▶ Audit: balances, transfers, sums ─▶ Findings
//!  └ a task      └ a task, a page ahead        └ here
//! ```
//!
//! | file | proves |
//! |---|---|
//! | here | the journal: its ends, its chain, all that follows from its events |
//! | `checkpoint` | that the journal still extends what was said of it |
//! | `stream` | that JetStream has the events of the journal, where it has any |
//!
//! Whether a link holds depends on the event and the hash that is stored before it, and on no balance:
//! so hashing and decoding, which are most of the work, are done beside the fold.
//!
//! Bounds: [`AHEAD`] pages between the two, besides those of [`Scan`].

pub mod checkpoint;
pub mod stream;

use std::collections::BTreeMap;

use florin_application::journal::JournalError;
use florin_domain::journal::Hash;
use florin_projections::audit::{Audit, Chain, Checked, MAX_PROBLEMS, Witness};
use sqlx::PgConnection;
use tokio::sync::mpsc;

use crate::postgres::PostgresJournal;
use crate::postgres::scan::{Page, Range, Scan};
use crate::postgres::strays;

/// How many pages of facts wait to be folded.
const AHEAD: usize = 1;

/// Where a partition ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Which.
    pub partition: u32,
    /// Its last position.
    pub position: u64,
    /// The hash there, if it is known.
    pub hash: Option<Hash>,
}

/// Finds the ends of the partitions, and notes what lies beyond them, and which are not there.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn survey(
    connection: &mut PgConnection,
    audit: &mut Audit,
) -> Result<Vec<Head>, JournalError> {
    let mut heads = BTreeMap::new();
    for row in strays::heads(connection).await? {
        let place = (u32::try_from(row.partition), u64::try_from(row.position));
        let (Ok(partition), Ok(position)) = place else {
            let (partition, position) = (row.partition, row.position);
            audit.note(None, format_args!("partition {partition} ends at {position}"));
            continue;
        };
        if row.hash.is_none() {
            audit.note((partition, position), "the head of its partition has no hash");
        }
        heads.insert(partition, Head { partition, position, hash: row.hash });
    }
    for strays::End { partition, last } in strays::ends(connection).await? {
        let Ok(number) = u32::try_from(partition) else {
            audit.note(None, format_args!("there are events in partition {partition}"));
            continue;
        };
        heads.entry(number).or_insert_with(|| {
            audit.note((number, 1), "its partition has events, and no row in partitions");
            let position = u64::try_from(last).unwrap_or(0);
            Head { partition: number, position, hash: None }
        });
    }
    note_gaps(audit, heads.keys().copied());
    for head in heads.values() {
        note_strays(connection, audit, *head).await?;
    }
    Ok(heads.into_values().collect())
}

/// Partitions are numbered from 0, without gaps.
fn note_gaps(audit: &mut Audit, partitions: impl Iterator<Item = u32>) {
    let mut next = 0;
    for partition in partitions {
        if partition > next {
            let last = partition - 1;
            audit.note(None, format_args!("the partitions from {next} to {last} are missing"));
        }
        next = partition + 1;
    }
    if next == 0 {
        audit.note(None, "all partitions are missing");
    }
}

async fn note_strays(
    connection: &mut PgConnection,
    audit: &mut Audit,
    head: Head,
) -> Result<(), JournalError> {
    let Head { partition, position, .. } = head;
    let (first, count) = strays::beyond(connection, partition, position, MAX_PROBLEMS).await?;
    let named = first.len() as u64;
    for stray in first {
        match u64::try_from(stray) {
            Ok(stray) if stray > position => {
                let what = format_args!("lies beyond the head of its partition, at {position}");
                audit.note((partition, stray), what);
            }
            Ok(_) | Err(_) => {
                let what = format_args!("partition {partition} has an event at {stray}");
                audit.note(None, what);
            }
        }
    }
    if count > named {
        let more = count - named;
        let what = format_args!("{more} more events of partition {partition} lie beyond its head");
        audit.note(None, what);
    }
    Ok(())
}

/// Reads a range, from whose beginning the chain goes on, into the audit. `progress` is told how many
/// more events were read.
///
/// # Errors
/// [`JournalError`] when Postgres is away: then nothing is proved.
pub async fn read(
    journal: &PostgresJournal,
    range: Range,
    chain: Chain,
    audit: &mut Audit,
    mut progress: impl FnMut(u64),
) -> Result<(), JournalError> {
    let (sender, mut pages) = mpsc::channel(AHEAD);
    // It ends with the channel.
    tokio::spawn(check(Scan::start(journal, range), chain, sender));
    let mut last = range.after;
    while let Some(page) = pages.recv().await {
        let page: Vec<Checked> = page?;
        progress(page.len() as u64);
        last = page.last().map_or(last, |checked| checked.place.1);
        page.into_iter().for_each(|checked| audit.take(checked));
    }
    audit.end(range.partition, last, range.up_to);
    Ok(())
}

/// Follows the chain, a page at a time.
async fn check(
    mut scan: Scan,
    mut chain: Chain,
    pages: mpsc::Sender<Result<Vec<Checked>, JournalError>>,
) {
    loop {
        let page = match scan.next_page().await {
            Ok(Some(page)) => Ok(checked(&mut chain, page)),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let is_over = page.is_err();
        if pages.send(page).await.is_err() || is_over {
            return;
        }
    }
}

fn checked(chain: &mut Chain, page: Page) -> Vec<Checked> {
    let mut all = Vec::with_capacity(page.events.len() + page.unreadable.len());
    let mut unreadable = page.unreadable.into_iter().peekable();
    for event in page.events {
        while let Some(row) = unreadable.next_if(|row| row.position < event.position) {
            all.push(chain.take_unreadable(row));
        }
        all.push(chain.take(event));
    }
    all.extend(unreadable.map(|row| chain.take_unreadable(row)));
    all
}

/// The chain of a range, with what its head and others say of its events.
///
/// # Errors
/// [`JournalError`] when Postgres is away.
pub async fn chain(
    connection: &mut PgConnection,
    range: Range,
    head: Head,
    mut witnesses: Vec<Witness>,
) -> Result<Chain, JournalError> {
    if let Some(hash) = head.hash {
        let who = "the head of its partition".into();
        witnesses.push(Witness { position: head.position, hash, who });
    }
    if range.after == 0 {
        return Ok(Chain::whole(range.partition, witnesses));
    }
    let before = strays::hash_at(connection, range.partition, range.after).await?;
    Ok(Chain::after(range.partition, range.after, before, witnesses))
}

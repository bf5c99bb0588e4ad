//! Writes the snapshots of wallets anew from the journal, and says which of them were wrong.
//!
//! ```text
//! wallets with a snapshot or a long stream ─▶ one pass over the journal ─▶ compare, then replace
//! ```
//!
//! A snapshot is compared with what its wallet was after as many events as it names, whatever came
//! later. So nothing has to stand still: a service beside it saves newer ones, which an older one never
//! replaces.
//!
//! Bounds: [`AT_ONCE`] wallets a pass. There are a five-hundredth as many of them as events, so that
//! ten million events are one pass and some ten megabytes.

use std::collections::HashMap;
use std::sync::Arc;

use florin_application::Journal as _;
use florin_application::journal::{JournalError, WalletRecord};
use florin_application::snapshots::SNAPSHOT_EVERY;
use florin_domain::WalletId;
use florin_domain::journal::RecordedEvent;

use crate::postgres::PostgresJournal;
use crate::postgres::follow::{self, heads};
use crate::postgres::scan::{Range, Scan};
use crate::postgres::snapshots::{Kept, candidates, kept, remove};

/// How many wallets are folded in one pass over the journal: some 100 MB.
const AT_ONCE: usize = 100_000;

/// How many snapshots a statement reads or writes.
const A_STATEMENT: usize = 1_000;

/// How many events of one wallet are read at a time.
const PAGE: i64 = 5_000;

/// How many wrong ones are named; all are counted.
pub const MAX_NAMED: usize = 20;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many were as they should be.
    pub right: u64,
    /// How many were not.
    pub wrong: u64,
    /// How many this program cannot read: torn, or of another shape.
    pub unreadable: u64,
    /// How many wallets had none, and should.
    pub missing: u64,
    /// The first of those that were wrong.
    pub named: Vec<Arc<str>>,
}

impl Report {
    /// How many wallets have been looked at.
    pub fn wallets(&self) -> u64 {
        self.right + self.wrong + self.unreadable + self.missing
    }
}

/// What is known of a wallet while its events are read.
struct Case {
    kept: Option<Kept>,
    record: WalletRecord,
    /// Whether it was once what the snapshot says that it was.
    is_right: bool,
}

impl Case {
    fn new(kept: Option<Kept>) -> Self {
        Self { kept, record: WalletRecord::unknown(), is_right: false }
    }

    fn take(&mut self, event: &RecordedEvent) -> Result<(), JournalError> {
        self.record.replay(event)?;
        if let Some(Kept { version, record }) = &self.kept
            && *version == self.record.version
        {
            self.is_right = record.as_ref() == Some(&self.record);
        }
        Ok(())
    }
}

/// Writes the snapshots of all wallets that should have one. `progress` is told what is to be read, and
/// of each page how much it was.
///
/// # Errors
/// [`JournalError`]: those of the partitions before are written.
pub async fn rebuild(
    journal: &PostgresJournal,
    mut progress: impl FnMut(Progress),
) -> Result<Report, JournalError> {
    let (mut report, mut last): (_, Option<Arc<str>>) = (Report::default(), None);
    loop {
        let wallets = candidates(journal, last.as_deref(), SNAPSHOT_EVERY, AT_ONCE).await?;
        let Some(of_page) = wallets.last() else { return Ok(report) };
        last = Some(Arc::clone(of_page));
        let mut cases = cases(journal, &wallets).await?;
        let heads = heads(journal.pool()).await?;
        progress(Progress::Pass(heads.iter().map(|(_, head, _)| head).sum()));
        for (partition, up_to, _) in heads {
            let mut pages = Scan::start(journal, Range { partition, after: 0, up_to });
            while let Some(events) = pages.next().await? {
                for event in events.iter().filter(|event| event.aggregate_type == "Wallet") {
                    if let Some(case) = cases.get_mut(&event.aggregate_id) {
                        case.take(event)?;
                    }
                }
                progress(Progress::Events(events.len() as u64));
            }
        }
        settle(journal, cases, &mut report).await?;
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// So many events are to be read.
    Pass(u64),
    /// So many were.
    Events(u64),
}

/// Writes the snapshot of one wallet, however short its stream is.
///
/// # Errors
/// [`JournalError`].
pub async fn rebuild_one(
    journal: &PostgresJournal,
    wallet: &WalletId,
) -> Result<Report, JournalError> {
    let name: Arc<str> = wallet.as_str().into();
    let mut cases = cases(journal, &[Arc::clone(&name)]).await?;
    if let Some(case) = cases.get_mut(&name) {
        loop {
            let (pool, after) = (journal.pool(), case.record.version);
            let events = follow::wallet(pool, &name, after, u64::MAX, PAGE).await?;
            if events.is_empty() {
                break;
            }
            events.iter().try_for_each(|event| case.take(event))?;
        }
    }
    // One that was never opened, and of which there is nothing.
    cases.retain(|_, case| case.record.version > 0 || case.kept.is_some());
    let mut report = Report::default();
    settle(journal, cases, &mut report).await?;
    Ok(report)
}

async fn cases(
    journal: &PostgresJournal,
    wallets: &[Arc<str>],
) -> Result<HashMap<Arc<str>, Case>, JournalError> {
    let mut cases = HashMap::with_capacity(wallets.len());
    for some in wallets.chunks(A_STATEMENT) {
        let mut kept = kept(journal.pool(), some).await?;
        cases.extend(some.iter().map(|id| (Arc::clone(id), Case::new(kept.remove(id)))));
    }
    Ok(cases)
}

/// Counts them, and writes those that are not as they should be, or are older than they could be.
async fn settle(
    journal: &PostgresJournal,
    cases: HashMap<Arc<str>, Case>,
    report: &mut Report,
) -> Result<(), JournalError> {
    let (mut wrong, mut right) = (Vec::new(), Vec::new());
    for (id, case) in cases {
        match &case.kept {
            None => report.missing += 1,
            Some(_) if case.is_right => report.right += 1,
            Some(kept) => {
                match kept.record {
                    None => report.unreadable += 1,
                    Some(_) => {
                        report.wrong += 1;
                        report.named.push(Arc::clone(&id));
                    }
                }
                wrong.push((Arc::clone(&id), kept.version));
            }
        }
        let is_newest =
            case.is_right && case.kept.is_some_and(|kept| kept.version == case.record.version);
        // A snapshot of a wallet that was never opened goes, and nothing comes in its place.
        if case.record.version > 0 && !is_newest {
            right.push((id.parse().map_err(JournalError::corrupt)?, case.record));
        }
    }
    report.named.sort_unstable();
    report.named.truncate(MAX_NAMED);
    for some in wrong.chunks(A_STATEMENT) {
        remove(journal.pool(), some).await?;
    }
    for some in right.chunks(A_STATEMENT) {
        journal.save_snapshots(some).await?;
    }
    Ok(())
}

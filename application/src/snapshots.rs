//! Keeps a wallet's state every so often, so that a long stream is not read from its beginning.
//!
//! Snapshots are an optimisation beside the appends: a writer offers them to a task that saves them
//! in batches. One that finds the queue full is dropped; the next one makes up for it.

use std::sync::Arc;

use florin_domain::WalletId;
use tokio::sync::mpsc;

use crate::journal::{Journal, WalletRecord};

/// A snapshot is taken when a stream passes a multiple of this: a cold wallet then reads at most
/// about so many events, which takes a few milliseconds.
pub const SNAPSHOT_EVERY: u64 = 500;

/// How many snapshots wait to be saved, and how many are saved together.
const MAX_WAITING: usize = 1024;

/// Where writers leave what is to be saved.
#[derive(Clone)]
pub(crate) struct Snapshots(mpsc::Sender<(WalletId, WalletRecord)>);

impl Snapshots {
    /// A queue, and the task that empties it; the task ends with the last sender.
    pub(crate) fn new(journal: Arc<dyn Journal>) -> (Self, impl Future<Output = ()>) {
        let (sender, mut receiver) = mpsc::channel(MAX_WAITING);
        let save = async move {
            let mut wallets = Vec::with_capacity(MAX_WAITING);
            while receiver.recv_many(&mut wallets, MAX_WAITING).await > 0 {
                if let Err(cause) = journal.save_snapshots(&wallets).await {
                    tracing::warn!(%cause, count = wallets.len(), "snapshots not saved");
                }
                wallets.clear();
            }
        };
        (Self(sender), save)
    }

    /// Saves the state if its stream has passed a multiple of [`SNAPSHOT_EVERY`] since `before`.
    pub(crate) fn offer(&self, id: &WalletId, record: &WalletRecord, before: u64) {
        if record.version / SNAPSHOT_EVERY != before / SNAPSHOT_EVERY {
            // A full queue drops it: see above.
            let _ = self.0.try_send((id.clone(), record.clone()));
        }
    }
}

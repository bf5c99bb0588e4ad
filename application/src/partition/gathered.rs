//! The jobs that gather behind an append, and the draft that grows with them.
//!
//! Each job is decided when it comes, on the state that the partition has if the append succeeds. So
//! the next append can follow at once, and the journal does not stand still while a batch is decided.
//! If the append fails, only the draft is dropped: the jobs are decided again.

use std::collections::{HashMap, HashSet};
use std::slice;

use chrono::{DateTime, Utc};
use florin_domain::{TransferId, WalletId, partition_of};

use super::decide::{Context, Decided};
use super::draft::Draft;
use super::{Job, Jobs, MAX_BATCH, Submission, Task};
use crate::journal::TransferRecord;

/// What waits for the next append.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) jobs: Vec<Job>,
    /// Of how many commands the jobs are.
    pub(super) commands: usize,
    /// None until the first job is decided, and when the state that it stood on came to nothing.
    pub(super) sheet: Option<Sheet>,
}

/// A draft, and what the first so many jobs come to if it is appended.
pub(super) struct Sheet {
    pub(super) draft: Draft,
    pub(super) decided: Vec<Decided>,
}

impl Gathered {
    /// How many commands may still join.
    pub(super) fn room(&self) -> usize {
        MAX_BATCH.saturating_sub(self.commands)
    }

    /// Takes the jobs that wait already, as many as go together.
    pub(super) fn take_waiting(&mut self, jobs: &mut Jobs) {
        let room = self.room();
        self.commands += jobs.take_waiting(&mut self.jobs, room);
    }

    /// Waits for jobs, and takes as many as go together; says whether there will be any.
    pub(super) async fn take(&mut self, jobs: &mut Jobs) -> bool {
        let room = self.room();
        let taken = jobs.take(&mut self.jobs, room).await;
        self.commands += taken;
        taken > 0
    }

    /// Decides the jobs, in their order, until one names a wallet that is not at hand.
    pub(super) fn decide(&mut self, partition: u32, context: &Context<'_>, now: DateTime<Utc>) {
        let sheet = self.sheet.get_or_insert_with(|| Sheet::new(partition, context, now));
        sheet.decide(&self.jobs, context);
    }
}

impl Sheet {
    pub(super) fn new(partition: u32, context: &Context<'_>, now: DateTime<Utc>) -> Self {
        Self { draft: Draft::new(partition, context.state, now), decided: Vec::new() }
    }

    /// Decides the jobs that are not decided yet, until one names a wallet that is not at hand.
    pub(super) fn decide(&mut self, jobs: &[Job], context: &Context<'_>) {
        while let Some(job) = jobs.get(self.decided.len()) {
            if !self.has_wallets(&job.task, context) {
                return;
            }
            let decided = context.decide(&mut self.draft, self.decided.len(), &job.task);
            self.decided.push(decided);
        }
    }

    /// Copies the wallets of a task into the draft; says whether all of them were at hand.
    fn has_wallets(&mut self, task: &Task, context: &Context<'_>) -> bool {
        let mut named = wallets_of(task, &context.state.unfinished);
        named.all(|id| self.has_wallet(id, context))
    }

    fn has_wallet(&mut self, id: &WalletId, context: &Context<'_>) -> bool {
        let is_here = partition_of(id, context.rules.partitions) == self.draft.batch.partition;
        // The other side of a transfer may be another partition's: it is not needed here.
        if !is_here || self.draft.wallets.contains_key(id) {
            return true;
        }
        let Some(record) = context.state.wallets.peek(id) else { return false };
        self.draft.wallets.insert(id.clone(), record.clone());
        true
    }

    /// The wallets that the undecided jobs name and that are not at hand. Those that are get copied:
    /// loading the others may take their place in the cache.
    pub(super) fn missing(&mut self, jobs: &[Job], context: &Context<'_>) -> Vec<WalletId> {
        let undecided = jobs.get(self.decided.len()..).unwrap_or_default();
        let named =
            undecided.iter().flat_map(|job| wallets_of(&job.task, &context.state.unfinished));
        let missing: HashSet<&WalletId> =
            named.filter(|id| !self.has_wallet(id, context)).collect();
        missing.into_iter().cloned().collect()
    }
}

/// The wallets that a task is about.
fn wallets_of<'t>(
    task: &'t Task,
    unfinished: &'t HashMap<TransferId, TransferRecord>,
) -> impl Iterator<Item = &'t WalletId> {
    let (submissions, other): (&[Submission], _) = match task {
        Task::Submit(submission) => (slice::from_ref(submission), None),
        Task::All(group) => (&group.submissions, None),
        Task::Credit(leg) => (&[], Some(&leg.to)),
        Task::Settle { transfer, .. } => {
            let record = unfinished.get(transfer);
            (&[], record.and_then(|record| Some(&record.transfer.details()?.from)))
        }
        Task::Read(id) => (&[], Some(id)),
        Task::Unfinished => (&[], None),
    };
    submissions.iter().flat_map(|submission| submission.command.wallets()).chain(other)
}

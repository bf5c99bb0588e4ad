//! One job's part of a draft.
//!
//! The order is that of the promises: whose wallet it is goes before everything, so that a stranger
//! neither meets nor leaves a key; then a key that is kept already is answered as before; then the
//! version that the client expects is compared; then the domain decides.

use std::collections::HashMap;
use std::sync::Arc;

use florin_domain::event_metadata::EventMetadata;
use florin_domain::transfer::{Initiate, Leg};
use florin_domain::wallet::{Close, Credit};
use florin_domain::{
    Refusal, RequestedAmount, TransactionId, TransferCommand, TransferId, WalletCommand, WalletId,
    partition_of,
};
use uuid::Uuid;

use super::draft::Draft;
use super::state::State;
use super::transfer::{Rules, advance};
use super::{CreditLeg, Group, Submission, Task};
use crate::audit::Audit;
use crate::command::{
    Command, Direction, Key, Movement, NewTransfer, Outcome, Receipt, Refused, RequestId,
    SubmitError, WalletState,
};
use crate::fingerprint::Fingerprint;
use crate::journal::{KeptKey, TransferRecord};

/// How many transfers of one partition are under way at most: each is held in memory until its
/// target's partition has answered.
const MAX_UNFINISHED: usize = 65_536;

/// What a job comes to, if the draft is appended.
pub(super) enum Decided {
    /// An outcome.
    Outcome(Arc<Outcome>),
    /// An outcome of earlier, under the same key.
    Replay(Arc<Outcome>),
    /// The outcome of another job of the batch, under the same key.
    SameAs(usize),
    /// A transfer whose money is in flight.
    InFlight(TransferRecord),
    /// No outcome.
    Failed(SubmitError),
    /// A wallet, read.
    Wallet(Option<WalletState>),
    /// The transfers that are under way.
    Transfers(Vec<TransferRecord>),
}

/// What a decision may look at besides the draft.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) state: &'a State,
    /// Keys of this batch that the journal turned out to hold.
    pub(super) found: &'a HashMap<Key, KeptKey>,
    pub(super) rules: Rules,
}

impl Context<'_> {
    /// Decides the job of that number and drafts what follows.
    pub(super) fn decide(&self, draft: &mut Draft, index: usize, task: &Task) -> Decided {
        match task {
            Task::Submit(submission) => self.submit(draft, index, submission),
            Task::All(group) => self.all(draft, index, group),
            Task::Credit(leg) => self.credit(draft, index, leg),
            Task::Settle { transfer, credit } => self.settle(draft, *transfer, credit),
            Task::Read(id) => {
                let partition = draft.batch.partition;
                Decided::Wallet(draft.wallet(id).state(id, partition))
            }
            Task::Unfinished => {
                let going = |record: &&TransferRecord| !draft.transfers.contains_key(&record.id);
                let before = self.state.unfinished.values().filter(going);
                Decided::Transfers(before.cloned().collect())
            }
        }
    }

    fn submit(&self, draft: &mut Draft, index: usize, submission: &Submission) -> Decided {
        if let Err(refusal) = heeded(draft, submission) {
            return refused(refusal, None);
        }
        if let Some(decided) = submission.key.as_ref().and_then(|key| self.kept(draft, key)) {
            return decided;
        }
        let before = draft.extent();
        let decided = self.carry_out(draft, submission);
        if let Some(key) = &submission.key {
            keep(draft, index, key, &decided, on_record(&submission.command, draft));
        }
        record_call(draft, before, submission, &decided);
        decided
    }

    fn all(&self, draft: &mut Draft, index: usize, group: &Group) -> Decided {
        if let Some(decided) = group.key.as_ref().and_then(|key| self.kept(draft, key)) {
            return decided;
        }
        let before = draft.extent();
        let decided = self.all_or_none(draft, group);
        if let Some(key) = &group.key {
            keep(draft, index, key, &decided, None);
        }
        if let Some(first) = group.submissions.first() {
            record_call(draft, before, first, &decided);
        }
        decided
    }

    /// Decides the commands of a group; the first that is not accepted takes back those before it.
    fn all_or_none(&self, draft: &mut Draft, group: &Group) -> Decided {
        let commands = || group.submissions.iter().map(|submission| &submission.command);
        let savepoint = draft.savepoint(commands().flat_map(Command::wallets));
        let outcome = self.one_by_one(draft, group);
        if !matches!(outcome, Ok(Outcome::Accepted(_))) {
            draft.roll_back(savepoint, commands().filter_map(Command::new_transfer));
        }
        outcome.map_or_else(Decided::Failed, |outcome| Decided::Outcome(Arc::new(outcome)))
    }

    /// Each on what those before it leave, up to the first that is not accepted.
    fn one_by_one(&self, draft: &mut Draft, group: &Group) -> Result<Outcome, SubmitError> {
        let mut receipts = Vec::with_capacity(group.submissions.len());
        for (index, submission) in group.submissions.iter().enumerate() {
            let outcome = match heeded(draft, submission) {
                Ok(()) => outcome_of(self.carry_out(draft, submission))?,
                Err(refusal) => Outcome::Refused(Refused::because(refusal)),
            };
            match outcome {
                Outcome::Accepted(receipt) => receipts.push(receipt),
                Outcome::Refused(Refused { refusal, .. }) => {
                    // What it put on record goes back with the rest.
                    let refused = Refused { index: Some(index), ..Refused::because(refusal) };
                    return Ok(Outcome::Refused(refused));
                }
            }
        }
        Ok(Outcome::Accepted(Receipt::All(receipts)))
    }

    fn carry_out(&self, draft: &mut Draft, submission: &Submission) -> Decided {
        let actual = draft.wallet(submission.command.wallet()).version;
        if submission.expected_version.is_some_and(|expected| expected != actual) {
            return Decided::Failed(SubmitError::VersionMismatch { actual });
        }
        match &submission.command {
            Command::Wallet { id, command, .. } => {
                let command = self.with_facts(draft, id, command);
                Decided::Outcome(Arc::new(wallet_outcome(draft, id, command, submission)))
            }
            Command::Transfer(new) => self.transfer(draft, new, submission),
        }
    }

    /// What is known of a key already, if anything.
    fn kept(&self, draft: &Draft, (key, fingerprint): &(Key, Fingerprint)) -> Option<Decided> {
        if let Some(&(owner, place)) = draft.key_owners.get(key) {
            let first = draft.batch.keys.get(place)?;
            return Some(match first.fingerprint == *fingerprint {
                true => Decided::SameAs(owner),
                false => Decided::Failed(SubmitError::KeyReused),
            });
        }
        let kept = self.state.outcomes.peek(key).or_else(|| self.found.get(key))?;
        Some(match &kept.outcome {
            _ if kept.fingerprint != *fingerprint => Decided::Failed(SubmitError::KeyReused),
            Some(outcome) => Decided::Replay(Arc::clone(outcome)),
            None => Decided::Failed(SubmitError::InProgress),
        })
    }

    /// Adds what only the partition knows to a command.
    fn with_facts(&self, draft: &Draft, id: &WalletId, command: &WalletCommand) -> WalletCommand {
        let WalletCommand::Close(close) = command else { return command.clone() };
        let is_from = |record: &TransferRecord| {
            record.transfer.details().is_some_and(|details| details.from == *id)
        };
        let in_flight = self.state.unfinished.values().any(is_from)
            || draft.batch.started.iter().any(|id| draft.transfers.get(id).is_some_and(is_from));
        WalletCommand::Close(Close { reason: close.reason.clone(), in_flight })
    }

    fn transfer(&self, draft: &mut Draft, new: &NewTransfer, submission: &Submission) -> Decided {
        let leaves = partition_of(&new.to, self.rules.partitions) != draft.batch.partition;
        if leaves && self.state.unfinished.len() + draft.batch.started.len() >= MAX_UNFINISHED {
            return Decided::Failed(SubmitError::Busy);
        }
        let source = &draft.wallet(&new.from).wallet;
        let amount = match Initiate::amount_from(source, new.amount, new.currency) {
            Ok(amount) => amount,
            Err(refusal) => return refused(refusal, None),
        };
        let metadata = submission.metadata(Some(new.transfer_id.0));
        let initiate = TransferCommand::Initiate(Initiate {
            from: new.from.clone(),
            to: new.to.clone(),
            amount,
            metadata: new.metadata.clone(),
        });
        let mut record = TransferRecord::new(new.transfer_id, draft.batch.partition);
        let walked = draft
            .command_transfer(&mut record, initiate, &metadata)
            .and_then(|()| advance(draft, &mut record, None, &metadata, self.rules));
        if let Err(refusal) = walked {
            return refused(refusal, Some(new.transfer_id));
        }
        draft.track(record.clone(), false);
        match record.outcome() {
            Some(outcome) => Decided::Outcome(Arc::new(outcome)),
            None => Decided::InFlight(record),
        }
    }

    fn credit(&self, draft: &mut Draft, index: usize, leg: &CreditLeg) -> Decided {
        let key = Key::of_wallet(&leg.to, RequestId::of_credit(leg.transfer));
        let key = (key, Fingerprint::of_credit());
        if let Some(decided) = self.kept(draft, &key) {
            return decided;
        }
        let command = WalletCommand::Credit(Credit {
            transfer_id: leg.transfer,
            from: leg.from.clone(),
            amount: leg.amount,
            metadata: leg.metadata.clone(),
            opens_unknown: self.rules.auto_open,
        });
        let outcome = match draft.command_wallet(&leg.to, command, &leg.event_metadata) {
            Ok(leg) => Outcome::Accepted(Receipt::Leg(leg)),
            Err(refusal) => Outcome::Refused(Refused {
                transfer_id: Some(leg.transfer),
                ..Refused::because(refusal)
            }),
        };
        let decided = Decided::Outcome(Arc::new(outcome));
        keep(draft, index, &key, &decided, None);
        decided
    }

    fn settle(&self, draft: &mut Draft, id: TransferId, credit: &Result<Leg, Refusal>) -> Decided {
        let under_way = || self.state.unfinished.get(&id).cloned();
        let Some(mut record) = draft.transfers.get(&id).cloned().or_else(under_way) else {
            // Another process took it for abandoned and has settled it. Its client has long been told
            // that it is under way, and finds the outcome under its key.
            return Decided::Failed(SubmitError::Rejected);
        };
        let metadata = Arc::clone(&record.metadata);
        let walked = advance(draft, &mut record, Some(credit.clone()), &metadata, self.rules);
        if walked.is_err() {
            return Decided::Failed(SubmitError::Rejected);
        }
        let outcome = record.told();
        draft.track(record, true);
        Decided::Outcome(Arc::new(outcome))
    }
}

impl Submission {
    /// What is kept with each event of the command.
    fn metadata(&self, correlation_id: Option<Uuid>) -> Arc<str> {
        EventMetadata {
            request_id: self.key.as_ref().map(|(key, _)| key.request_id.as_str().into()),
            correlation_id,
            traceparent: self.origin.traceparent.as_deref().map(Into::into),
            audit_id: self.origin.audit.as_ref().map(Audit::id),
        }
        .to_json()
    }
}

/// Whether the wallet heeds the one in whose name it is asked, if it is in anybody's.
fn heeded(draft: &mut Draft, submission: &Submission) -> Result<(), Refusal> {
    let Some(owner) = &submission.expected_owner else { return Ok(()) };
    let wallet = &draft.wallet(submission.command.wallet()).wallet;
    match &submission.command {
        Command::Wallet { command, .. } => wallet.heeds(owner, command),
        Command::Transfer(_) if wallet.is_of(owner) => Ok(()),
        Command::Transfer(_) => Err(Refusal::WalletNotFound),
    }
}

fn refused(refusal: Refusal, transfer_id: Option<TransferId>) -> Decided {
    let refused = Refused { transfer_id, ..Refused::because(refusal) };
    Decided::Outcome(Arc::new(Outcome::Refused(refused)))
}

/// The transfer that a command put on record.
fn on_record(command: &Command, draft: &Draft) -> Option<TransferId> {
    command.new_transfer().filter(|id| draft.transfers.contains_key(id))
}

/// What a command of a group comes to by itself.
fn outcome_of(decided: Decided) -> Result<Outcome, SubmitError> {
    match decided {
        Decided::Outcome(outcome) => Ok(Arc::unwrap_or_clone(outcome)),
        Decided::Failed(error) => Err(error),
        // Its wallets all lie here, and its commands have no keys of their own.
        Decided::InFlight(_)
        | Decided::Replay(_)
        | Decided::SameAs(_)
        | Decided::Wallet(_)
        | Decided::Transfers(_) => Err(SubmitError::Rejected),
    }
}

/// Keeps the key of a decision that is an outcome, or will be one.
fn keep(
    draft: &mut Draft,
    index: usize,
    (key, fingerprint): &(Key, Fingerprint),
    decided: &Decided,
    transfer: Option<TransferId>,
) {
    let outcome = match decided {
        Decided::Outcome(outcome) if outcome.is_kept() => Some(Arc::clone(outcome)),
        Decided::InFlight(_) => None,
        Decided::Outcome(_)
        | Decided::Replay(_)
        | Decided::SameAs(_)
        | Decided::Failed(_)
        | Decided::Wallet(_)
        | Decided::Transfers(_) => return draft.unkept.push(key.clone()),
    };
    let kept = KeptKey { key: key.clone(), fingerprint: *fingerprint, outcome, transfer };
    draft.keep(kept, index);
}

/// Records the call of a decision by which something is written.
fn record_call(
    draft: &mut Draft,
    before: (usize, usize),
    submission: &Submission,
    decided: &Decided,
) {
    let Some(Audit::Due { entry, status, is_of_many }) = &submission.origin.audit else { return };
    if draft.extent() == before {
        return;
    }
    let mut record = |outcome: &Outcome| draft.record_call(entry, status(outcome), *is_of_many);
    match decided {
        Decided::Outcome(outcome) => record(outcome),
        Decided::InFlight(transfer) => record(&transfer.told()),
        // By these nothing is written.
        Decided::Replay(_)
        | Decided::SameAs(_)
        | Decided::Failed(_)
        | Decided::Wallet(_)
        | Decided::Transfers(_) => {}
    }
}

/// What a wallet's answer is about.
enum About {
    Movement(Direction, TransactionId, RequestedAmount),
    Wallet(Option<TransactionId>),
}

fn wallet_outcome(
    draft: &mut Draft,
    id: &WalletId,
    command: WalletCommand,
    submission: &Submission,
) -> Outcome {
    let about = match &command {
        WalletCommand::Deposit(deposit) => {
            About::Movement(Direction::Deposit, deposit.transaction_id, deposit.amount)
        }
        WalletCommand::Withdraw(withdraw) => {
            About::Movement(Direction::Withdrawal, withdraw.transaction_id, withdraw.amount)
        }
        WalletCommand::Open(open) => About::Wallet(open.initial.map(|(id, _)| id)),
        WalletCommand::Freeze(_)
        | WalletCommand::Unfreeze(_)
        | WalletCommand::Close(_)
        | WalletCommand::Debit(_)
        | WalletCommand::Credit(_)
        | WalletCommand::Refund(_) => About::Wallet(None),
    };
    let correlation = match &about {
        About::Movement(_, id, _) => Some(id.0),
        About::Wallet(id) => id.map(|id| id.0),
    };
    let leg = draft.command_wallet(id, command, &submission.metadata(correlation));
    let receipt = leg.and_then(|leg| receipt(draft, id, &about, &leg));
    match receipt {
        Ok(receipt) => Outcome::Accepted(receipt),
        Err(refusal) => Outcome::Refused(Refused::because(refusal)),
    }
}

fn receipt(draft: &mut Draft, id: &WalletId, about: &About, leg: &Leg) -> Result<Receipt, Refusal> {
    let (partition, now) = (draft.batch.partition, draft.batch.recorded_at);
    let record = draft.wallet(id);
    let state = record.state(id, partition).ok_or(Refusal::WalletNotFound)?;
    let (direction, transaction_id, requested) = match about {
        About::Wallet(_) => return Ok(Receipt::Wallet(state)),
        About::Movement(direction, id, amount) => (*direction, *id, *amount),
    };
    Ok(Receipt::Movement(Movement {
        direction,
        transaction_id,
        wallet_id: id.clone(),
        amount: requested.in_currency(state.account.currency)?,
        balance: leg.balance,
        version: leg.version,
        partition,
        position: leg.position,
        recorded_at: now,
    }))
}

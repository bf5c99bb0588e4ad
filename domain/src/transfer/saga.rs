//! The saga of a transfer, as two pure functions: what to do next, and what its result means.
//!
//! | phase | [`next_step`] | accepted: [`record`] | refused: [`record`] |
//! |---|---|---|---|
//! | Initiated | `Debit` the source | `RecordDebit` | `Fail` |
//! | Debited | `Credit` the target | `Complete` | `Refund` the source and `Compensate` |
//! | Compensated | `Fail` | | |
//! | Completed, Failed | `Done` | | |
//!
//! Every step may be taken again after a crash: the debit and the refund commit together with the
//! event that records them, and the credit is submitted under the key `transfer:<id>:credit`.

use super::{Details, Phase, Transfer, TransferCommand};
use crate::refusal::Refusal;

/// What the driver does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Take the money from the source.
    Debit,
    /// Give the money to the target.
    Credit,
    /// Record that nothing moved.
    Fail(Refusal),
    /// Nothing is left to do.
    Done,
}

/// The step that follows from what is on record.
pub fn next_step(transfer: &Transfer) -> Step {
    let Some(details) = transfer.details() else {
        return Step::Done;
    };
    match details.phase {
        Phase::Initiated if details.from == details.to => Step::Fail(Refusal::SameWallet),
        Phase::Initiated => Step::Debit,
        Phase::Debited => Step::Credit,
        Phase::Compensated => Step::Fail(reason(details)),
        Phase::Completed | Phase::Failed => Step::Done,
    }
}

/// What a step's result means for the transfer. `Compensate` goes with a refund of the source, in
/// the same append.
pub fn record(step: &Step, result: Result<(), Refusal>) -> Option<TransferCommand> {
    match (step, result) {
        (Step::Debit, Ok(())) => Some(TransferCommand::RecordDebit),
        (Step::Debit, Err(refusal)) => Some(TransferCommand::Fail(refusal)),
        (Step::Credit, Ok(())) => Some(TransferCommand::Complete),
        (Step::Credit, Err(refusal)) => Some(TransferCommand::Compensate(refusal)),
        (Step::Fail(refusal), _) => Some(TransferCommand::Fail(refusal.clone())),
        (Step::Done, _) => None,
    }
}

/// Why the transfer was compensated: its event says so.
fn reason(details: &Details) -> Refusal {
    details.refusal.clone().unwrap_or(Refusal::TransferPhase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::{Initiate, TransferEvent};
    use crate::wallet::testing::{amount, id};

    fn walk(to: &str, mut results: Vec<Result<(), Refusal>>) -> (Vec<Step>, Vec<TransferEvent>) {
        results.reverse();
        let (mut transfer, mut steps, mut events) = (Transfer::default(), vec![], vec![]);
        let mut command = Some(TransferCommand::Initiate(Initiate {
            from: id("alice"),
            to: id(to),
            amount: amount("1", "USD"),
            metadata: None,
        }));
        while let Some(next) = command.take() {
            for event in transfer.decide(next).unwrap() {
                transfer.apply_event(&event);
                events.push(event);
            }
            let step = next_step(&transfer);
            let result = match &step {
                Step::Debit | Step::Credit => results.pop().unwrap(),
                Step::Fail(_) | Step::Done => Ok(()),
            };
            command = record(&step, result);
            steps.push(step);
        }
        (steps, events)
    }

    fn names(events: &[TransferEvent]) -> Vec<&'static str> {
        events.iter().map(TransferEvent::name).collect()
    }

    #[test]
    fn accepted_legs_lead_to_completed() {
        let (steps, events) = walk("bob", vec![Ok(()), Ok(())]);
        assert_eq!(steps, [Step::Debit, Step::Credit, Step::Done]);
        let path = ["TransferInitiated", "TransferDebited", "TransferCompleted"];
        assert_eq!(names(&events), path);
    }

    #[test]
    fn a_refused_credit_leads_to_failed_by_way_of_compensated() {
        let refusal = Refusal::WalletClosed;
        let (steps, events) = walk("bob", vec![Ok(()), Err(refusal.clone())]);
        assert_eq!(
            steps,
            [
                Step::Debit,
                Step::Credit,
                Step::Fail(refusal.clone()),
                Step::Done
            ]
        );
        let path = [
            "TransferInitiated",
            "TransferDebited",
            "TransferCompensated",
            "TransferFailed",
        ];
        assert_eq!(names(&events), path);
        assert_eq!(events[3], TransferEvent::TransferFailed { reason: refusal });
    }

    #[test]
    fn a_refused_debit_leads_straight_to_failed() {
        let (steps, events) = walk("bob", vec![Err(Refusal::WalletFrozen)]);
        assert_eq!(steps, [Step::Debit, Step::Done]);
        assert_eq!(names(&events), ["TransferInitiated", "TransferFailed"]);
    }

    #[test]
    fn a_transfer_to_oneself_fails_without_a_step() {
        let (steps, events) = walk("alice", vec![]);
        assert_eq!(steps, [Step::Fail(Refusal::SameWallet), Step::Done]);
        assert_eq!(names(&events), ["TransferInitiated", "TransferFailed"]);
    }

    #[test]
    fn a_transfer_that_never_was_has_no_next_step() {
        assert_eq!(next_step(&Transfer::default()), Step::Done);
    }
}

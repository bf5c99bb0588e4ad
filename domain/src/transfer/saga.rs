//! The saga of a transfer, as pure functions: what to do next, and what its result means.
//!
//! | phase | [`next_step`] | accepted | refused |
//! |---|---|---|---|
//! | Initiated | `Debit` the source | `RecordDebit` | `Fail` |
//! | Debited | `Credit` the target | `Complete` | refund the source and `Compensate` |
//! | Compensated | `Fail` | | |
//! | Completed, Failed | `Done` | | |
//!
//! Every step may be taken again after a crash: the debit and the refund commit together with the
//! event that records them, and the credit is submitted under the key `transfer:<id>:credit`.

use super::{Leg, Phase, Transfer, TransferCommand};
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
    let Some(details) = transfer.details() else { return Step::Done };
    match details.phase {
        Phase::Initiated if details.from == details.to => Step::Fail(Refusal::SameWallet),
        Phase::Initiated => Step::Debit,
        Phase::Debited => Step::Credit,
        Phase::Compensated => Step::Fail(details.refusal.clone().unwrap_or(Refusal::TransferPhase)),
        Phase::Completed | Phase::Failed => Step::Done,
    }
}

/// What the source's answer to the debit means for the transfer.
pub fn after_debit(debit: Result<Leg, Refusal>) -> TransferCommand {
    match debit {
        Ok(leg) => TransferCommand::RecordDebit(leg),
        Err(refusal) => TransferCommand::Fail(refusal),
    }
}

/// What the target's answer to the credit means for the transfer. `Compensate` goes with a refund of
/// the source, in the same append.
pub fn after_credit(credit: Result<Leg, Refusal>) -> TransferCommand {
    match credit {
        Ok(leg) => TransferCommand::Complete(leg),
        Err(refusal) => TransferCommand::Compensate(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::{Initiate, TransferEvent};
    use crate::wallet::testing::{amount, id};

    fn leg() -> Leg {
        Leg { balance: 1.into(), version: 3, partition: 0, position: 7 }
    }

    /// Walks from `alice` with the answers to debit and credit; gives the steps and the events.
    fn walk(
        to: &str,
        debit: &Result<Leg, Refusal>,
        credit: &Result<Leg, Refusal>,
    ) -> (Vec<Step>, Vec<&'static str>) {
        let (mut transfer, mut steps, mut events) = (Transfer::default(), vec![], vec![]);
        let (from, to) = (id("alice"), id(to));
        let initiate = Initiate { from, to, amount: amount("1", "USD"), metadata: None };
        let mut command = TransferCommand::Initiate(initiate);
        loop {
            for event in transfer.decide(command).unwrap() {
                transfer.apply_event(&event);
                events.push(TransferEvent::name(&event));
            }
            let step = next_step(&transfer);
            steps.push(step.clone());
            command = match step {
                Step::Debit => after_debit(debit.clone()),
                Step::Credit => after_credit(credit.clone()),
                Step::Fail(refusal) => TransferCommand::Fail(refusal),
                Step::Done => return (steps, events),
            };
        }
    }

    #[test]
    fn accepted_legs_lead_to_completed() {
        let (steps, events) = walk("bob", &Ok(leg()), &Ok(leg()));
        assert_eq!(steps, [Step::Debit, Step::Credit, Step::Done]);
        assert_eq!(events, ["TransferInitiated", "TransferDebited", "TransferCompleted"]);
    }

    #[test]
    fn a_refused_credit_leads_to_failed_by_way_of_compensated() {
        let refusal = Refusal::WalletClosed;
        let (steps, events) = walk("bob", &Ok(leg()), &Err(refusal.clone()));
        assert_eq!(steps, [Step::Debit, Step::Credit, Step::Fail(refusal), Step::Done]);
        let path =
            ["TransferInitiated", "TransferDebited", "TransferCompensated", "TransferFailed"];
        assert_eq!(events, path);
    }

    #[test]
    fn a_refused_debit_leads_straight_to_failed() {
        let (steps, events) = walk("bob", &Err(Refusal::WalletFrozen), &Ok(leg()));
        assert_eq!(steps, [Step::Debit, Step::Done]);
        assert_eq!(events, ["TransferInitiated", "TransferFailed"]);
    }

    #[test]
    fn a_transfer_to_oneself_fails_without_a_step() {
        let (steps, events) = walk("alice", &Ok(leg()), &Ok(leg()));
        assert_eq!(steps, [Step::Fail(Refusal::SameWallet), Step::Done]);
        assert_eq!(events, ["TransferInitiated", "TransferFailed"]);
    }

    #[test]
    fn a_transfer_that_never_was_has_no_next_step() {
        assert_eq!(next_step(&Transfer::default()), Step::Done);
    }
}

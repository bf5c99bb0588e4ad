//! A transaction as commands of the ledger, and what its answers mean for the transaction.
//!
//! | | top-up | transfer | key, in the wallet that the command is of |
//! |---|---|---|---|
//! | applied | deposit | transfer | `intake:<id>:completed` |
//! | reversed | withdrawal | transfer the other way | `intake:<id>:reversal-<attempt>` |
//!
//! A command is made of the row alone, so that it is the same whoever sends it, and how often. The
//! ledger keeps the first outcome of a key, refusals included: so a refused attempt to reverse is over,
//! and the next one has another key.

use florin_application::command::{Intake, NewTransfer, Outcome, Receipt, RequestId};
use florin_application::{Answer, Command, Origin, Request, SubmitError};
use florin_domain::transfer::Phase;
use florin_domain::wallet::{Deposit, Withdraw};
use florin_domain::{
    Metadata, Refusal, RequestedAmount, TransactionId, TransferId, WalletCommand, WalletId,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::read::Instruction;
use super::row::Row;

/// What the ledger said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The money moved: the deposit, withdrawal or transfer.
    Moved(Uuid),
    /// It does not, and never will under this key.
    Refused(Refusal),
    /// Nothing yet.
    NotYet(String),
    /// The key is in use for something else, which it cannot be: a defect.
    Never(String),
}

/// Moves the money of a transaction.
pub(super) fn applied(row: &Row, asked: &Instruction) -> Request {
    let metadata = about([("transactionId", row.transaction.as_str().into())]);
    let command = match &asked.from {
        None => Command::Wallet {
            id: asked.to.clone(),
            id_is_new: false,
            command: WalletCommand::Deposit(Deposit {
                transaction_id: TransactionId(Uuid::now_v7()),
                amount: asked.amount,
                currency: None,
                metadata,
                // Its user is known.
                opens_unknown: false,
                owner: None,
            }),
        },
        Some(from) => transfer(from, &asked.to, asked.amount, metadata),
    };
    request(row, Intake::Completed, command)
}

/// Moves the money of a transaction back.
pub(super) fn reversed(row: &Row, asked: &Instruction) -> Request {
    let movement = row.movement.map_or(Value::Null, |id| id.to_string().into());
    let metadata =
        about([("transactionId", row.transaction.as_str().into()), ("reverses", movement)]);
    let command = match &asked.from {
        None => Command::Wallet {
            id: asked.to.clone(),
            id_is_new: false,
            command: WalletCommand::Withdraw(Withdraw {
                transaction_id: TransactionId(Uuid::now_v7()),
                amount: asked.amount,
                currency: None,
                metadata,
            }),
        },
        Some(from) => transfer(&asked.to, from, asked.amount, metadata),
    };
    request(row, Intake::Reversal(row.reversals), command)
}

fn transfer(
    from: &WalletId,
    to: &WalletId,
    amount: RequestedAmount,
    metadata: Option<Metadata>,
) -> Command {
    Command::Transfer(NewTransfer {
        transfer_id: TransferId(Uuid::now_v7()),
        from: from.clone(),
        to: to.clone(),
        amount,
        currency: None,
        metadata,
    })
}

fn request(row: &Row, step: Intake, command: Command) -> Request {
    Request {
        command,
        request_id: Some(RequestId::of_intake(row.transaction.as_str(), step)),
        expected_version: None,
        expected_owner: None,
        origin: Origin::default(),
    }
}

/// What is kept with the events. Ids are far shorter than the most that metadata may have.
fn about<const N: usize>(fields: [(&str, Value); N]) -> Option<Metadata> {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    Metadata::new(fields.collect::<Map<String, Value>>()).ok()
}

/// Why the ledger has no outcome for a command.
pub(super) enum NoOutcome {
    /// The key is in use for something else.
    KeyReused(String),
    /// There may be one yet.
    NotYet(String),
}

/// What came of a command; nothing was answered if no answer came in time.
pub(super) fn outcome(answered: Option<Result<Answer, SubmitError>>) -> Result<Outcome, NoOutcome> {
    match answered {
        Some(Ok(answer)) => Ok(answer.outcome),
        Some(Err(error @ SubmitError::KeyReused)) => Err(NoOutcome::KeyReused(error.to_string())),
        Some(Err(
            error @ (SubmitError::InProgress
            | SubmitError::VersionMismatch { .. }
            | SubmitError::Apart { .. }
            | SubmitError::Busy
            | SubmitError::Unavailable
            | SubmitError::Rejected),
        )) => Err(NoOutcome::NotYet(error.to_string())),
        None => Err(NoOutcome::NotYet("the ledger did not answer in time".to_owned())),
    }
}

/// What it means for a transaction.
pub(super) fn said(answered: Option<Result<Answer, SubmitError>>) -> Said {
    match outcome(answered) {
        Ok(Outcome::Refused(refused)) => Said::Refused(refused.refusal),
        Ok(Outcome::Accepted(receipt)) => moved(&receipt),
        Err(NoOutcome::KeyReused(why)) => Said::Never(why),
        Err(NoOutcome::NotYet(why)) => Said::NotYet(why),
    }
}

fn moved(receipt: &Receipt) -> Said {
    match receipt {
        Receipt::Movement(movement) => Said::Moved(movement.transaction_id.0),
        Receipt::Transfer(receipt) => match receipt.phase {
            Phase::Completed => Said::Moved(receipt.transfer_id.0),
            Phase::Initiated | Phase::Debited | Phase::Compensated | Phase::Failed => {
                Said::NotYet("the transfer is under way".to_owned())
            }
        },
        Receipt::Wallet(_) | Receipt::Leg(_) | Receipt::All(_) => {
            Said::Never("the ledger answered to something else".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use florin_application::command::Refused;
    use florin_application::fingerprint::Fingerprint;

    use super::super::row::State;
    use super::super::row::tests::{asked, transaction};
    use super::*;

    fn key(request: &Request) -> &str {
        request.request_id.as_ref().unwrap().as_str()
    }

    #[test]
    fn a_command_is_the_same_however_often_it_is_made() {
        let row = transaction(State::Open, None);
        for asked in [asked(None, "bob", "5"), asked(Some("alice"), "bob", "5")] {
            for make in [applied, reversed] {
                let (one, other) = (make(&row, &asked), make(&row, &asked));
                assert_eq!(key(&one), key(&other));
                assert_eq!(Fingerprint::of(&one.command), Fingerprint::of(&other.command));
            }
        }
    }

    #[test]
    fn each_attempt_to_reverse_has_a_key_of_its_own() {
        let mut row = transaction(State::Completed, Some("why"));
        let asked = asked(Some("alice"), "bob", "5");
        assert_eq!(key(&applied(&row, &asked)), "intake:t-1:completed");
        let reversal = reversed(&row, &asked);
        assert_eq!(key(&reversal), "intake:t-1:reversal-1");
        assert_eq!(reversal.command.wallet().as_str(), "bob", "the money comes from there");
        row.reversals = 2;
        assert_eq!(key(&reversed(&row, &asked)), "intake:t-1:reversal-2");
    }

    #[test]
    fn a_refusal_is_the_end_and_trouble_is_not() {
        let refusal = Refusal::WalletFrozen;
        let outcome = Outcome::Refused(Refused::because(refusal.clone()));
        let answer = Answer { outcome, replayed: false };
        assert_eq!(said(Some(Ok(answer))), Said::Refused(refusal));
        for error in [SubmitError::Busy, SubmitError::Unavailable, SubmitError::InProgress] {
            assert_eq!(said(Some(Err(error.clone()))), Said::NotYet(error.to_string()));
        }
        assert!(matches!(said(Some(Err(SubmitError::KeyReused))), Said::Never(_)));
        assert!(matches!(said(None), Said::NotYet(_)));
    }
}

//! The saga within one partition: steps are taken for as long as the wallet of the next one lives
//! here, and all their events go into one append.
//!
//! With one partition a transfer is therefore atomic, and its stream still tells the whole path.
//! When the target lives in another partition the draft ends with the money in flight, and the
//! saga's driver brings back what became of the credit.

use std::sync::Arc;

use florin_domain::transfer::saga::{Step, after_credit, after_debit, next_step};
use florin_domain::transfer::{Details, Leg};
use florin_domain::wallet::{Credit, Debit, Refund};
use florin_domain::{Refusal, TransferCommand, TransferId, WalletCommand, partition_of};

use super::draft::Draft;
use crate::journal::TransferRecord;

/// The longest path has four steps; the bound is against a saga that does not move.
const MAX_STEPS: usize = 8;

/// The rules of a ledger that a transfer needs.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) partitions: u32,
    pub(super) auto_open: bool,
}

/// Takes the saga as far as it goes here. `settled` is what another partition answered to the
/// credit, once it has. Afterwards the transfer has ended, or its money is in flight.
///
/// # Errors
/// The refusal of a command that the saga should not have come to: a defect.
pub(super) fn advance(
    draft: &mut Draft,
    transfer: &mut TransferRecord,
    mut settled: Option<Result<Leg, Refusal>>,
    metadata: &Arc<str>,
    rules: Rules,
) -> Result<(), Refusal> {
    for _ in 0..MAX_STEPS {
        let details = transfer.transfer.details().ok_or(Refusal::TransferPhase)?.clone();
        let command = match next_step(&transfer.transfer) {
            Step::Debit => {
                let debit = debit_of(transfer.id, &details);
                after_debit(draft.command_wallet(&details.from, debit, metadata))
            }
            Step::Credit => {
                let is_here = partition_of(&details.to, rules.partitions) == draft.batch.partition;
                let leg = match settled.take() {
                    Some(leg) => leg,
                    None if is_here => {
                        let credit = credit_of(transfer.id, &details, rules.auto_open);
                        draft.command_wallet(&details.to, credit, metadata)
                    }
                    None => return Ok(()),
                };
                after_credit(leg)
            }
            Step::Fail(refusal) => TransferCommand::Fail(refusal),
            Step::Done => return Ok(()),
        };
        if let TransferCommand::Compensate(_) = command {
            draft.command_wallet(&details.from, refund_of(transfer.id, &details), metadata)?;
        }
        draft.command_transfer(transfer, command, metadata)?;
    }
    Err(Refusal::TransferPhase)
}

fn debit_of(transfer_id: TransferId, details: &Details) -> WalletCommand {
    WalletCommand::Debit(Debit {
        transfer_id,
        to: details.to.clone(),
        amount: details.amount,
        metadata: details.metadata.clone(),
    })
}

fn credit_of(transfer_id: TransferId, details: &Details, opens_unknown: bool) -> WalletCommand {
    WalletCommand::Credit(Credit {
        transfer_id,
        from: details.from.clone(),
        amount: details.amount,
        metadata: details.metadata.clone(),
        opens_unknown,
    })
}

fn refund_of(transfer_id: TransferId, details: &Details) -> WalletCommand {
    WalletCommand::Refund(Refund { transfer_id, to: details.to.clone(), amount: details.amount })
}

//! The Transfer aggregate: the path of one amount from a source wallet to a target wallet.
//!
//! ```text
//! Initiated ──debit──▶ Debited ──credit──▶ Completed
//!     │                   └─credit refused─▶ Compensated ──▶ Failed
//!     └──debit refused────────────────────────────────────▶ Failed
//! ```
//!
//! The stream lives in the partition of the source wallet. `TransferDebited` is written together
//! with the source's `FundsDebited`, `TransferCompensated` together with its `FundsRefunded`: so the
//! money is in exactly one place at every position. What to do next is [`saga::next_step`].

mod event;
mod initiate;
pub mod saga;

pub use event::TransferEvent;
pub use initiate::Initiate;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::schemas::BalanceText;
use crate::ids::WalletId;
use crate::metadata::Metadata;
use crate::money::Amount;
use crate::refusal::Refusal;

/// What can be asked of a transfer. All but `Initiate` record what the saga's last step led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferCommand {
    /// Begins it.
    Initiate(Initiate),
    /// The source was debited.
    RecordDebit(Leg),
    /// The target was credited.
    Complete(Leg),
    /// The target refused, the source has its money back.
    Compensate(Refusal),
    /// It moved nothing.
    Fail(Refusal),
}

/// What a transfer did to one of its wallets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leg {
    /// What the wallet holds afterwards.
    #[schemars(with = "BalanceText")]
    pub balance: Decimal,
    /// The wallet's version afterwards.
    #[schemars(range(min = 1))]
    pub version: u64,
    /// Where the wallet's event lies.
    pub partition: u32,
    /// Where the wallet's event is.
    #[schemars(range(min = 1))]
    pub position: u64,
}

/// How far a transfer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Recorded, nothing moved.
    Initiated,
    /// The money is in flight.
    Debited,
    /// The money has arrived.
    Completed,
    /// The money is back.
    Compensated,
    /// Ended without effect.
    Failed,
}

/// A transfer that was initiated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The source.
    pub from: WalletId,
    /// The target.
    pub to: WalletId,
    /// How much.
    pub amount: Amount,
    /// What the client attached.
    pub metadata: Option<Metadata>,
    /// How far it came.
    pub phase: Phase,
    /// What it did to the source, once it has.
    pub debit: Option<Leg>,
    /// What it did to the target, once it has.
    pub credit: Option<Leg>,
    /// Why it is not to be completed, once that is known.
    pub refusal: Option<Refusal>,
}

/// The state of one transfer; [`Default`] is a transfer that was never initiated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    details: Option<Details>,
}

impl Transfer {
    /// The initiated transfer, or `None` when it never was.
    pub fn details(&self) -> Option<&Details> {
        self.details.as_ref()
    }

    /// What follows from a command: one event, or the reason why not.
    ///
    /// # Errors
    /// [`Refusal::TransferPhase`] when the transfer is not where the command needs it.
    pub fn decide(&self, command: TransferCommand) -> Result<Vec<TransferEvent>, Refusal> {
        let phase = self.details().map(|details| details.phase);
        let event = match (phase, command) {
            (None, TransferCommand::Initiate(initiate)) => initiate.into_event(),
            (Some(Phase::Initiated), TransferCommand::RecordDebit(leg)) => {
                TransferEvent::TransferDebited(leg)
            }
            (Some(Phase::Debited), TransferCommand::Complete(leg)) => {
                TransferEvent::TransferCompleted(leg)
            }
            (Some(Phase::Debited), TransferCommand::Compensate(reason)) => {
                TransferEvent::TransferCompensated { reason }
            }
            (Some(Phase::Initiated | Phase::Compensated), TransferCommand::Fail(reason)) => {
                TransferEvent::TransferFailed { reason }
            }
            (
                _,
                TransferCommand::Initiate(_)
                | TransferCommand::RecordDebit(_)
                | TransferCommand::Complete(_)
                | TransferCommand::Compensate(_)
                | TransferCommand::Fail(_),
            ) => return Err(Refusal::TransferPhase),
        };
        Ok(vec![event])
    }

    /// Takes a fact into the state. Events of a stream come in order, the first one initiates.
    pub fn apply_event(&mut self, event: &TransferEvent) {
        if let TransferEvent::TransferInitiated { from, to, amount, currency, metadata } = event {
            self.details = Some(Details {
                from: from.clone(),
                to: to.clone(),
                amount: Amount::recorded(*amount, *currency),
                debit: None,
                credit: None,
                metadata: metadata.clone(),
                phase: Phase::Initiated,
                refusal: None,
            });
        }
        let Some(details) = &mut self.details else {
            return;
        };
        details.phase = match event {
            TransferEvent::TransferInitiated { .. } => Phase::Initiated,
            TransferEvent::TransferDebited(leg) => {
                details.debit = Some(leg.clone());
                Phase::Debited
            }
            TransferEvent::TransferCompleted(leg) => {
                details.credit = Some(leg.clone());
                Phase::Completed
            }
            TransferEvent::TransferCompensated { reason } => {
                details.refusal = Some(reason.clone());
                Phase::Compensated
            }
            TransferEvent::TransferFailed { reason } => {
                details.refusal = Some(reason.clone());
                Phase::Failed
            }
        };
    }
}

impl Aggregate for Transfer {
    const TYPE: &'static str = "Transfer";
    type Command = TransferCommand;
    type Event = TransferEvent;
    type Error = Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: TransferCommand,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refusal> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: TransferEvent) {
        self.apply_event(&event);
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;
    use crate::wallet::testing::{amount, id};

    fn transfer() -> TestFramework<Transfer> {
        TestFramework::with(())
    }

    fn initiate() -> Initiate {
        Initiate { from: id("alice"), to: id("bob"), amount: amount("2", "USD"), metadata: None }
    }

    fn leg() -> Leg {
        Leg { balance: 1.into(), version: 3, partition: 0, position: 7 }
    }

    fn initiated() -> TransferEvent {
        initiate().into_event()
    }

    fn path(phase: Phase) -> Vec<TransferEvent> {
        let reason = Refusal::WalletClosed;
        let mut path = vec![initiated()];
        match phase {
            Phase::Initiated => {}
            Phase::Debited => path.push(TransferEvent::TransferDebited(leg())),
            Phase::Completed => {
                path.extend([
                    TransferEvent::TransferDebited(leg()),
                    TransferEvent::TransferCompleted(leg()),
                ]);
            }
            Phase::Compensated => path.extend([
                TransferEvent::TransferDebited(leg()),
                TransferEvent::TransferCompensated { reason },
            ]),
            Phase::Failed => path.push(TransferEvent::TransferFailed { reason }),
        }
        path
    }

    #[test]
    fn a_transfer_begins_once() {
        transfer()
            .given_no_previous_events()
            .when(TransferCommand::Initiate(initiate()))
            .then_expect_events(vec![initiated()]);
        transfer()
            .given(vec![initiated()])
            .when(TransferCommand::Initiate(initiate()))
            .then_expect_error(Refusal::TransferPhase);
    }

    #[test]
    fn the_straight_way_is_debited_then_completed() {
        transfer()
            .given(path(Phase::Initiated))
            .when(TransferCommand::RecordDebit(leg()))
            .then_expect_events(vec![TransferEvent::TransferDebited(leg())]);
        transfer()
            .given(path(Phase::Debited))
            .when(TransferCommand::Complete(leg()))
            .then_expect_events(vec![TransferEvent::TransferCompleted(leg())]);
    }

    #[test]
    fn a_refused_credit_is_compensated_and_then_failed() {
        let reason = Refusal::WalletClosed;
        transfer()
            .given(path(Phase::Debited))
            .when(TransferCommand::Compensate(reason.clone()))
            .then_expect_events(vec![TransferEvent::TransferCompensated {
                reason: reason.clone(),
            }]);
        transfer()
            .given(path(Phase::Compensated))
            .when(TransferCommand::Fail(reason.clone()))
            .then_expect_events(vec![TransferEvent::TransferFailed { reason }]);
    }

    #[test]
    fn a_refused_debit_fails_at_once() {
        transfer()
            .given(path(Phase::Initiated))
            .when(TransferCommand::Fail(Refusal::WalletFrozen))
            .then_expect_events(vec![TransferEvent::TransferFailed {
                reason: Refusal::WalletFrozen,
            }]);
    }

    #[test]
    fn every_other_step_is_refused_in_every_phase() {
        let commands = || {
            [
                TransferCommand::RecordDebit(leg()),
                TransferCommand::Complete(leg()),
                TransferCommand::Compensate(Refusal::WalletClosed),
                TransferCommand::Fail(Refusal::WalletClosed),
            ]
        };
        let allowed = |phase, command: &TransferCommand| match command {
            TransferCommand::Initiate(_) => false,
            TransferCommand::RecordDebit(_) => phase == Phase::Initiated,
            TransferCommand::Complete(_) | TransferCommand::Compensate(_) => {
                phase == Phase::Debited
            }
            TransferCommand::Fail(_) => matches!(phase, Phase::Initiated | Phase::Compensated),
        };
        let phases =
            [Phase::Initiated, Phase::Debited, Phase::Completed, Phase::Compensated, Phase::Failed];
        for phase in phases {
            for command in commands().into_iter().filter(|command| !allowed(phase, command)) {
                transfer()
                    .given(path(phase))
                    .when(command)
                    .then_expect_error(Refusal::TransferPhase);
            }
        }
        for command in commands() {
            transfer()
                .given_no_previous_events()
                .when(command)
                .then_expect_error(Refusal::TransferPhase);
        }
    }
}

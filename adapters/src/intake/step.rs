//! What becomes of a transaction when something was tried for it: its next state, what other services
//! are told, and whether operators are to decide.

use uuid::Uuid;

use super::Patience;
use super::commands::Said;
use super::contract::FinalStatus;
use super::read::TransactionRef;
use super::row::{Row, State};
use crate::http::refusal::code;
use crate::operations::Retries;

/// What is to be put on record. It counts only if the row is still as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) transaction: TransactionRef,
    /// As the row was.
    pub(super) was: State,
    pub(super) reversals: u32,
    /// As it will be; the same as before if nothing came of it.
    pub(super) state: State,
    /// The deposit, withdrawal or transfer that was made.
    pub(super) movement: Option<Uuid>,
    /// What other services are told.
    pub(super) told: Option<(FinalStatus, Option<String>)>,
    /// Why nothing came of it.
    pub(super) error: Option<String>,
    /// What becomes of the message.
    pub(super) then: Then,
}

/// What becomes of the message by which a step was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Its transaction is looked at once more: there may be another step.
    Look,
    /// It comes again later.
    Later,
    /// It is set aside for operators.
    Aside,
}

/// How one of its users is, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// The user may sign up yet.
    Unknown(String),
    /// The wallet of that id is somebody else's, and will be.
    SomebodyElses(String),
    /// The ledger did not say.
    Unclear(String),
}

impl Step {
    /// It failed before anything was done.
    pub(super) fn failed(row: &Row, reason: &str) -> Self {
        let told = Some((FinalStatus::Failed, Some(reason.to_owned())));
        Self { told, ..Self::to(row, State::Failed, Then::Look) }
    }

    /// Its users are waited for, as long as that may take.
    pub(super) fn waited(row: &Row, missing: Missing, patience: &Patience) -> Self {
        match missing {
            // The tries count both, so that both have the same bound.
            Missing::Unknown(why) | Missing::Unclear(why) => Self::tried(row, why, &patience.users),
            Missing::SomebodyElses(why) => Self::aside(row, State::Waiting, why),
        }
    }

    /// Its money was to be moved.
    pub(super) fn applied(row: &Row, said: Said, patience: &Patience) -> Self {
        match said {
            Said::Moved(movement) => Self {
                movement: Some(movement),
                told: Some((FinalStatus::Completed, None)),
                ..Self::to(row, State::Completed, Then::Look)
            },
            // What the wallet holds is told to its owner, and to nobody else.
            Said::Refused(refusal) => Self {
                told: Some((FinalStatus::Failed, Some(code(&refusal).to_owned()))),
                error: Some(refusal.to_string()),
                ..Self::to(row, State::Refused, Then::Look)
            },
            Said::NotYet(why) => Self::tried(row, why, &patience.ledger),
            Said::Never(why) => Self::aside(row, State::Open, why),
        }
    }

    /// Its money was to be moved back.
    pub(super) fn reversed(row: &Row, reason: &str, said: Said, patience: &Patience) -> Self {
        match said {
            Said::Moved(movement) => Self {
                movement: Some(movement),
                told: Some((FinalStatus::Failed, Some(reason.to_owned()))),
                ..Self::to(row, State::Reversed, Then::Look)
            },
            Said::Refused(refusal) => {
                Self::aside(row, State::Stuck, format!("it cannot be reversed now: {refusal}"))
            }
            Said::NotYet(why) => Self::tried(row, why, &patience.ledger),
            Said::Never(why) => Self::aside(row, State::Stuck, why),
        }
    }

    /// It came to nothing, and is tried again unless that was the last time.
    fn tried(row: &Row, why: String, retries: &Retries) -> Self {
        match row.tries + 1 >= retries.max_attempts {
            true => Self::aside(row, row.state, why),
            false => Self { error: Some(why), ..Self::to(row, row.state, Then::Later) },
        }
    }

    fn aside(row: &Row, state: State, why: String) -> Self {
        Self { error: Some(why), ..Self::to(row, state, Then::Aside) }
    }

    fn to(row: &Row, state: State, then: Then) -> Self {
        Self {
            transaction: row.transaction.clone(),
            was: row.state,
            reversals: row.reversals,
            state,
            movement: None,
            told: None,
            error: None,
            then,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use florin_domain::Refusal;

    use super::super::row::tests::transaction;
    use super::*;

    const RETRIES: Retries =
        Retries { max_attempts: 3, backoff: (Duration::from_secs(1), Duration::from_secs(3)) };
    const PATIENCE: Patience = Patience { users: RETRIES, ledger: RETRIES };

    fn refusal() -> Refusal {
        Refusal::InsufficientFunds {
            available: "7.77".parse().unwrap(),
            requested: 8.into(),
            currency: "USD".parse().unwrap(),
        }
    }

    #[test]
    fn what_a_wallet_holds_is_not_told_to_other_services() {
        let row = transaction(State::Open, None);
        let step = Step::applied(&row, Said::Refused(refusal()), &PATIENCE);
        assert_eq!(step.state, State::Refused);
        let (status, reason) = step.told.unwrap();
        assert_eq!((status, &*reason.unwrap()), (FinalStatus::Failed, "insufficient-funds"));
        assert!(step.error.unwrap().contains("7.77"), "operators know");
    }

    #[test]
    fn a_reversal_that_is_refused_is_for_operators_and_tells_nobody_else() {
        let row = transaction(State::Completed, Some("why"));
        let step = Step::reversed(&row, "why", Said::Refused(refusal()), &PATIENCE);
        assert_eq!((step.state, step.then, step.told), (State::Stuck, Then::Aside, None));
    }

    #[test]
    fn what_comes_to_nothing_is_tried_again_and_in_the_end_set_aside_as_it_is() {
        let mut row = transaction(State::Waiting, None);
        let wait = |row: &Row| Step::waited(row, Missing::Unknown("who".to_owned()), &PATIENCE);
        for (tries, then) in [(0, Then::Later), (1, Then::Later), (2, Then::Aside)] {
            row.tries = tries;
            let step = wait(&row);
            assert_eq!((step.state, step.then, step.told), (State::Waiting, then, None));
        }
        row.state = State::Open;
        let step = Step::applied(&row, Said::NotYet("busy".to_owned()), &PATIENCE);
        assert_eq!((step.state, step.then), (State::Open, Then::Aside));
    }

    #[test]
    fn a_wallet_of_somebody_else_is_waited_for_by_nobody() {
        let row = transaction(State::Waiting, None);
        let missing = Missing::SomebodyElses("whose".to_owned());
        assert_eq!(Step::waited(&row, missing, &PATIENCE).then, Then::Aside);
    }
}

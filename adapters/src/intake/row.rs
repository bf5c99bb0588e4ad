//! A transaction as it lies in its table, and what is to be done next: the whole of what makes it right
//! whichever of its messages comes first, and how often.
//!
//! | state | its failure has come | next |
//! |---|---|---|
//! | waiting | no | its users are waited for |
//! | waiting | yes | it fails: nothing was done |
//! | open | no, yes | its money is moved, or it is seen that it was: somebody may have begun |
//! | completed | no | nothing |
//! | completed | yes | its money is moved back |
//! | refused, failed, reversed, stuck | | nothing |

use florin_domain::WalletId;
use rust_decimal::Decimal;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::contract::TransactionKind;
use super::read::{Instruction, TransactionRef};
use crate::operations::corrupt;

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing was begun: a user is unknown, or it failed before it was completed.
    Waiting,
    /// Somebody may have begun to move its money.
    Open,
    /// Its money was moved.
    Completed,
    /// The ledger refused to move it.
    Refused,
    /// It failed before anything was done.
    Failed,
    /// Its money was moved back.
    Reversed,
    /// The ledger refused to move it back: operators decide.
    Stuck,
}

impl State {
    const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Open,
        Self::Completed,
        Self::Refused,
        Self::Failed,
        Self::Reversed,
        Self::Stuck,
    ];

    /// As it is stored.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Open => "open",
            Self::Completed => "completed",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Reversed => "reversed",
            Self::Stuck => "stuck",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) transaction: TransactionRef,
    /// What kind it is, as far as anybody has said.
    pub(super) kind: Option<TransactionKind>,
    /// What is asked; nothing if it failed first.
    pub(super) asked: Option<Instruction>,
    /// Why it failed, once that has come.
    pub(super) failure: Option<String>,
    pub(super) state: State,
    /// How often in a row it came to nothing.
    pub(super) tries: u32,
    /// Which attempt to reverse it is next, or was the last.
    pub(super) reversals: u32,
    /// The deposit or transfer that moved its money.
    pub(super) movement: Option<Uuid>,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next<'r> {
    /// It is as it should be.
    Nothing,
    /// Its users are waited for.
    Wait,
    /// It failed before anything was done.
    Fail(&'r str),
    /// Its money is moved.
    Apply(&'r Instruction),
    /// Its money is moved back.
    Reverse(&'r Instruction, &'r str),
}

impl Row {
    pub(super) fn next(&self) -> Next<'_> {
        match (self.state, &self.asked, &self.failure) {
            (State::Waiting, _, Some(reason)) => Next::Fail(reason),
            (State::Waiting, _, None) => Next::Wait,
            (State::Open, Some(asked), _) => Next::Apply(asked),
            (State::Completed, Some(asked), Some(reason)) => Next::Reverse(asked, reason),
            // Nobody opens what nobody asked for.
            (State::Open | State::Completed, _, _)
            | (State::Refused | State::Failed | State::Reversed | State::Stuck, _, _) => {
                Next::Nothing
            }
        }
    }

    /// In what another message of the same id differs; nothing differs from a transaction that failed
    /// before anybody asked.
    pub(super) fn difference(&self, other: &Instruction) -> Option<String> {
        let asked = self.asked.as_ref()?;
        let name = |id: &Option<WalletId>| match id {
            Some(id) => id.to_string(),
            None => "nobody".to_owned(),
        };
        let differences = [
            ("type", asked.kind().name().to_owned(), other.kind().name().to_owned()),
            ("sender", name(&asked.from), name(&other.from)),
            ("receiver", asked.to.to_string(), other.to.to_string()),
            ("amount", asked.amount.value().to_string(), other.amount.value().to_string()),
        ];
        let texts: Vec<String> = differences
            .iter()
            .filter(|(_, before, now)| before != now)
            .map(|(name, before, now)| format!("{name} was {before} and is {now}"))
            .collect();
        let differs = !texts.is_empty();
        differs
            .then(|| format!("another message of this transaction differs: {}", texts.join(", ")))
    }

    /// In what a failure differs from the transaction that it is of.
    pub(super) fn other_kind(&self, kind: Option<TransactionKind>) -> Option<String> {
        let (ours, theirs) = (self.kind?, kind?);
        let text = || format!("the transaction is a {}, and not a {}", ours.name(), theirs.name());
        (ours != theirs).then(text)
    }
}

/// What [`row`] reads, of a table `t`.
pub(super) const COLUMNS: &str = "t.transaction_id, t.kind, t.sender, t.receiver, t.amount, t.failure, \
     t.state, t.tries, t.reversals, t.movement";

/// The transaction in a row of [`COLUMNS`].
pub(super) fn row(row: &PgRow) -> Result<Row, sqlx::Error> {
    let state: String = row.try_get("state")?;
    let id: String = row.try_get("transaction_id")?;
    let kind: Option<String> = row.try_get("kind")?;
    Ok(Row {
        transaction: id.parse().map_err(corrupt)?,
        kind: kind.as_deref().and_then(TransactionKind::named),
        asked: asked(row)?,
        failure: row.try_get("failure")?,
        state: State::named(&state).ok_or_else(|| corrupt(format!("no state is {state}")))?,
        tries: u32::try_from(row.try_get::<i32, _>("tries")?).unwrap_or(0),
        reversals: u32::try_from(row.try_get::<i32, _>("reversals")?).unwrap_or(0),
        movement: row.try_get("movement")?,
    })
}

fn asked(row: &PgRow) -> Result<Option<Instruction>, sqlx::Error> {
    let from: Option<String> = row.try_get("sender")?;
    let to: Option<String> = row.try_get("receiver")?;
    let amount: Option<Decimal> = row.try_get("amount")?;
    let (Some(to), Some(amount)) = (to, amount) else { return Ok(None) };
    Ok(Some(Instruction {
        from: from.map(|from| from.parse()).transpose().map_err(corrupt)?,
        to: to.parse().map_err(corrupt)?,
        amount: amount.to_string().parse().map_err(corrupt)?,
    }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::intake) fn asked(from: Option<&str>, to: &str, amount: &str) -> Instruction {
        Instruction {
            from: from.map(|from| from.parse().unwrap()),
            to: to.parse().unwrap(),
            amount: amount.parse().unwrap(),
        }
    }

    pub(in crate::intake) fn transaction(state: State, failure: Option<&str>) -> Row {
        Row {
            transaction: "t-1".parse().unwrap(),
            kind: Some(TransactionKind::Transfer),
            asked: Some(asked(Some("alice"), "bob", "5.00")),
            failure: failure.map(str::to_owned),
            state,
            tries: 0,
            reversals: 1,
            movement: None,
        }
    }

    #[test]
    fn whichever_of_completed_and_failed_comes_first_decides_what_is_done() {
        let money = asked(Some("alice"), "bob", "5.00");
        let next = |state, failure| transaction(state, failure);
        assert_eq!(next(State::Waiting, None).next(), Next::Wait);
        assert_eq!(next(State::Waiting, Some("why")).next(), Next::Fail("why"));
        assert_eq!(next(State::Open, None).next(), Next::Apply(&money));
        assert_eq!(next(State::Open, Some("why")).next(), Next::Apply(&money));
        assert_eq!(next(State::Completed, None).next(), Next::Nothing);
        assert_eq!(next(State::Completed, Some("why")).next(), Next::Reverse(&money, "why"));
        for state in [State::Refused, State::Failed, State::Reversed, State::Stuck] {
            assert_eq!(next(state, None).next(), Next::Nothing);
            assert_eq!(next(state, Some("why")).next(), Next::Nothing);
        }
        let failed_first = Row { asked: None, ..next(State::Failed, Some("why")) };
        assert_eq!(failed_first.next(), Next::Nothing);
        assert_eq!(failed_first.difference(&money), None);
    }

    #[test]
    fn a_difference_is_named_with_both_values() {
        let row = transaction(State::Completed, None);
        assert_eq!(row.difference(&asked(Some("alice"), "bob", "5")), None);
        for (other, expected) in [
            (asked(Some("alice"), "bob", "6"), "amount was 5 and is 6"),
            (asked(Some("carol"), "bob", "5"), "sender was alice and is carol"),
            (
                asked(None, "dora", "5"),
                "type was Transfer and is TopUp, sender was alice and is nobody, receiver was bob \
                 and is dora",
            ),
        ] {
            let difference = row.difference(&other).unwrap();
            assert!(difference.ends_with(&format!("differs: {expected}")), "{difference}");
        }
        assert_eq!(row.other_kind(None), None);
        assert_eq!(row.other_kind(Some(TransactionKind::Transfer)), None);
        let other = row.other_kind(Some(TransactionKind::TopUp)).unwrap();
        assert_eq!(other, "the transaction is a Transfer, and not a TopUp");
    }

    #[test]
    fn states_are_read_as_they_are_stored() {
        for state in State::ALL {
            assert_eq!(State::named(state.name()), Some(state));
        }
    }
}

//! What a service can do wrong: one variant per fault, with the numbers that show it.

use rust_decimal::Decimal;
use serde::Serialize;

use super::plan::Key;

/// One fault that the run has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the message of each variant says what it and its fields mean")]
pub enum Offence {
    #[error("the run could not go on: {why}")]
    Setup { why: String },

    // Answers.
    #[error("{to}: no answer until patience ran out")]
    NoAnswer { to: String },
    #[error("{to}: status {status}")]
    ServerError { to: String, status: u16 },
    #[error("{to}: {why}")]
    Outage { to: String, why: String },
    #[error("{to}: {why}")]
    BadAnswer { to: String, why: String },
    #[error("{key}: answered {first}; later {later}")]
    AnswersDiffer { key: Key, first: String, later: String },
    #[error("{key}: carried out {times} times by its answers")]
    CarriedOutAgain { key: Key, times: usize },
    #[error("{key}: answered afresh when it was replayed")]
    NotReplayed { key: Key },
    #[error("{key}: refused as {code}: {why}")]
    WronglyRefused { key: Key, code: String, why: String },
    #[error("{what} on {key}: {found}, not {expected}")]
    WrongRefusal { what: String, key: Key, expected: String, found: String },
    #[error("id {id} belongs to {one} and to {other}")]
    SharedId { id: String, one: Key, other: Key },
    #[error("position {position} of partition {partition} belongs to {one} and to {other}")]
    SharedPosition { partition: u64, position: u64, one: Key, other: Key },
    #[error("transfer {id} is {found}, its answer said {expected}")]
    WrongTransfer { id: String, expected: String, found: String },

    // Books.
    #[error("{wallet}: {found} after {key}, {expected} by the answers before it{suspicion}")]
    BrokenChain {
        wallet: String,
        key: Key,
        expected: Decimal,
        found: Decimal,
        suspicion: Suspicion,
    },
    #[error("{wallet}: no order of its answers leads through a balance of {balance}")]
    TornChain { wallet: String, balance: Decimal },
    #[error("{wallet}: version {found} after {last}, {expected} by the answers")]
    WrongVersion { wallet: String, last: String, expected: u64, found: u64 },
    #[error("{wallet}: {later} was answered before {earlier} was sent, and is recorded after it")]
    AgainstTime { wallet: String, earlier: Key, later: Key },
    #[error("{wallet}: went below zero, to {balance}")]
    Negative { wallet: String, balance: Decimal },
    #[error("{wallet}: holds {found}, {expected} by the answers{suspicion}")]
    WrongBalance { wallet: String, expected: Decimal, found: Decimal, suspicion: Suspicion },
    #[error("{wallet}: is gone, or was never opened as its answers said")]
    Vanished { wallet: String },
    #[error("{wallet}: exists with {balance}, and no answer said so")]
    Ghost { wallet: String, balance: Decimal },
    #[error("all wallets hold {found}, deposits less withdrawals are {expected}")]
    WrongSum { expected: Decimal, found: Decimal },
    #[error("{wallet}: moved from {before} to {after} while keys were replayed")]
    MovedByReplay { wallet: String, before: String, after: String },
}

/// Which command would explain a gap in the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Suspicion {
    /// None fits.
    Unexplained,
    /// The gap is as large as this one.
    Lost(Key),
    /// The gap is as large as this one once more.
    Doubled(Key),
}

impl std::fmt::Display for Suspicion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unexplained => Ok(()),
            Self::Lost(key) => write!(f, ", as if {key} was lost"),
            Self::Doubled(key) => write!(f, ", as if {key} was carried out twice"),
        }
    }
}

//! Folds of the journal: recorded events go in, in position order, and what follows from them comes
//! out.
//!
//! | module | holds |
//! |---|---|
//! | [`audit`] | the proof that every invariant of the ledger holds at every position |
//! | [`read_model`] | what a read model is: rows, a pure fold, the SQL around it |
//! | [`balance`], [`history`], [`stats`], [`fraud`] | the read models, and what clients ask of them |
//! | [`models`] | the list of them |
//! | [`difference`] | which events made the difference between two moments of a wallet |
//! | [`trial_balance`] | whether the money adds up, now and at any position of the past |
//! | [`runner`] | what keeps a read model up to date in one partition |
//! | [`checkpoint`], [`announcement`] | how far each has come, and how others learn of it |
//! | [`dead_letters`], [`replay`] | what could not be applied, and what becomes of it |
//! | [`generation`] | read models folded anew beside the live ones, compared, and switched to |
//! | [`unfinished`] | the transfers whose money is in flight |
//! | [`outbox`] | what is published besides the journal |
//! | [`ports`] | where events come from |
//!
//! To add a read model: its file, its migration, its line in [`models`]. One whose events go
//! somewhere else too (alerts to be published) keeps them in a table of its own, in the transaction
//! of the batch, and whoever sends them reads that table: so they are neither lost nor made twice.
//!
//! Deliberately absent: the clock. Every time in a read model is the time of an event.

pub mod announcement;
pub mod audit;
pub mod balance;
mod batch;
pub mod checkpoint;
mod column;
pub mod dead_letters;
pub mod difference;
pub mod fact;
pub mod fraud;
pub mod generation;
pub mod history;
pub mod models;
pub mod outbox;
mod parking;
pub mod ports;
pub mod read_model;
pub mod replay;
pub mod runner;
pub mod stats;
pub mod trial_balance;
pub mod unfinished;

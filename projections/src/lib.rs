//! Pure folds of the journal: recorded events go in, in position order, and what follows from them
//! comes out. No IO: whoever runs a fold brings the events.
//!
//! | module | folds to |
//! |---|---|
//! | [`audit`] | the proof that every invariant of the ledger holds at every position |

pub mod audit;

//! What the ledger tells whoever measures it. Nothing depends on whether anybody does.

use crate::command::{Answer, SubmitError};

/// Takes figures. It is called in the way of every command, so it may neither wait nor fail.
pub trait Observer: Send + Sync {
    /// A client is told what became of its command, whose kind is as [`kind`] says.
    ///
    /// [`kind`]: crate::command::Command::kind
    fn answered(&self, kind: &'static str, answer: &Result<Answer, SubmitError>);

    /// A batch of so many commands went into the journal, with so many events.
    fn appended(&self, commands: usize, events: usize);
}

/// Nobody measures.
impl Observer for () {
    fn answered(&self, _: &'static str, _: &Result<Answer, SubmitError>) {}

    fn appended(&self, _: usize, _: usize) {}
}

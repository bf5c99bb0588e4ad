//! The answers to an appended batch, on their way to whoever waits for them.
//!
//! They are sent while the journal is busy with the next batch: telling a hundred clients takes as
//! long as a tenth of an append, in which the journal would stand still.

use std::sync::Arc;

use super::decide::Decided;
use super::{Job, Pending, Reply};
use crate::command::{Answer, Outcome, SubmitError};
use crate::journal::Batch;
use crate::saga::Driver;

pub(super) struct Answers {
    pub(super) driver: Arc<Driver>,
    pub(super) jobs: Vec<Job>,
    pub(super) decided: Vec<Decided>,
    /// Only to be dropped here: freeing thousands of texts takes its time, too.
    pub(super) batch: Batch,
}

impl Answers {
    /// Tells every client what became of its job. Whether anybody still listens makes no
    /// difference: what is decided stands.
    pub(super) fn send(self) {
        let Self { driver, jobs, decided, batch } = self;
        let outcomes: Vec<_> = decided.iter().map(outcome_of).collect();
        for (job, decided) in jobs.into_iter().zip(decided) {
            send(&driver, job.reply, decided, &outcomes);
        }
        drop(batch);
    }
}

fn send(driver: &Arc<Driver>, reply: Reply, decided: Decided, outcomes: &[Option<Arc<Outcome>>]) {
    let answer = |outcome: &Outcome, replayed| Ok(Answer { outcome: outcome.clone(), replayed });
    match (reply, decided) {
        (Reply::Answer(reply), Decided::Outcome(outcome)) => {
            drop(reply.send(answer(&outcome, false)));
        }
        (Reply::Answer(reply), Decided::Replay(outcome)) => {
            drop(reply.send(answer(&outcome, true)));
        }
        (Reply::Answer(reply), Decided::SameAs(first)) => {
            let same = outcomes.get(first).and_then(Option::as_ref);
            drop(reply.send(same.map_or(Err(SubmitError::InProgress), |o| answer(o, true))));
        }
        (Reply::Answer(reply), Decided::InFlight(transfer)) => {
            let provisional = Answer { outcome: transfer.told(), replayed: false };
            driver.drive(Pending { transfer, waiting: Some((reply, provisional)) });
        }
        (Reply::Wallet(reply), Decided::Wallet(wallet)) => drop(reply.send(Ok(wallet))),
        (Reply::Transfers(reply), Decided::Transfers(list)) => drop(reply.send(Ok(list))),
        (reply, Decided::Failed(error)) => reply.fail(error),
        (
            reply,
            Decided::Outcome(_)
            | Decided::Replay(_)
            | Decided::SameAs(_)
            | Decided::InFlight(_)
            | Decided::Wallet(_)
            | Decided::Transfers(_),
        ) => reply.fail(SubmitError::Rejected),
    }
}

fn outcome_of(decided: &Decided) -> Option<Arc<Outcome>> {
    match decided {
        Decided::Outcome(outcome) => Some(Arc::clone(outcome)),
        Decided::Replay(_)
        | Decided::SameAs(_)
        | Decided::InFlight(_)
        | Decided::Failed(_)
        | Decided::Wallet(_)
        | Decided::Transfers(_) => None,
    }
}

//! Drives the transfers whose wallets live in different partitions.
//!
//! The source's partition has committed the debit. The driver submits the credit to the target's
//! partition, under a key of its own, and brings the answer back to the source's partition, which
//! completes the transfer or refunds it. Both are commands through the front door like any other,
//! and both may be repeated: after a crash, [`Driver::resume`] finds what is unfinished and goes on.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use florin_domain::transfer::Leg;
use florin_domain::{Refusal, TransferId, partition_of};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::command::{Answer, Outcome, Receipt, SubmitError};
use crate::journal::TransferRecord;
use crate::partition::{CreditLeg, Job, Pending, Queue, Reply, Task};

/// How long a client waits for a transfer to end before it is told that the money is in flight.
const CLIENT_WAIT: Duration = Duration::from_secs(5);

/// How often unfinished transfers are looked for.
const RESUME_EVERY: Duration = Duration::from_secs(2);

/// How old a transfer is before it is taken for abandoned: a process that drives it needs
/// milliseconds. Taking it too early costs work, not money.
const ABANDONED_AFTER: TimeDelta = TimeDelta::seconds(5);

/// How often a step is tried before it is left to the next search, and how long it waits between.
const MAX_ATTEMPTS: u32 = 20;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

pub(crate) struct Driver {
    queues: Vec<Queue>,
    /// The transfers that this process is driving.
    driving: Mutex<HashSet<TransferId>>,
}

impl Driver {
    pub(crate) fn new(queues: Vec<Queue>) -> Self {
        Self { queues, driving: Mutex::default() }
    }

    /// Carries a transfer to its end, and tells who waits.
    pub(crate) fn drive(self: &Arc<Self>, pending: Pending) {
        let id = pending.transfer.id;
        if !self.driving().insert(id) {
            return;
        }
        let driver = Arc::clone(self);
        tokio::spawn(async move {
            driver.run(pending).await;
            driver.driving().remove(&id);
        });
    }

    /// Looks for transfers that nobody drives any more, for as long as the ledger runs.
    pub(crate) async fn resume(self: Arc<Self>, clock: Arc<dyn Clock>) {
        loop {
            for queue in &self.queues {
                let unfinished = ask(queue, Task::Unfinished, Reply::Transfers).await;
                let now = clock.now();
                for transfer in unfinished.unwrap_or_default() {
                    if now - transfer.initiated_at >= ABANDONED_AFTER {
                        self.drive(Pending { transfer, waiting: None });
                    }
                }
            }
            sleep(RESUME_EVERY).await;
        }
    }

    async fn run(&self, pending: Pending) {
        let mut path = pin!(self.walk(&pending.transfer));
        match pending.waiting {
            None => drop(path.await),
            Some((reply, provisional)) => match timeout(CLIENT_WAIT, &mut path).await {
                Ok(answer) => drop(reply.send(answer)),
                Err(_) => {
                    drop(reply.send(Ok(provisional)));
                    drop(path.await);
                }
            },
        }
    }

    async fn walk(&self, transfer: &TransferRecord) -> Result<Answer, SubmitError> {
        let credit = self.credit(transfer).await?;
        let settle = || Task::Settle { transfer: transfer.id, credit: credit.clone() };
        self.persist(transfer.partition, settle).await
    }

    /// The target's answer, which is the same however often it is asked.
    async fn credit(&self, transfer: &TransferRecord) -> Result<Result<Leg, Refusal>, SubmitError> {
        let details = transfer.transfer.details().ok_or(SubmitError::Rejected)?;
        let leg = CreditLeg {
            transfer: transfer.id,
            from: details.from.clone(),
            to: details.to.clone(),
            amount: details.amount,
            metadata: details.metadata.clone(),
            event_metadata: Arc::clone(&transfer.metadata),
        };
        let partitions = u32::try_from(self.queues.len()).unwrap_or(u32::MAX);
        let target = partition_of(&details.to, partitions);
        let answer = self.persist(target, || Task::Credit(leg.clone())).await?;
        match answer.outcome {
            Outcome::Accepted(Receipt::Leg(leg)) => Ok(Ok(leg)),
            Outcome::Refused(refused) => Ok(Err(refused.refusal)),
            Outcome::Accepted(
                Receipt::Wallet(_) | Receipt::Movement(_) | Receipt::Transfer(_) | Receipt::All(_),
            ) => Err(SubmitError::Rejected),
        }
    }

    /// Repeats a step until it has an answer, for [`MAX_ATTEMPTS`] times.
    async fn persist(
        &self,
        partition: u32,
        task: impl Fn() -> Task,
    ) -> Result<Answer, SubmitError> {
        let queue = self.queues.get(partition as usize).ok_or(SubmitError::Rejected)?;
        let mut wait = BACKOFF.0;
        let mut last = SubmitError::Unavailable;
        for _ in 0..MAX_ATTEMPTS {
            match ask(queue, task(), Reply::Answer).await {
                Ok(answer) => return Ok(answer),
                Err(
                    error @ (SubmitError::Rejected
                    | SubmitError::KeyReused
                    | SubmitError::Apart { .. }),
                ) => return Err(error),
                Err(
                    error @ (SubmitError::Busy
                    | SubmitError::Unavailable
                    | SubmitError::InProgress
                    | SubmitError::VersionMismatch { .. }),
                ) => last = error,
            }
            sleep(wait).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
        Err(last)
    }

    fn driving(&self) -> std::sync::MutexGuard<'_, HashSet<TransferId>> {
        self.driving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a task of the ledger's own and waits for the answer.
async fn ask<T>(
    queue: &Queue,
    task: Task,
    reply: impl FnOnce(oneshot::Sender<Result<T, SubmitError>>) -> Reply,
) -> Result<T, SubmitError> {
    let (sender, receiver) = oneshot::channel();
    queue.send(Job { task, reply: reply(sender) }).await?;
    receiver.await.unwrap_or(Err(SubmitError::Unavailable))
}

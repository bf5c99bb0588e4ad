//! The queue of a partition, bounded in commands: a bulk takes the room of all that it holds.
//!
//! Room is taken before anything is queued, so that a bulk has room for all of its commands or is
//! told at once that it has not, and is given back when the writer takes a job.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};

use super::Job;
use crate::command::SubmitError;

/// How many commands wait for one partition. At 20,000 commands a second that is two fifths of a
/// second; beyond it a client is told to come back rather than kept waiting.
pub(crate) const MAX_QUEUE: usize = 8192;

/// The room that bulks leave to commands that come alone, so that they never find the queue full of
/// somebody's bulks: more than come while the writer makes room with its next batch.
const FREE_OF_BULKS: usize = 1024;

/// The near end.
#[derive(Clone)]
pub(crate) struct Queue {
    // Unbounded by itself: the room bounds it.
    jobs: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
}

/// How many commands wait for one partition.
#[derive(Debug, Clone)]
pub struct Depth(Arc<Semaphore>);

impl Depth {
    /// So many, those that a bulk has room for included.
    pub fn commands(&self) -> usize {
        MAX_QUEUE.saturating_sub(self.0.available_permits())
    }
}

/// A job, and the room that it takes.
struct Waiting {
    job: Job,
    _room: OwnedSemaphorePermit,
}

/// The far end.
pub(crate) struct Jobs {
    jobs: mpsc::UnboundedReceiver<Waiting>,
    room: Arc<Semaphore>,
}

/// Room for several jobs, not queued yet.
pub(crate) struct Room<'q> {
    queue: &'q Queue,
    room: OwnedSemaphorePermit,
}

impl Queue {
    /// A queue and its far end.
    pub(crate) fn new() -> (Self, Jobs) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(MAX_QUEUE));
        (Self { jobs: sender, room: Arc::clone(&room) }, Jobs { jobs: receiver, room })
    }

    /// How many commands wait, as it changes.
    pub(crate) fn depth(&self) -> Depth {
        Depth(Arc::clone(&self.room))
    }

    /// Queues a client's job, or says that there is no room for it.
    pub(crate) fn offer(&self, job: Job) -> Result<(), SubmitError> {
        self.reserve(job.commands())?.put(job)
    }

    /// Room for so many commands of a client, all of it or none.
    pub(crate) fn reserve(&self, commands: usize) -> Result<Room<'_>, SubmitError> {
        let count = u32::try_from(commands).map_err(|_| SubmitError::Busy)?;
        let room =
            Arc::clone(&self.room).try_acquire_many_owned(count).map_err(|error| match error {
                TryAcquireError::NoPermits => SubmitError::Busy,
                TryAcquireError::Closed => SubmitError::Unavailable,
            })?;
        if commands > 1 && self.room.available_permits() < FREE_OF_BULKS {
            return Err(SubmitError::Busy);
        }
        Ok(Room { queue: self, room })
    }

    /// Queues the ledger's own job, however long that takes: it was accepted once already.
    pub(crate) async fn send(&self, job: Job) -> Result<(), SubmitError> {
        let closed = |_: AcquireError| SubmitError::Unavailable;
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(closed)?;
        Room { queue: self, room }.put(job)
    }
}

impl Room<'_> {
    /// Queues the next job, in its part of the room.
    pub(crate) fn put(&mut self, job: Job) -> Result<(), SubmitError> {
        let room = self.room.split(job.commands()).ok_or(SubmitError::Busy)?;
        let waiting = Waiting { job, _room: room };
        self.queue.jobs.send(waiting).map_err(|_| SubmitError::Unavailable)
    }
}

impl Jobs {
    /// Waits for a job and takes those behind it, until they are of so many commands; the last one
    /// may be a bulk that goes beyond. Takes none if it is not awaited to its end, or when there will
    /// be no more.
    pub(crate) async fn take(&mut self, taken: &mut Vec<Job>, commands: usize) -> usize {
        let Some(Waiting { job, .. }) = self.jobs.recv().await else { return 0 };
        let first = job.commands();
        taken.push(job);
        first + self.take_waiting(taken, commands.saturating_sub(first))
    }

    /// The same of those that wait already; returns of how many commands they are.
    pub(crate) fn take_waiting(&mut self, taken: &mut Vec<Job>, commands: usize) -> usize {
        let mut count = 0;
        while count < commands
            && let Ok(Waiting { job, .. }) = self.jobs.try_recv()
        {
            count += job.commands();
            taken.push(job);
        }
        count
    }
}

impl Drop for Jobs {
    /// Without a writer nobody may wait for room.
    fn drop(&mut self) {
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::super::{Reply, Task};
    use super::*;

    fn job() -> Job {
        Job { task: Task::Unfinished, reply: Reply::Transfers(oneshot::channel().0) }
    }

    #[test]
    fn bulks_leave_room_for_commands_that_come_alone() {
        let (queue, mut jobs) = Queue::new();
        let bulks: Vec<_> = (0..8).map_while(|_| queue.reserve(1000).ok()).collect();
        assert_eq!(bulks.len(), 7);
        for _ in 0..MAX_QUEUE - 7000 {
            queue.offer(job()).unwrap();
        }
        assert_eq!(queue.offer(job()), Err(SubmitError::Busy));
        let mut taken = Vec::new();
        assert_eq!(jobs.take_waiting(&mut taken, 5), 5);
        for _ in 0..5 {
            queue.offer(job()).unwrap();
        }
        assert_eq!(queue.offer(job()), Err(SubmitError::Busy));
        drop(bulks);
        assert!(queue.reserve(1000).is_ok(), "what is not used is given back");
    }

    #[test]
    fn nobody_waits_for_a_writer_that_has_gone() {
        let (queue, jobs) = Queue::new();
        drop(jobs);
        assert_eq!(queue.offer(job()), Err(SubmitError::Unavailable));
    }
}

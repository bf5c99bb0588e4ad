//! Many commands in one call.
//!
//! | | take effect | key | the wallets lie |
//! |---|---|---|---|
//! | [`Ledger::submit_each`] | as if sent one after the other | each its own | anywhere |
//! | [`Ledger::submit_all`] | all or none, in one append | one for all | in one partition |
//!
//! Either needs room in the queues for all of its commands at once, and is [`SubmitError::Busy`]
//! before anything is done if there is none.
//!
//! The commands of the first kind are jobs like any other, queued in their order; so those of one
//! partition are decided in their order, most of them in one batch. A transfer to another partition
//! is decided at once and ends later. What would see the difference to sending one after the other
//! waits until the transfers before it have ended, with everything behind it: see [`Abroad`].

use std::collections::HashSet;

use florin_domain::{WalletCommand, WalletId};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::command::{Answer, AtomicBulk, Command, Key, Outcome, Receipt, Request, SubmitError};
use crate::fingerprint::Fingerprint;
use crate::ledger::{Ledger, SUBMIT_WAIT};
use crate::partition::{Group, Job, Reply, Room, Submission, Task};

type Answered = Result<Answer, SubmitError>;

impl Ledger {
    /// Carries each command to its outcome; the answers are in the order of the requests.
    ///
    /// # Errors
    /// [`SubmitError::Busy`] when there is no room for all of them: then nothing was done.
    pub async fn submit_each(&self, requests: Vec<Request>) -> Result<Vec<Answered>, SubmitError> {
        let kinds: Vec<_> = requests.iter().map(|request| request.command.kind()).collect();
        let answers = self.carry_each(requests).await;
        for (index, kind) in kinds.into_iter().enumerate() {
            match &answers {
                Ok(answers) => {
                    answers.get(index).inspect(|answer| self.observer().answered(kind, answer));
                }
                Err(error) => self.observer().answered(kind, &Err(error.clone())),
            }
        }
        answers
    }

    async fn carry_each(&self, requests: Vec<Request>) -> Result<Vec<Answered>, SubmitError> {
        let mut rooms = self.rooms(&requests)?;
        let mut answers = Answers::new(requests.len());
        let mut abroad = Abroad::default();
        for request in requests {
            let (from, to) = self.way(&request.command);
            let submission = Submission::of(request);
            if abroad.holds_up(&submission) {
                answers.settle().await;
                abroad = Abroad::default();
            }
            if from != to {
                abroad.note(&submission);
            }
            answers.queue(rooms.get_mut(from as usize).and_then(Option::as_mut), submission);
        }
        answers.settle().await;
        Ok(answers.done)
    }

    /// Carries all commands to one outcome: a [`Receipt::All`], or the refusal of the first one that
    /// is refused, with its index, and then nothing of the others is on record.
    ///
    /// # Errors
    /// [`SubmitError::Apart`] when the wallets lie in different partitions; otherwise as of
    /// [`Ledger::submit`].
    pub async fn submit_all(&self, bulk: AtomicBulk) -> Answered {
        let answer = self.carry_all(bulk).await;
        self.observer().answered(AtomicBulk::KIND, &answer);
        answer
    }

    async fn carry_all(&self, bulk: AtomicBulk) -> Answered {
        let Some(partition) = self.one_partition(&bulk.commands)? else {
            let outcome = Outcome::Accepted(Receipt::All(Vec::new()));
            return Ok(Answer { outcome, replayed: false });
        };
        self.ask(partition, Task::All(Group::of(bulk)), Reply::Answer).await
    }

    /// Room in the queue of each partition for the commands that go there.
    fn rooms(&self, requests: &[Request]) -> Result<Vec<Option<Room<'_>>>, SubmitError> {
        let mut counts = vec![0; self.partitions() as usize];
        for request in requests {
            if let Some(count) = counts.get_mut(self.way(&request.command).0 as usize) {
                *count += 1;
            }
        }
        let room = |(partition, count)| match count {
            0 => Ok(None),
            count => self.queue(partition)?.reserve(count).map(Some),
        };
        (0..).zip(counts).map(room).collect()
    }

    /// The partition that a command is decided in, and the one that its money goes to.
    fn way(&self, command: &Command) -> (u32, u32) {
        let own = self.partition_of(command.wallet());
        match command {
            Command::Wallet { .. } => (own, own),
            Command::Transfer(transfer) => (own, self.partition_of(&transfer.to)),
        }
    }

    /// The partition that all the wallets lie in; none of no commands.
    fn one_partition(&self, commands: &[Command]) -> Result<Option<u32>, SubmitError> {
        let Some(one) = commands.first().map(Command::wallet) else { return Ok(None) };
        let partition = self.partition_of(one);
        for (index, command) in commands.iter().enumerate() {
            let mut elsewhere = command.wallets().filter(|id| self.partition_of(id) != partition);
            if let Some(other) = elsewhere.next() {
                return Err(SubmitError::Apart { index, one: one.clone(), other: other.clone() });
            }
        }
        Ok(Some(partition))
    }
}

impl Group {
    fn of(bulk: AtomicBulk) -> Self {
        let AtomicBulk { commands, request_id, expected_owner, origin } = bulk;
        let key = request_id.map(|request_id| {
            (Key::of_bulk(expected_owner.as_ref(), request_id), Fingerprint::of_all(&commands))
        });
        let submission = |command| Submission {
            command,
            key: key.clone(),
            expected_version: None,
            expected_owner: expected_owner.clone(),
            origin: origin.clone(),
        };
        Self { submissions: commands.into_iter().map(submission).collect(), key }
    }
}

/// The answers so far, and those that are waited for.
struct Answers {
    done: Vec<Answered>,
    waiting: Vec<oneshot::Receiver<Answered>>,
    deadline: Instant,
    /// Whether an answer did not come in time.
    is_late: bool,
}

impl Answers {
    fn new(count: usize) -> Self {
        Self {
            done: Vec::with_capacity(count),
            waiting: Vec::new(),
            deadline: Instant::now() + SUBMIT_WAIT,
            is_late: false,
        }
    }

    /// Queues a command, whose answer is then waited for. Not after one that took too long: nothing
    /// is done of those behind it.
    fn queue(&mut self, room: Option<&mut Room<'_>>, submission: Submission) {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(receiver);
        let job = Job { task: Task::Submit(submission), reply: Reply::Answer(sender) };
        match room {
            _ if self.is_late => job.reply.fail(SubmitError::Busy),
            // A queue without a writer drops the job, and with it the sender.
            Some(room) => drop(room.put(job)),
            None => job.reply.fail(SubmitError::Unavailable),
        }
    }

    /// Waits until everything queued is answered, or the time is over.
    async fn settle(&mut self) {
        for receiver in self.waiting.drain(..) {
            let answered = match timeout_at(self.deadline, receiver).await {
                Ok(Ok(answered)) => answered,
                Ok(Err(_)) => Err(SubmitError::Unavailable),
                Err(_) => {
                    self.is_late = true;
                    Err(SubmitError::Unavailable)
                }
            };
            self.done.push(answered);
        }
    }
}

/// What transfers to other partitions leave open until they have ended.
#[derive(Default)]
struct Abroad {
    /// The wallets that have not got their money yet.
    paid: HashSet<WalletId>,
    /// Those that may get it back.
    paying: HashSet<WalletId>,
    /// The keys without an outcome.
    keys: HashSet<Key>,
}

impl Abroad {
    /// Whether a command would see that the transfers are under way still: it is to a wallet that
    /// they pay, repeats one of them, or closes a wallet that pays.
    fn holds_up(&self, submission: &Submission) -> bool {
        let wallet = submission.command.wallet();
        let closes = match &submission.command {
            Command::Wallet { command, .. } => matches!(command, WalletCommand::Close(_)),
            Command::Transfer(_) => false,
        };
        self.paid.contains(wallet)
            || (closes && self.paying.contains(wallet))
            || submission.key.as_ref().is_some_and(|(key, _)| self.keys.contains(key))
    }

    /// Notes a transfer to another partition.
    fn note(&mut self, submission: &Submission) {
        self.paid.extend(submission.command.wallets().skip(1).cloned());
        self.paying.insert(submission.command.wallet().clone());
        self.keys.extend(submission.key.iter().map(|(key, _)| key.clone()));
    }
}

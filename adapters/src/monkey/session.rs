//! One run against one service: sends what the plan says, so many steps at once, and keeps the
//! history.
//!
//! At most `--concurrency` steps are in flight. A step is over when all that it sent is answered,
//! so nothing piles up anywhere. Once a request has had no answer for as long as patience allows,
//! no further step begins and the books are not judged, for they lack an outcome; `--verify` of the
//! journal can do that later.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use rust_decimal::Decimal;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::answer::Answer;
use super::args::MonkeyArgs;
use super::check::{self, Reading, Readings};
use super::client::{Call, Client, Reply};
use super::history::{History, Record};
use super::model::{Books, Deed};
use super::offence::Offence;
use super::plan::{Key, Order, Plan, Step};
use super::tally::Tally;
use super::verdict::{Title, Verdict};

/// How far the record of a transfer may lag behind its answer.
const RECORD_PATIENCE: Duration = Duration::from_secs(10);

/// A run in progress.
pub struct Session {
    client: Client,
    history: History,
    tally: Arc<Tally>,
    concurrency: usize,
}

impl Session {
    /// A run that has sent nothing yet, or with `--verify` one that has sent all of its journal.
    ///
    /// # Errors
    /// When the journal cannot be used, or TLS cannot be set up.
    pub fn begin(args: &MonkeyArgs) -> Result<Arc<Self>, String> {
        let history = match &args.verify {
            Some(file) => History::load(file)?,
            None => History::begin(args.journal.as_deref())?,
        };
        let tally = Arc::new(Tally::new(args));
        let client = Client::new(args, Arc::clone(&tally))?;
        Ok(Arc::new(Self { client, history, tally, concurrency: args.concurrency.into() }))
    }

    /// Opens the pool, then plays the steps.
    pub async fn play(self: &Arc<Self>, plan: Plan) {
        self.each(plan.openings, Self::open).await;
        self.each(plan.steps, Self::step).await;
    }

    /// Sends again what was sent and not answered when the journal ended.
    pub async fn settle(self: &Arc<Self>) {
        let unknown = self.orders(|deed| deed.outcome.is_none());
        self.each(unknown.into_iter().map(Step::Once).collect(), Self::step).await;
    }

    /// Sends every key again: each must be answered as before, and nothing may move.
    pub async fn replay(self: &Arc<Self>, before: &Readings) {
        // What was odd is an offence already, and need not have been kept.
        let is_kept = |answer: &Answer| !matches!(answer, Answer::Odd { .. });
        let kept = self.orders(|deed| deed.outcome.is_some_and(|(_, answer)| is_kept(answer)));
        self.each(kept, Self::replay_one).await;
        let after = self.readings().await;
        let wallets: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for wallet in wallets.into_iter().filter(|_| !self.tally.has_given_up()) {
            let (before, after) = (before.get(wallet), after.get(wallet));
            if before != after {
                self.tally.offend(Offence::MovedByReplay {
                    wallet: wallet.clone(),
                    before: format!("{before:?}"),
                    after: format!("{after:?}"),
                });
            }
        }
    }

    /// What every wallet of the history is now.
    pub async fn readings(self: &Arc<Self>) -> Readings {
        let wallets =
            self.books(|books| books.accounts.keys().map(|wallet| (*wallet).to_owned()).collect());
        self.each(wallets, Self::reading).await.into_iter().flatten().collect()
    }

    /// Every transfer is on record with the status that its answer told.
    pub async fn follow_transfers(self: &Arc<Self>) {
        let transfers = self.books(|books| {
            let transfers = books.deeds.values().filter_map(Deed::transfer);
            transfers.map(|(id, status)| (id.to_owned(), status)).collect()
        });
        self.each(transfers, Self::follow_transfer).await;
    }

    /// Judges the books and sums up.
    pub fn verdict(&self, readings: &Readings, title: Title) -> Verdict {
        if !self.tally.has_given_up() {
            let offences = self.history.look(|records| check::judge(records, readings));
            offences.into_iter().for_each(|offence| self.tally.offend(offence));
        }
        self.books(|books| Verdict::new(title, books, readings, self.tally.total()))
    }

    fn books<R>(&self, look: impl FnOnce(&Books<'_>) -> R) -> R {
        self.history.look(|records| look(&Books::fold(records).0))
    }

    /// Workers that pull items one by one, and begin none once the run has given up.
    async fn each<T, R, F>(self: &Arc<Self>, items: Vec<T>, work: fn(Arc<Self>, T) -> F) -> Vec<R>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        let queue = Arc::new(Mutex::new(items.into_iter()));
        let mut workers = JoinSet::new();
        for _ in 0..self.concurrency {
            let (session, queue) = (Arc::clone(self), Arc::clone(&queue));
            workers.spawn(async move {
                let mut results = Vec::new();
                while let Some(item) = session.next(&queue) {
                    results.push(work(Arc::clone(&session), item).await);
                }
                results
            });
        }
        let mut results = Vec::new();
        while let Some(done) = workers.join_next().await {
            match done {
                Ok(some) => results.extend(some),
                Err(error) => self.tally.give_up(Offence::Setup { why: error.to_string() }),
            }
        }
        results
    }

    fn next<T>(&self, queue: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tally.has_given_up() { None } else { queue.next() }
    }

    /// The orders of the deeds that a test picks.
    fn orders(&self, is_meant: impl Fn(&Deed<'_>) -> bool) -> Vec<Order> {
        self.books(|books| {
            let deeds = books.deeds.values().filter(|deed| is_meant(deed));
            deeds.map(|deed| deed.order.clone()).collect()
        })
    }

    async fn open(self: Arc<Self>, order: Order) {
        if let Some((answer, _)) = self.send(&order).await
            && !matches!(answer, Answer::Moved(_))
        {
            let wallet = &order.key.wallet;
            let why = format!("wallet {wallet} was not opened ({answer}); try another prefix");
            self.tally.give_up(Offence::Setup { why });
        }
    }

    async fn step(self: Arc<Self>, step: Step) {
        match step {
            Step::Once(order) => {
                self.send(&order).await;
            }
            Step::AtOnce(order, copies) => {
                self.tally.count(|counts| counts.copies_at_once += 1);
                join_all((0..copies).map(|_| self.send(&order))).await;
            }
            Step::Again(order) => {
                self.tally.count(|counts| counts.late_retries += 1);
                self.send(&order).await;
            }
            Step::Mismatched(order) => self.mismatch(order).await,
            Step::Bad(probe) => {
                self.tally.count(|counts| counts.bad_input += 1);
                let what = format!("{:?}", probe.flaw);
                let (statuses, code) = probe.flaw.expects();
                self.must_be_refused(&what, &probe.key, &probe.call(), statuses, code).await;
            }
        }
    }

    /// The key must be settled first, or the other amount might be the one that is taken.
    async fn mismatch(&self, order: Order) {
        if let None | Some((Answer::Odd { .. }, _)) = self.send(&order).await {
            return;
        }
        self.tally.count(|counts| counts.mismatches += 1);
        let call = Call::of(&Order { amount: order.amount + Decimal::ONE, ..order.clone() });
        let code = Some("idempotency-mismatch");
        self.must_be_refused("another amount", &order.key, &call, &[422], code).await;
    }

    async fn must_be_refused(
        &self,
        what: &str,
        key: &Key,
        call: &Call,
        statuses: &[u16],
        code: Option<&str>,
    ) {
        let Some(reply) = self.client.exchange(call).await else {
            return;
        };
        let problem = reply.problem();
        let is_right = problem.as_ref().is_ok_and(|found| code.is_none_or(|code| *found == code));
        if !(is_right && statuses.contains(&reply.status)) {
            let found = problem.map_or_else(|why| why, |code| format!("{} {code}", reply.status));
            self.tally.offend(Offence::WrongRefusal {
                what: what.to_owned(),
                key: key.clone(),
                expected: format!("{statuses:?} {}", code.unwrap_or_default()),
                found,
            });
        }
    }

    async fn replay_one(self: Arc<Self>, order: Order) {
        let Some((_, replayed)) = self.send(&order).await else {
            return;
        };
        self.tally.count(|counts| counts.replayed_keys += 1);
        if !replayed {
            self.tally.offend(Offence::NotReplayed { key: order.key });
        }
    }

    async fn follow_transfer(self: Arc<Self>, (id, expected): (String, &'static str)) {
        let is_so = |reply: &Reply| reply.text("status") == expected;
        let path = format!("/transfers/{id}");
        let reply = self.client.read_until(path, RECORD_PATIENCE, is_so).await;
        if let Some(reply) = reply.filter(|reply| !is_so(reply)) {
            let found = format!("{} {:?}", reply.status, reply.text("status"));
            self.tally.offend(Offence::WrongTransfer { id, expected: expected.to_owned(), found });
        }
    }

    /// Sends an order until it is answered, with a record before and after.
    async fn send(&self, order: &Order) -> Option<(Answer, bool)> {
        self.record(Record::Sent(order.clone()));
        let (answer, replayed) = self.client.send(order).await?;
        let key = order.key.clone();
        self.record(Record::Answered { key, answer: answer.clone(), replayed });
        Some((answer, replayed))
    }

    fn record(&self, record: Record) {
        if let Err(error) = self.history.push(record) {
            self.tally.give_up(Offence::Setup { why: format!("journal: {error}") });
        }
    }

    async fn reading(self: Arc<Self>, wallet: String) -> Option<(String, Reading)> {
        // From the write side: what is behind it may be another process, or none.
        let path = format!("/wallets/{wallet}?consistency=strong");
        let reply = self.client.exchange(&Call::get(path.clone())).await?;
        match read(&reply) {
            Ok(reading) => Some((wallet, reading?)),
            Err(why) => {
                self.tally.offend(Offence::BadAnswer { to: path, why });
                None
            }
        }
    }
}

/// What a wallet is by its GET; none if there is no such wallet.
fn read(reply: &Reply) -> Result<Option<Reading>, String> {
    match reply.status {
        200 => {
            let reading = Reading::deserialize(&reply.body).map_err(|error| error.to_string())?;
            if reply.etag() != reading.version.to_string() {
                return Err(format!("ETag {:?} of version {}", reply.etag(), reading.version));
            }
            Ok(Some(reading))
        }
        404 => Ok(None),
        status => Err(format!("status {status}")),
    }
}

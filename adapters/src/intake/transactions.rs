//! A batch of transactions.
//!
//! ```text
//! messages ─▶ whose wallets are there? ─▶ record ─rows─▶ ┌ next ─▶ ledger ─▶ save ┐ ─▶ acknowledge
//!                                                         └────◀── rows ──◀───────┘
//! ```
//!
//! What comes first of a transaction decides; in one batch that is its failure, because nothing was
//! done yet. A message is acknowledged when its transaction is as it should be, so that whoever dies on
//! the way leaves it to somebody else, who finds the row and the ledger's keys.
//!
//! A user is known when the wallet of their id is there and is theirs or nobody's. Both stay so for
//! ever once they are, so that it is enough to look before.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use florin_application::Request;
use florin_domain::WalletId;
use futures::future::join_all;

use super::commands::{Said, applied, reversed, said};
use super::desk::Desk;
use super::letters::Draft;
use super::read::{Asked, TransactionRef};
use super::row::{Next, Row, State};
use super::step::{Missing, Step, Then};
use super::store::Notes;
use super::taken::{Fate, Taken, submitted};

/// The most steps of one transaction: it is moved, and moved back. The bound is against one that does
/// not come to an end.
const MAX_STEPS: usize = 4;

/// After how long a message comes again whose transaction somebody else has just gone on with.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

type Rows = HashMap<TransactionRef, Row>;

/// What is known of the transactions in hand besides their rows.
struct Known {
    /// What is missing to them.
    missing: HashMap<TransactionRef, Missing>,
    /// Of which trace their messages are part.
    traces: HashMap<TransactionRef, Arc<str>>,
}

/// A message of a transaction: nothing, or why it is set aside.
enum Heard {
    /// It is about this one, and agrees with what is on record.
    Follows(TransactionRef),
    /// It cannot be followed.
    Aside(Draft),
}

impl Desk {
    /// Deals with messages of transactions; what becomes of each, or nothing where Postgres is away.
    pub(super) async fn transactions(&self, batch: &[Taken]) -> Option<Vec<Fate>> {
        let (notes, missing) = self.notes(batch).await;
        let known = Known { missing, traces: traces_of(batch) };
        let rows: Rows = match notes.is_empty() {
            true => Rows::new(),
            false => by_id(self.recorded(&notes).await?),
        };
        let heard: Vec<Heard> = batch.iter().map(|taken| heard(taken, &rows)).collect();
        let fates = self.carry_on(rows, &heard, &known).await?;
        let fate = |heard: &Heard| match heard {
            Heard::Aside(_) => Fate::Aside,
            Heard::Follows(id) => fates.get(id).copied().unwrap_or(Fate::Done),
        };
        Some(heard.iter().map(fate).collect())
    }

    /// Takes the steps that follow, and puts letters on record; what becomes of the messages of those
    /// transactions that are not as they should be by that.
    async fn carry_on(
        &self,
        mut rows: Rows,
        heard: &[Heard],
        known: &Known,
    ) -> Option<HashMap<TransactionRef, Fate>> {
        let mut drafts: Vec<Draft> = heard.iter().filter_map(Heard::draft).cloned().collect();
        let mut fates = HashMap::new();
        let followed: HashSet<_> = heard.iter().filter_map(Heard::transaction).collect();
        rows.retain(|id, _| followed.contains(id));
        for _ in 0..MAX_STEPS {
            let due = join_all(rows.values().map(|row| self.step(row, known))).await;
            let steps: Vec<Step> = due.into_iter().flatten().collect();
            if steps.is_empty() && drafts.is_empty() {
                return Some(fates);
            }
            let mut saved = by_id(self.saved(&steps, &std::mem::take(&mut drafts)).await?);
            rows = Rows::new();
            for step in steps {
                match (saved.remove(&step.transaction), step.then) {
                    // Somebody else has gone on with it.
                    (None, _) => {
                        fates.insert(step.transaction, Fate::Later(LOOK_AGAIN));
                    }
                    (Some(row), Then::Look) => {
                        rows.insert(step.transaction, row);
                    }
                    (Some(row), Then::Later) => {
                        fates.insert(step.transaction, Fate::Later(self.wait(&row)));
                    }
                    (Some(_), Then::Aside) => {
                        let (id, why) = (step.transaction, step.error);
                        tracing::warn!(transaction = %id, why, "a transaction is set aside");
                        fates.insert(id, Fate::Aside);
                    }
                }
            }
        }
        fates.extend(rows.into_keys().map(|id| (id, Fate::Later(LOOK_AGAIN))));
        Some(fates)
    }

    /// How long it waits after it came to nothing once more.
    fn wait(&self, row: &Row) -> Duration {
        match row.state {
            State::Waiting => self.patience().users.wait(row.tries),
            State::Open
            | State::Completed
            | State::Refused
            | State::Failed
            | State::Reversed
            | State::Stuck => self.patience().ledger.wait(row.tries),
        }
    }

    async fn step(&self, row: &Row, known: &Known) -> Option<Step> {
        let patience = self.patience();
        let trace = known.traces.get(&row.transaction);
        Some(match row.next() {
            Next::Nothing => return None,
            Next::Fail(reason) => Step::failed(row, reason),
            Next::Wait => {
                // It was looked for, or the row would not wait.
                let unclear = || Missing::Unclear("its users were not looked for".to_owned());
                let missing = known.missing.get(&row.transaction).cloned().unwrap_or_else(unclear);
                Step::waited(row, missing, patience)
            }
            Next::Apply(asked) => {
                Step::applied(row, self.submitted(applied(row, asked), trace).await, patience)
            }
            Next::Reverse(asked, reason) => {
                let said = self.submitted(reversed(row, asked), trace).await;
                Step::reversed(row, reason, said, patience)
            }
        })
    }

    async fn submitted(&self, request: Request, trace: Option<&Arc<str>>) -> Said {
        said(submitted(self.ledger(), request, trace).await)
    }

    /// What the messages say of each transaction, and what is missing to it.
    async fn notes(
        &self,
        batch: &[Taken],
    ) -> (HashMap<TransactionRef, Notes>, HashMap<TransactionRef, Missing>) {
        let mut notes = noted(batch);
        let asked = |notes: &Notes| notes.asked.clone().into_iter();
        let users: BTreeSet<WalletId> = notes
            .values()
            .flat_map(asked)
            .flat_map(|asked| asked.users().cloned().collect::<Vec<_>>())
            .collect();
        let unknown = self.missing(users).await;
        let mut missing = HashMap::new();
        for (id, notes) in &mut notes {
            let Some(asked) = &notes.asked else { continue };
            match asked.users().find_map(|user| unknown.get(user)) {
                None => notes.is_known = true,
                Some(why) => drop(missing.insert(id.clone(), why.clone())),
            }
        }
        (notes, missing)
    }

    /// Those of the users that are not known, and why.
    async fn missing(&self, users: BTreeSet<WalletId>) -> HashMap<WalletId, Missing> {
        let look = async |user: WalletId| {
            let missing = match self.ledger().wallet(&user).await {
                Err(error) => Some(Missing::Unclear(error.to_string())),
                Ok(None) => Some(Missing::Unknown(format!("the user {user} is unknown"))),
                Ok(Some(wallet)) => match wallet.account.owner {
                    Some(owner) if owner.as_str() != user.as_str() => {
                        let why = format!("the wallet {user} is not that of the user {user}");
                        Some(Missing::SomebodyElses(why))
                    }
                    Some(_) | None => None,
                },
            };
            missing.map(|missing| (user, missing))
        };
        join_all(users.into_iter().map(look)).await.into_iter().flatten().collect()
    }
}

impl Heard {
    fn transaction(&self) -> Option<TransactionRef> {
        match self {
            Self::Follows(id) => Some(id.clone()),
            Self::Aside(_) => None,
        }
    }

    fn draft(&self) -> Option<&Draft> {
        match self {
            Self::Follows(_) => None,
            Self::Aside(draft) => Some(draft),
        }
    }
}

fn by_id(rows: Vec<Row>) -> Rows {
    rows.into_iter().map(|row| (row.transaction.clone(), row)).collect()
}

/// What the messages say of each transaction; nobody has looked for its users yet.
fn noted(batch: &[Taken]) -> HashMap<TransactionRef, Notes> {
    let nothing = Notes { kind: None, asked: None, failure: None, is_known: false };
    let mut notes: HashMap<TransactionRef, Notes> = HashMap::new();
    for taken in batch {
        match &taken.asked {
            Ok(Asked::Completed(id, asked)) => {
                let noted = notes.entry(id.clone()).or_insert_with(|| nothing.clone());
                if noted.failure.is_none() && noted.asked.is_none() {
                    noted.kind = Some(asked.kind());
                    noted.asked = Some(asked.clone());
                }
            }
            Ok(Asked::Failed { transaction, kind, reason }) => {
                let noted = notes.entry(transaction.clone()).or_insert_with(|| nothing.clone());
                if noted.failure.is_none() {
                    let failure = Some(reason.clone());
                    *noted = Notes { kind: *kind, failure, ..nothing.clone() };
                }
            }
            // Signups come another way, and what is not understood says nothing.
            Ok(Asked::Signup(_)) | Err(_) => {}
        }
    }
    notes
}

/// The trace of the last message of each transaction: what is done now, it asks for.
fn traces_of(batch: &[Taken]) -> HashMap<TransactionRef, Arc<str>> {
    let trace = |taken: &Taken| {
        let transaction = match &taken.asked {
            Ok(Asked::Completed(id, _) | Asked::Failed { transaction: id, .. }) => id,
            Ok(Asked::Signup(_)) | Err(_) => return None,
        };
        Some((transaction.clone(), taken.traceparent.clone()?))
    };
    batch.iter().filter_map(trace).collect()
}

/// Whether a message can be followed, the rows being as they are.
fn heard(taken: &Taken, rows: &Rows) -> Heard {
    let unread = |kept, why| Draft::of_message(&taken.subject, kept, &taken.place, why);
    let draft = match &taken.asked {
        Ok(Asked::Completed(id, asked)) => {
            match rows.get(id).and_then(|row| row.difference(asked)) {
                None => return Heard::Follows(id.clone()),
                Some(why) => Draft::of_other(id, asked, why),
            }
        }
        Ok(Asked::Failed { transaction: id, kind, reason }) => {
            match rows.get(id).and_then(|row| row.other_kind(*kind)) {
                None => return Heard::Follows(id.clone()),
                Some(why) => Draft::of_other_failure(id, *kind, reason, why),
            }
        }
        Ok(Asked::Signup(_)) => unread(serde_json::Map::new(), "it is a signup".to_owned()),
        Err(malformed) => unread(malformed.kept.clone(), malformed.why.clone()),
    };
    Heard::Aside(draft.in_letter(taken.letter.as_deref()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::contract::{TRANSACTION_COMPLETED, TRANSACTION_FAILED, TransactionKind};
    use super::super::read::read;
    use super::super::row::tests::transaction;
    use super::*;

    fn taken(subject: &str, body: &serde_json::Value) -> Taken {
        Taken {
            subject: subject.to_owned(),
            asked: read(subject, body.to_string().as_bytes()),
            letter: None,
            place: "1@2".to_owned(),
            deliveries: 1,
            traceparent: None,
        }
    }

    fn completed(amount: u32) -> Taken {
        let body = json!({ "transactionId": "t-1", "type": "Transfer", "fromUserId": "alice",
                           "toUserId": "bob", "amount": amount });
        taken(TRANSACTION_COMPLETED, &body)
    }

    fn failed(kind: &str) -> Taken {
        taken(TRANSACTION_FAILED, &json!({ "transactionId": "t-1", "type": kind, "reason": "why" }))
    }

    #[test]
    fn in_one_batch_a_failure_comes_first() {
        for batch in [[completed(5), failed("Transfer")], [failed("Transfer"), completed(5)]] {
            let notes = noted(&batch);
            let [(_, notes)] = &notes.iter().collect::<Vec<_>>()[..] else { panic!("one") };
            let kind = Some(TransactionKind::Transfer);
            let failure = Some("why".to_owned());
            assert_eq!(**notes, Notes { kind, asked: None, failure, is_known: false });
        }
    }

    #[test]
    fn the_first_message_of_a_transaction_says_what_is_asked() {
        let notes = noted(&[completed(5), completed(6)]);
        let asked = notes.values().next().unwrap().asked.clone().unwrap();
        assert_eq!(asked.amount.value(), 5.into());
    }

    #[test]
    fn a_message_that_differs_from_the_record_is_set_aside() {
        let row = transaction(State::Completed, None);
        let rows: Rows = by_id(vec![row]);
        let follows = |taken| matches!(heard(&taken, &rows), Heard::Follows(_));
        assert!(follows(completed(5)) && follows(failed("Transfer")));
        assert!(!follows(completed(6)) && !follows(failed("TopUp")));
    }
}

//! The dead letters of messages: those that are not understood, and those that ask for what cannot be.
//! They are listed with all others; here is how they are written, and what is decided about them.
//!
//! A letter that is replayed goes back into the stream, as its message was kept, and is then dealt with
//! as any other. It is sent again until it has been: it names its letter in the header [`HEADER`]. Also
//! without a replay the letter of a transaction is settled when that comes to its end.
//!
//! The row of a transaction is locked before its letter, here as in [`super::store`].

use std::time::Duration;

use florin_projections::dead_letters::{DeadLetter, INTAKE};
use florin_projections::outbox;
use serde_json::{Map, Number, Value, json};
use sha2::{Digest, Sha256};
use sqlx::{PgExecutor, PgPool};

use super::CHANNEL;
use super::contract::{
    TRANSACTION_COMPLETED, TRANSACTION_FAILED, TransactionCompleted, TransactionFailed,
    TransactionKind, USER_SIGNUP,
};
use super::read::{Instruction, TransactionRef};
use super::replays::REPUBLISH_AFTER;
use super::row::Row;
use crate::hex::hex;

/// Which letter a message was kept in, if it was replayed.
pub(super) const HEADER: &str = "Florin-Letter";

/// A letter on its way into the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) identity: String,
    subject: String,
    about: Option<String>,
    /// The transaction whose row waits for a decision.
    transaction: Option<String>,
    wallet: Option<String>,
    message: String,
    error: String,
}

impl Draft {
    /// Of a message, as far as it may be kept. `place` is what tells it from others of the same
    /// contents, where too little is kept to tell them apart.
    pub(super) fn of_message(
        subject: &str,
        kept: Map<String, Value>,
        place: &str,
        error: String,
    ) -> Self {
        let field = |name: &str| kept.get(name).and_then(Value::as_str).map(str::to_owned);
        let (about, wallet) = match subject {
            USER_SIGNUP => (field("id"), field("id")),
            _ => {
                let wallet = ["userId", "fromUserId", "toUserId"].into_iter().find_map(field);
                (field("transactionId"), wallet.filter(|id| is_wallet(id)))
            }
        };
        let about = about.filter(|about| about.parse::<TransactionRef>().is_ok());
        let message = Value::Object(kept).to_string();
        let identity = match about {
            Some(_) => format!("{subject}:{}", digest(&message)),
            None => format!("{subject}:{place}"),
        };
        let subject = subject.to_owned();
        Self { identity, subject, about, transaction: None, wallet, message, error }
    }

    /// Of an instruction that asks for something else than the first one of its id.
    pub(super) fn of_other(
        transaction: &TransactionRef,
        asked: &Instruction,
        error: String,
    ) -> Self {
        let kept = object(completed(transaction, asked));
        Self::of_message(TRANSACTION_COMPLETED, kept, "", error)
    }

    /// Of a failure that is not of this transaction.
    pub(super) fn of_other_failure(
        transaction: &TransactionRef,
        kind: Option<TransactionKind>,
        reason: &str,
        error: String,
    ) -> Self {
        let kept = object(failed(transaction, kind, reason));
        Self::of_message(TRANSACTION_FAILED, kept, "", error)
    }

    /// Of a transaction that comes to nothing by itself: one letter for what it waits for, whichever
    /// message it was found by.
    pub(super) fn of_row(row: &Row, error: &str) -> Self {
        let id = &row.transaction;
        let (subject, message) = match (&row.failure, &row.asked) {
            (Some(reason), _) => (TRANSACTION_FAILED, failed(id, row.kind, reason)),
            (None, Some(asked)) => (TRANSACTION_COMPLETED, completed(id, asked)),
            (None, None) => (TRANSACTION_COMPLETED, json!({ "transactionId": id.as_str() })),
        };
        Self {
            identity: format!("{subject}:{id}"),
            subject: subject.to_owned(),
            about: Some(id.as_str().to_owned()),
            transaction: Some(id.as_str().to_owned()),
            wallet: row
                .asked
                .as_ref()
                .map(|asked| asked.from.as_ref().unwrap_or(&asked.to).as_str().to_owned()),
            message: message.to_string(),
            error: error.to_owned(),
        }
    }

    /// The same in another letter: of a message that was replayed from it.
    pub(super) fn in_letter(self, identity: Option<&str>) -> Self {
        match identity {
            Some(identity) => Self { identity: identity.to_owned(), ..self },
            None => self,
        }
    }
}

fn is_wallet(text: &str) -> bool {
    text.parse::<florin_domain::WalletId>().is_ok()
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..16])
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// The message by which a transaction is completed.
fn completed(id: &TransactionRef, asked: &Instruction) -> Value {
    let transaction_id = id.as_str().to_owned();
    // An amount is digits, which are a number.
    let amount = asked.amount.value().to_string().parse().unwrap_or_else(|_| Number::from(0));
    let to = asked.to.as_str().to_owned();
    json!(match &asked.from {
        None => TransactionCompleted::TopUp { transaction_id, user_id: to, amount },
        Some(from) => TransactionCompleted::Transfer {
            transaction_id,
            from_user_id: from.as_str().to_owned(),
            to_user_id: to,
            amount,
        },
    })
}

/// The message by which a transaction fails.
fn failed(id: &TransactionRef, kind: Option<TransactionKind>, reason: &str) -> Value {
    let (transaction_id, reason) = (id.as_str().to_owned(), Some(reason.to_owned()));
    json!(TransactionFailed { transaction_id, kind, reason })
}

/// Puts letters on record, and lets operators be told. One that is there already is open again, unless
/// it was discarded.
pub(super) async fn set_aside(
    executor: impl PgExecutor<'_>,
    drafts: &[Draft],
) -> Result<(), sqlx::Error> {
    let mut drafts: Vec<&Draft> = drafts.iter().collect();
    // In an order, so that no two workers wait for each other, and each once.
    drafts.sort_by(|one, other| one.identity.cmp(&other.identity));
    drafts.dedup_by(|one, other| one.identity == other.identity);
    sqlx::query(
        "WITH written AS (
           INSERT INTO intake_letters AS l
                  (identity, subject, about, transaction_id, wallet_id, message, error)
           SELECT identity, subject, about, transaction_id, wallet_id, message::json, error
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                         $7::text[])
                  AS new (identity, subject, about, transaction_id, wallet_id, message, error)
            ORDER BY identity
           ON CONFLICT (identity) DO UPDATE
              SET state = CASE WHEN l.state = 'discarded' THEN l.state ELSE 'open' END,
                  error = excluded.error, attempts = l.attempts + 1, publish_at = NULL,
                  updated_at = now(),
                  set_aside_at = CASE WHEN l.state = 'replayed' THEN now() ELSE l.set_aside_at END,
                  told_at = CASE WHEN l.state = 'replayed' THEN NULL ELSE l.told_at END
           RETURNING letter)
         SELECT pg_notify($8, '') FROM written LIMIT 1",
    )
    .bind(drafts.iter().map(|draft| &*draft.identity).collect::<Vec<_>>())
    .bind(drafts.iter().map(|draft| &*draft.subject).collect::<Vec<_>>())
    .bind(drafts.iter().map(|draft| draft.about.as_deref()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|draft| draft.transaction.as_deref()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|draft| draft.wallet.as_deref()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|draft| &*draft.message).collect::<Vec<_>>())
    .bind(drafts.iter().map(|draft| &*draft.error).collect::<Vec<_>>())
    .bind(outbox::CHANNEL)
    .execute(executor)
    .await
    .map(drop)
}

/// Notes what became of replayed messages: those that are done are not sent again, and those that wait
/// come again by themselves after these times, and are not sent a second time until then.
pub(super) async fn note(
    executor: impl PgExecutor<'_>,
    done: &[String],
    waiting: &[(String, Duration)],
) -> Result<(), sqlx::Error> {
    let statement = "
        UPDATE intake_letters l SET updated_at = now(),
               publish_at = CASE WHEN n.wait IS NOT NULL THEN greatest(l.publish_at, now() + n.wait) END
          FROM (SELECT unnest($1::text[]) AS identity, NULL::interval AS wait
                UNION ALL SELECT * FROM unnest($2::text[], $3::interval[])) AS n
         WHERE l.identity = n.identity AND l.publish_at IS NOT NULL";
    sqlx::query(statement)
        .bind(done)
        .bind(waiting.iter().map(|(identity, _)| &**identity).collect::<Vec<_>>())
        .bind(waiting.iter().map(|(_, wait)| *wait + REPUBLISH_AFTER).collect::<Vec<_>>())
        .execute(executor)
        .await
        .map(drop)
}

/// Sends a message once more, and lets its transaction be tried anew; says whether there was one to send.
///
/// # Errors
/// When Postgres is away.
pub async fn replay(pool: &PgPool, letter: u64) -> Result<bool, sqlx::Error> {
    let statement = "
        WITH mine AS (
          SELECT t.transaction_id FROM intake_transactions t
            JOIN intake_letters l USING (transaction_id) WHERE l.letter = $1 FOR UPDATE OF t),
        queued AS (
          UPDATE intake_letters SET state = 'replayed', publish_at = now(), updated_at = now()
           WHERE letter = $1 AND state = 'open'
             -- Always so: it has the transaction locked before.
             AND (SELECT count(*) FROM mine) >= 0
          RETURNING transaction_id),
        again AS (
          UPDATE intake_transactions t
             SET tries = 0, updated_at = now(),
                 state = CASE WHEN t.state = 'stuck' THEN 'completed' ELSE t.state END,
                 reversals = t.reversals + CASE WHEN t.state = 'stuck' THEN 1 ELSE 0 END
            FROM queued WHERE t.transaction_id = queued.transaction_id)
        SELECT pg_notify($2, '') FROM queued";
    let query = sqlx::query(statement).bind(number(letter)).bind(CHANNEL);
    Ok(query.fetch_optional(pool).await?.is_some())
}

/// What became of the decision that a message never does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// It counts.
    Done,
    /// There was nothing left to decide.
    Settled,
    /// What the message asks for may have been begun: only a replay brings that to its end.
    Begun,
}

/// Decides that a message never does anything. A transaction of which nothing was begun has failed by
/// that, and its services are told so; one whose money cannot be taken back keeps it.
///
/// # Errors
/// When Postgres is away.
pub async fn discard(
    pool: &PgPool,
    letter: u64,
    by: &str,
    reason: &str,
) -> Result<Discarded, sqlx::Error> {
    let statement = "
        WITH mine AS (
          SELECT t.transaction_id, t.state FROM intake_transactions t
            JOIN intake_letters l USING (transaction_id) WHERE l.letter = $1 FOR UPDATE OF t),
        discarded AS (
          UPDATE intake_letters
             SET state = 'discarded', decided_by = $2, reason = $3, updated_at = now()
           WHERE letter = $1 AND state = 'open'
             AND NOT EXISTS (SELECT FROM mine WHERE state IN ('open', 'completed'))
          RETURNING transaction_id),
        failed AS (
          UPDATE intake_transactions t
             SET state = 'failed', failure = $4, updated_at = now()
            FROM discarded
           WHERE t.transaction_id = discarded.transaction_id AND t.state = 'waiting'
          RETURNING t.transaction_id),
        told AS (
          INSERT INTO intake_outcomes (transaction_id, status, reason)
          SELECT transaction_id, 'Failed', $4 FROM failed)
        SELECT EXISTS (SELECT FROM discarded), pg_notify($5, '') IS NOT NULL,
               EXISTS (SELECT FROM mine WHERE state IN ('open', 'completed'))";
    let query = sqlx::query_as(statement).bind(number(letter)).bind(by).bind(reason);
    let query = query.bind(DISCARDED).bind(CHANNEL);
    let (is_done, _, is_begun): (bool, bool, bool) = query.fetch_one(pool).await?;
    Ok(match (is_done, is_begun) {
        (true, _) => Discarded::Done,
        (false, true) => Discarded::Begun,
        (false, false) => Discarded::Settled,
    })
}

/// What other services are told of a transaction whose letter is discarded. The reason that was given
/// is the operators' own.
const DISCARDED: &str = "discarded by an operator";

/// Notes that operators have been told of these, as they were set aside then.
///
/// # Errors
/// When Postgres is away; they may then be told again.
pub async fn mark_told(
    executor: impl PgExecutor<'_>,
    letters: &[&DeadLetter],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE intake_letters l SET told_at = now()
           FROM unnest($1::bigint[], $2::timestamptz[]) AS t (letter, set_aside_at)
          WHERE l.letter = t.letter AND l.set_aside_at = t.set_aside_at",
    )
    .bind(letters.iter().map(|letter| number(letter.id.position)).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.first_at).collect::<Vec<_>>())
    .execute(executor)
    .await
    .map(drop)
}

/// Whether a letter is of a message.
pub fn is_ours(letter: &DeadLetter) -> bool {
    letter.id.projection == INTAKE
}

/// Letters are counted by Postgres, in a `bigint`.
fn number(letter: u64) -> i64 {
    i64::try_from(letter).unwrap_or(i64::MAX)
}

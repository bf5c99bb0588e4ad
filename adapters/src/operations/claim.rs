//! The two statements of a batch: who begins these operations, and what became of them.

use std::time::Duration;

use florin_application::audit::Audit;
use florin_application::command::RequestId;
use florin_application::{Origin, Request};
use florin_projections::outbox;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::retry::{Attempt, Step};
use super::row::{State, Verdict, corrupt, read, signed, stored, traceparent, unsigned};

/// How long whoever began an operation is waited for: longer than the ledger lets a command wait
/// (10 s), with time to save what became of it. Who comes later changes nothing.
pub const LEASE: Duration = Duration::from_secs(15);

/// Rows that somebody else has in hand are theirs: the publisher lets go of them before it sends their
/// messages. In the order of the ids no two of these wait for each other, and `SKIP LOCKED` lets none
/// wait at all.
const CLAIM: &str = "
UPDATE operations o
   SET state = 'running', attempts = o.attempts + 1, updated_at = now(),
       due_at = now() + $2, publish_at = now() + $2,
       in_doubt_at = CASE WHEN o.state = 'running' THEN o.updated_at ELSE o.in_doubt_at END
  FROM (SELECT id FROM operations
         WHERE id = ANY ($1) AND publish_at IS NOT NULL AND due_at <= now()
         ORDER BY id FOR UPDATE SKIP LOCKED) AS free
 WHERE o.id = free.id
RETURNING o.id, o.attempts, o.owner, o.request_id, o.command::text AS command, o.expected_version,
          o.traceparent, o.audit_id, o.attempts - o.attempts_before AS in_a_row, o.in_doubt_at,
          o.updated_at AS begun_at";

/// A wait is there for what is to be tried again; without one it has ended. What was begun again since
/// is somebody else's. Operators are told of what failed, each time that it did.
const SAVE: &str = "
WITH saved AS (
  UPDATE operations o
     SET state = s.state, verdict = s.verdict::json, error = s.error, updated_at = now(),
         due_at = coalesce(now() + s.wait, o.due_at), publish_at = now() + s.wait,
         in_doubt_at = CASE WHEN s.in_doubt THEN now() ELSE o.in_doubt_at END,
         finished_at = CASE WHEN s.wait IS NULL THEN now() END,
         letter = CASE WHEN s.state = 'failed'
                       THEN coalesce(o.letter, nextval('operation_letters')) ELSE o.letter END,
         set_aside_at = CASE WHEN s.state = 'failed' THEN now() ELSE o.set_aside_at END,
         told_at = CASE WHEN s.state = 'failed' THEN NULL ELSE o.told_at END
    FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::interval[],
                $7::boolean[]) AS s (id, attempt, state, verdict, error, wait, in_doubt)
   WHERE o.id = s.id AND o.attempts = s.attempt AND o.state = 'running'
  RETURNING o.state)
SELECT pg_notify($8, '') FROM saved WHERE state = 'failed' LIMIT 1";

/// An operation that was begun here.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) id: Uuid,
    pub(super) attempt: Attempt,
    /// Or why it cannot be read, which concerns no other one.
    pub(super) request: Result<Request, sqlx::Error>,
}

/// Begins those of the operations that are due and that nobody is at.
pub(super) async fn claim(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<Claimed>, sqlx::Error> {
    let rows = sqlx::query(CLAIM).bind(ids).bind(LEASE).fetch_all(pool).await?;
    rows.iter().map(claimed).collect()
}

fn claimed(row: &PgRow) -> Result<Claimed, sqlx::Error> {
    let id: Uuid = row.try_get("id")?;
    Ok(Claimed {
        id,
        attempt: Attempt {
            number: unsigned(row.try_get("attempts")?),
            in_a_row: unsigned(row.try_get("in_a_row")?),
            has_owner: row.try_get::<Option<String>, _>("owner")?.is_some(),
            in_doubt_at: row.try_get("in_doubt_at")?,
            begun_at: row.try_get("begun_at")?,
        },
        request: request(row, id),
    })
}

/// As it was accepted; under a key of its own if the client sent none.
fn request(row: &PgRow, id: Uuid) -> Result<Request, sqlx::Error> {
    let request_id: Option<RequestId> = read(row, "request_id")?;
    let version: Option<i64> = row.try_get("expected_version")?;
    Ok(Request {
        command: stored(row)?.command().ok_or_else(|| corrupt("an amount is none"))?,
        request_id: Some(request_id.unwrap_or_else(|| RequestId::of_operation(id))),
        expected_version: version.and_then(|version| u64::try_from(version).ok()),
        expected_owner: read(row, "owner")?,
        origin: Origin {
            traceparent: traceparent(row)?,
            audit: row.try_get::<Option<Uuid>, _>("audit_id")?.map(Audit::Kept),
        },
    })
}

/// What an attempt came to.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) id: Uuid,
    pub(super) attempt: u32,
    pub(super) step: Step,
}

/// Puts on record what became of a batch.
pub(super) async fn save(pool: &PgPool, done: &[Done]) -> Result<(), sqlx::Error> {
    let states: Vec<&str> = done.iter().map(|done| state(&done.step).name()).collect();
    let verdicts: Result<Vec<_>, _> = done.iter().map(|done| verdict(&done.step)).collect();
    let errors: Vec<Option<&str>> = done.iter().map(|done| error(&done.step)).collect();
    let waits: Vec<Option<Duration>> = done.iter().map(|done| wait(&done.step)).collect();
    sqlx::query(SAVE)
        .bind(done.iter().map(|done| done.id).collect::<Vec<_>>())
        .bind(done.iter().map(|done| signed(done.attempt)).collect::<Vec<_>>())
        .bind(states)
        .bind(verdicts.map_err(corrupt)?)
        .bind(errors)
        .bind(waits)
        .bind(done.iter().map(|done| is_in_doubt(&done.step)).collect::<Vec<_>>())
        .bind(outbox::CHANNEL)
        .execute(pool)
        .await
        .map(drop)
}

fn state(step: &Step) -> State {
    match step {
        Step::End(verdict) => verdict.state(),
        Step::Later { .. } => State::Queued,
        Step::Fail(_) => State::Failed,
    }
}

fn verdict(step: &Step) -> Result<Option<String>, serde_json::Error> {
    match step {
        Step::End(verdict) => serde_json::to_string::<Verdict>(verdict).map(Some),
        Step::Later { .. } | Step::Fail(_) => Ok(None),
    }
}

fn error(step: &Step) -> Option<&str> {
    match step {
        Step::End(_) => None,
        Step::Later { why, .. } | Step::Fail(why) => Some(why),
    }
}

fn wait(step: &Step) -> Option<Duration> {
    match step {
        Step::End(_) | Step::Fail(_) => None,
        Step::Later { wait, .. } => Some(*wait),
    }
}

fn is_in_doubt(step: &Step) -> bool {
    match step {
        Step::End(_) | Step::Fail(_) => false,
        Step::Later { is_in_doubt, .. } => *is_in_doubt,
    }
}

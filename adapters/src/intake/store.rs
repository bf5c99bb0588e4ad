//! The two statements of a batch of transactions: what their messages ask for, and what became of them.
//!
//! Both lock the rows in the order of their ids, so that of two workers with the same transactions in
//! hand one waits for the other, and never both.

use florin_domain::WalletId;
use rust_decimal::Decimal;
use sqlx::{PgExecutor, PgPool};
use std::collections::HashMap;

use super::contract::TransactionKind;
use super::letters::{self, Draft};
use super::read::{Instruction, TransactionRef};
use super::row::{COLUMNS, Row, row};
use super::step::{Step, Then};

/// What the messages of a batch say of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) kind: Option<TransactionKind>,
    /// What is asked; not where it has failed in the same batch, before anything was done.
    pub(super) asked: Option<Instruction>,
    pub(super) failure: Option<String>,
    /// Whether its users are known.
    pub(super) is_known: bool,
}

/// A row that is there keeps what it says. It opens when its users are known, unless it has failed.
const RECORD: &str = "
INSERT INTO intake_transactions AS t
       (transaction_id, kind, sender, receiver, amount, failure, state)
SELECT id, kind, sender, receiver, amount, failure,
       CASE WHEN is_known AND failure IS NULL THEN 'open' ELSE 'waiting' END
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::text[], $7::boolean[])
       AS new (id, kind, sender, receiver, amount, failure, is_known)
 ORDER BY id
ON CONFLICT (transaction_id) DO UPDATE
   SET kind = coalesce(t.kind, excluded.kind),
       failure = CASE WHEN t.kind <> excluded.kind THEN t.failure
                      ELSE coalesce(t.failure, excluded.failure) END,
       -- What was waited for has come: the ledger is tried from the beginning.
       (state, tries) = (
         SELECT CASE WHEN it.opens THEN 'open' ELSE t.state END,
                CASE WHEN it.opens THEN 0 ELSE t.tries END
           FROM (SELECT coalesce(t.state = 'waiting' AND t.failure IS NULL
                                 AND excluded.state = 'open' AND t.receiver = excluded.receiver
                                 AND t.sender IS NOT DISTINCT FROM excluded.sender, false)
                        AS opens) AS it)
RETURNING ";

/// Of each only if the row is as it was when the step was decided. What its movement was stays: the
/// reversal names it, and has to be the same each time. The steps are joined where the rows are locked,
/// by the key: two lists that Postgres takes for short would be compared each with each.
const SAVE: &str = "
WITH mine AS (
  SELECT s.*
    FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::uuid[], $6::text[], $7::text[],
                $8::text[]) AS s (id, was, reversals, state, movement, status, reason, error)
    JOIN intake_transactions t ON t.transaction_id = s.id
   ORDER BY t.transaction_id FOR UPDATE OF t
), saved AS (
  UPDATE intake_transactions t
     SET state = s.state, error = s.error, updated_at = now(),
         tries = CASE WHEN s.state = s.was THEN t.tries + 1 ELSE 0 END,
         movement = coalesce(t.movement, CASE WHEN s.state = 'completed' THEN s.movement END),
         reversal = CASE WHEN s.state = 'reversed' THEN s.movement ELSE t.reversal END
    FROM mine s
   WHERE t.transaction_id = s.id AND t.state = s.was AND t.reversals = s.reversals
  RETURNING t.*, s.status, s.reason
), told AS (
  INSERT INTO intake_outcomes (transaction_id, status, reason)
  SELECT transaction_id, status, reason FROM saved WHERE status IS NOT NULL
), settled AS (
  UPDATE intake_letters l SET state = 'replayed', publish_at = NULL, updated_at = now()
    FROM saved
   WHERE l.transaction_id = saved.transaction_id AND l.state = 'open' AND saved.status IS NOT NULL)
SELECT CASE WHEN t.status IS NOT NULL THEN pg_notify($9, '') END, ";

/// Puts on record what the messages ask for; the rows as they are then.
pub(super) async fn record(
    executor: impl PgExecutor<'_>,
    notes: &HashMap<TransactionRef, Notes>,
) -> Result<Vec<Row>, sqlx::Error> {
    let all: Vec<(&TransactionRef, &Notes)> = notes.iter().collect();
    let text = |id: &WalletId| id.as_str().to_owned();
    let sender =
        |notes: &Notes| notes.asked.as_ref().and_then(|asked| asked.from.as_ref()).map(text);
    let receiver = |notes: &Notes| notes.asked.as_ref().map(|asked| text(&asked.to));
    let amount = |notes: &Notes| notes.asked.as_ref().map(|asked| asked.amount.value());
    let rows = sqlx::query(&format!("{RECORD}{COLUMNS}"))
        .bind(all.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>())
        .bind(
            all.iter().map(|(_, notes)| notes.kind.map(TransactionKind::name)).collect::<Vec<_>>(),
        )
        .bind(all.iter().map(|(_, notes)| sender(notes)).collect::<Vec<_>>())
        .bind(all.iter().map(|(_, notes)| receiver(notes)).collect::<Vec<_>>())
        .bind(all.iter().map(|(_, notes)| amount(notes)).collect::<Vec<Option<Decimal>>>())
        .bind(all.iter().map(|(_, notes)| notes.failure.as_deref()).collect::<Vec<_>>())
        .bind(all.iter().map(|(_, notes)| notes.is_known).collect::<Vec<_>>())
        .fetch_all(executor)
        .await?;
    rows.iter().map(row).collect()
}

/// Puts on record what became of transactions, what other services are to be told of them, and the
/// letters to operators; the rows that were as they had been, as they are then. What is set aside of a
/// row that was not gets no letter: somebody else has gone on with it.
pub(super) async fn save(
    pool: &PgPool,
    steps: &[Step],
    of_messages: &[Draft],
) -> Result<Vec<Row>, sqlx::Error> {
    let has_letters = !of_messages.is_empty() || steps.iter().any(|step| step.then == Then::Aside);
    if !has_letters {
        return advance(pool, steps).await;
    }
    let mut transaction = pool.begin().await?;
    let rows = match steps.is_empty() {
        true => Vec::new(),
        false => advance(&mut *transaction, steps).await?,
    };
    let aside = steps.iter().filter(|step| step.then == Then::Aside);
    let of_rows = aside.filter_map(|step| {
        let row = rows.iter().find(|row| row.transaction == step.transaction)?;
        Some(Draft::of_row(row, step.error.as_deref().unwrap_or_default()))
    });
    let drafts: Vec<Draft> = of_messages.iter().cloned().chain(of_rows).collect();
    letters::set_aside(&mut *transaction, &drafts).await?;
    transaction.commit().await?;
    Ok(rows)
}

async fn advance(executor: impl PgExecutor<'_>, steps: &[Step]) -> Result<Vec<Row>, sqlx::Error> {
    let signed = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let status = |step: &Step| step.told.as_ref().map(|(status, _)| status.name());
    let reason = |step: &Step| step.told.as_ref().and_then(|(_, reason)| reason.clone());
    let rows = sqlx::query(&format!("{SAVE}{COLUMNS} FROM saved t"))
        .bind(steps.iter().map(|step| step.transaction.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|step| step.was.name()).collect::<Vec<_>>())
        .bind(steps.iter().map(|step| signed(step.reversals)).collect::<Vec<_>>())
        .bind(steps.iter().map(|step| step.state.name()).collect::<Vec<_>>())
        .bind(steps.iter().map(|step| step.movement).collect::<Vec<_>>())
        .bind(steps.iter().map(status).collect::<Vec<_>>())
        .bind(steps.iter().map(reason).collect::<Vec<_>>())
        .bind(steps.iter().map(|step| step.error.as_deref()).collect::<Vec<_>>())
        .bind(super::CHANNEL)
        .fetch_all(executor)
        .await?;
    rows.iter().map(row).collect()
}

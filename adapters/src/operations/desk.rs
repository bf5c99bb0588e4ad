//! Where operations are taken in and looked at.
//!
//! While one commit is in flight the next operations gather, and go in together: Postgres syncs once
//! for all of them, and notifies the publisher once. Nobody is answered before that.

use std::mem;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use florin_application::audit::{Audit, AuditRow};
use florin_application::command::Key;
use florin_application::fingerprint::Fingerprint;
use florin_application::{Request, SubmitError};
use florin_domain::{Owner, partition_of};
use futures::future::join_all;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::CHANNEL;
use super::row::{COLUMNS, Operation, State, operation};
use super::stored::Stored;
use crate::postgres::calls::{self, Columns, in_order, numbered};
use crate::postgres::{ConnectError, connect_sized};

/// How many operations there are at most that have not ended: a minute's work, and a hundred megabytes.
/// Beyond it a client is told to come back. Each process counts them once a second, and what it adds
/// itself at once.
pub const MAX_OPEN: u64 = 100_000;

/// How many wait to be taken in by this process: more than come while Postgres syncs, and so few that
/// with Postgres away all are told so before their requests run out of time.
pub const MAX_WAITING: usize = 1_024;

/// How many go in together: a statement of half a megabyte at the usual size of a command.
const BATCH: usize = 256;

/// How long a request waits to be taken in. A Postgres that answers at all answers in milliseconds.
const ACCEPT_WAIT: Duration = Duration::from_secs(10);

/// How often those that have not ended are counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// One takes in; the others read.
const CONNECTIONS: u32 = 4;

const COUNT: &str = "
SELECT count(*) FROM (SELECT FROM operations WHERE publish_at IS NOT NULL LIMIT $1) AS open";

/// What a client is told whose operation is taken in, as the record of its call has it.
const ACCEPTED: u16 = 202;

/// The parameters of [`ACCEPT`].
const PARAMETERS: usize = 12;

/// In the order of their keys: of two processes that take in the same keys one waits for the other,
/// and never both.
const ACCEPT: &str = "
WITH accepted AS (
  INSERT INTO operations (id, partition, owner, wallet_id, key_scope, request_id, fingerprint, kind,
                          command, expected_version, traceparent, audit_id)
  SELECT id, partition, owner, wallet_id, key_scope, request_id, fingerprint, kind, command::json,
         expected_version, traceparent, audit_id
    FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[],
                $7::bytea[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::uuid[])
         AS new (id, partition, owner, wallet_id, key_scope, request_id, fingerprint, kind, command,
                 expected_version, traceparent, audit_id)
   ORDER BY key_scope, request_id, coalesce(owner, '')
  ON CONFLICT (key_scope, request_id, (coalesce(owner, ''))) WHERE request_id IS NOT NULL DO NOTHING
  RETURNING id, created_at)";

/// With the calls that they came by, and a notification.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let calls = numbered(&calls::insert(""), PARAMETERS + 1, calls::PARAMETERS);
    format!(
        "{ACCEPT}, recorded AS ({calls} ON CONFLICT DO NOTHING)
         SELECT id, created_at, pg_notify('{CHANNEL}', '') FROM accepted"
    )
});

/// Where operations are taken in and looked at. Cheap to clone.
#[derive(Clone)]
pub struct OperationDesk {
    pool: PgPool,
    partitions: u32,
    /// None where nobody would carry them out.
    waiting: Option<mpsc::Sender<Waiting>>,
}

/// An operation that was taken in, now or earlier.
#[derive(Debug)]
pub struct Accepted {
    /// As it is now.
    pub operation: Operation,
    /// Whether it is here already, under the same key.
    pub is_known: bool,
}

/// One that is to be taken in, and who waits for that.
struct Waiting {
    new: New,
    reply: oneshot::Sender<Result<Accepted, SubmitError>>,
}

/// An operation on its way into the table.
struct New {
    id: Uuid,
    partition: u32,
    key: Key,
    fingerprint: Fingerprint,
    stored: String,
    kind: &'static str,
    request: Request,
}

impl OperationDesk {
    /// A desk that takes in operations, if there is a queue for them; Postgres may be away.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL is malformed.
    pub fn start(
        database_url: &str,
        partitions: u32,
        has_queue: bool,
    ) -> Result<Self, ConnectError> {
        let pool = connect_sized(database_url, CONNECTIONS)?;
        let waiting = has_queue.then(|| {
            let (sender, receiver) = mpsc::channel(MAX_WAITING);
            tokio::spawn(Intake { pool: pool.clone(), open: 0, counted_at: None }.run(receiver));
            sender
        });
        Ok(Self { pool, partitions, waiting })
    }

    /// Whether operations are taken in.
    pub fn is_open(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes a command in as an operation. When this returns one, it is committed.
    ///
    /// # Errors
    /// [`SubmitError::KeyReused`], [`SubmitError::Busy`] and [`SubmitError::Unavailable`], after which
    /// it may or may not be taken in.
    pub async fn accept(&self, request: Request) -> Result<Accepted, SubmitError> {
        let waiting = self.waiting.as_ref().ok_or(SubmitError::Unavailable)?;
        let new = New::of(request, self.partitions)?;
        let (reply, answer) = oneshot::channel();
        waiting.try_send(Waiting { new, reply }).map_err(|_| SubmitError::Busy)?;
        match timeout(ACCEPT_WAIT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(SubmitError::Unavailable),
        }
    }

    /// An operation as of now.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn show(&self, id: Uuid) -> Result<Option<Operation>, sqlx::Error> {
        let statement = format!("SELECT {COLUMNS} FROM operations o WHERE o.id = $1");
        let row = sqlx::query(&statement).bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(operation).transpose()
    }
}

impl New {
    fn of(request: Request, partitions: u32) -> Result<Self, SubmitError> {
        let defect = |error: &dyn std::error::Error| {
            tracing::error!(%error, "an operation cannot be stored");
            SubmitError::Rejected
        };
        let command = &request.command;
        let stored = Stored::try_from(command).map_err(|error| defect(&error))?;
        let text = serde_json::to_string(&stored).map_err(|error| defect(&error))?;
        let id = Uuid::now_v7();
        let request_id = request.request_id.clone();
        let own = || florin_application::command::RequestId::of_operation(id);
        let owner = request.expected_owner.as_ref();
        Ok(Self {
            id,
            partition: partition_of(command.wallet(), partitions),
            key: Key::of_command(command, owner, request_id.unwrap_or_else(own)),
            fingerprint: Fingerprint::of(command),
            stored: text,
            kind: stored.kind(),
            request,
        })
    }

    fn owner(&self) -> Option<&str> {
        self.request.expected_owner.as_ref().map(Owner::as_str)
    }

    fn audit_id(&self) -> Option<Uuid> {
        self.request.origin.audit.as_ref().map(Audit::id)
    }

    /// The record of its call, if that is to be kept with it.
    fn call(&self) -> Option<AuditRow> {
        match self.request.origin.audit.as_ref()? {
            Audit::Due { entry, .. } => {
                Some(AuditRow { entry: Arc::clone(entry), status: ACCEPTED, is_shared: true })
            }
            Audit::Kept(_) => None,
        }
    }

    /// As it is when it has just been taken in.
    fn operation(self, created_at: DateTime<Utc>) -> Operation {
        let Request { command, request_id, expected_owner, .. } = self.request;
        Operation {
            id: self.id,
            command,
            kind: self.kind,
            request_id,
            owner: expected_owner,
            state: State::Queued,
            attempts: 0,
            verdict: None,
            created_at,
            updated_at: created_at,
        }
    }
}

/// The task that takes in.
struct Intake {
    pool: PgPool,
    /// How many have not ended, as far as is known.
    open: u64,
    counted_at: Option<Instant>,
}

impl Intake {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let batch = mem::take(&mut batch);
            // Who has left by now is not waited for by anybody.
            let batch: Vec<_> = batch.into_iter().filter(|one| !one.reply.is_closed()).collect();
            let (news, replies): (Vec<_>, Vec<_>) =
                batch.into_iter().map(|one| (one.new, one.reply)).unzip();
            let answers = self.take_in(news).await;
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Whether anybody still listens makes no difference.
                let _ = reply.send(answer);
            }
        }
    }

    /// One answer for each, in their order.
    async fn take_in(&mut self, news: Vec<New>) -> Vec<Result<Accepted, SubmitError>> {
        let count = news.len();
        let all = |error: SubmitError| (0..count).map(|_| Err(error.clone())).collect();
        match self.try_take_in(news).await {
            Ok(Some(answers)) => answers,
            Ok(None) => all(SubmitError::Busy),
            Err(error) => {
                tracing::warn!(%error, "operations are not taken in");
                all(SubmitError::Unavailable)
            }
        }
    }

    /// None when there are too many that have not ended.
    async fn try_take_in(
        &mut self,
        news: Vec<New>,
    ) -> Result<Option<Vec<Result<Accepted, SubmitError>>>, sqlx::Error> {
        if self.counted_at.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
            let limit = i64::try_from(MAX_OPEN).unwrap_or(i64::MAX);
            let open: i64 = sqlx::query_scalar(COUNT).bind(limit).fetch_one(&self.pool).await?;
            self.open = open.unsigned_abs();
            self.counted_at = Some(Instant::now());
        }
        if self.open >= MAX_OPEN {
            return Ok(None);
        }
        let accepted = insert(&self.pool, &news).await?;
        self.open += accepted.len() as u64;
        let answer = async |new: New| {
            let created_at = accepted.iter().find(|(id, _)| *id == new.id).map(|(_, at)| *at);
            match created_at {
                Some(at) => Ok(Accepted { operation: new.operation(at), is_known: false }),
                None => look_up(&self.pool, &new).await,
            }
        };
        // Together, so that with Postgres gone since all of it takes no longer than one.
        Ok(Some(join_all(news.into_iter().map(answer)).await))
    }
}

/// What is on record under its key. If that cannot be read, this one may be there or not; the others
/// are committed.
async fn look_up(pool: &PgPool, new: &New) -> Result<Accepted, SubmitError> {
    known(pool, new).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "an operation cannot be looked up by its key");
        Err(SubmitError::Unavailable)
    })
}

/// Which of them are in the table now, and since when; not those whose key is there already.
async fn insert(pool: &PgPool, news: &[New]) -> Result<Vec<(Uuid, DateTime<Utc>)>, sqlx::Error> {
    let version = |new: &New| {
        new.request.expected_version.map(|version| i64::try_from(version).unwrap_or(i64::MAX))
    };
    let key = |new: &New| new.request.request_id.as_ref().map(|key| key.as_str().to_owned());
    let partition = |new: &New| i32::try_from(new.partition).unwrap_or(i32::MAX);
    let calls: Vec<AuditRow> = news.iter().filter_map(New::call).collect();
    let query = sqlx::query(&INSERT)
        .bind(news.iter().map(|new| new.id).collect::<Vec<_>>())
        .bind(news.iter().map(partition).collect::<Vec<_>>())
        .bind(news.iter().map(New::owner).collect::<Vec<_>>())
        .bind(news.iter().map(|new| new.request.command.wallet().as_str()).collect::<Vec<_>>())
        .bind(news.iter().map(|new| &*new.key.scope).collect::<Vec<_>>())
        .bind(news.iter().map(key).collect::<Vec<_>>())
        .bind(news.iter().map(|new| &new.fingerprint.0[..]).collect::<Vec<_>>())
        .bind(news.iter().map(|new| new.kind).collect::<Vec<_>>())
        .bind(news.iter().map(|new| new.stored.as_str()).collect::<Vec<_>>())
        .bind(news.iter().map(version).collect::<Vec<_>>())
        .bind(news.iter().map(|new| new.request.origin.traceparent.as_deref()).collect::<Vec<_>>())
        .bind(news.iter().map(New::audit_id).collect::<Vec<_>>());
    let rows: Vec<PgRow> = Columns::of(&in_order(&calls)).bind(query).fetch_all(pool).await?;
    calls.iter().for_each(AuditRow::kept);
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("created_at")?))).collect()
}

/// The operation that has its key, if that asks for the same.
async fn known(pool: &PgPool, new: &New) -> Result<Result<Accepted, SubmitError>, sqlx::Error> {
    let statement = format!(
        "SELECT {COLUMNS}, o.fingerprint FROM operations o
          WHERE o.key_scope = $1 AND o.request_id = $2 AND coalesce(o.owner, '') = $3"
    );
    let row = sqlx::query(&statement)
        .bind(&*new.key.scope)
        .bind(new.key.request_id.as_str())
        .bind(new.owner().unwrap_or_default())
        .fetch_one(pool)
        .await?;
    let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
    Ok(match fingerprint == new.fingerprint.0 {
        true => Ok(Accepted { operation: operation(&row)?, is_known: true }),
        false => Err(SubmitError::KeyReused),
    })
}

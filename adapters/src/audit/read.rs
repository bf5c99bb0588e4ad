//! Finds calls again, the newest first.
//!
//! Ids are in the order of time, and only they have an index: so a filter looks at a bounded number of
//! calls a page, and a page may have fewer calls than asked for, or none, with a cursor to go on from.

use chrono::{DateTime, TimeDelta, Utc};
use florin_application::audit::Call;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::{NoContext, Timestamp, Uuid};

/// How many calls a page has at most.
pub const MAX_LIST: u32 = 200;

/// How many calls a page looks at: some twenty milliseconds of Postgres.
const MAX_LOOK: i64 = 20_000;

/// Which calls.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this caller.
    pub subject: Option<String>,
    /// Of this address.
    pub client: Option<String>,
    /// Whose path begins with this.
    pub path: Option<String>,
    /// Answered with this.
    pub status: Option<u16>,
    /// Received at that time or later.
    pub from: Option<DateTime<Utc>>,
    /// Received before that time.
    pub to: Option<DateTime<Utc>>,
}

/// A call on record.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    /// What was asked, by whom.
    pub call: Call,
    /// What they were told.
    pub status: u16,
}

/// A page.
#[derive(Debug, Clone)]
pub struct CallList {
    /// The newest first.
    pub calls: Vec<RecordedCall>,
    /// Where the next page goes on, if anything is left to look at.
    pub next: Option<Uuid>,
}

/// Where operators look calls up. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditDesk {
    pool: PgPool,
}

const COLUMNS: &str = "id, received_at, method, url, headers, body, body_bytes, \
                       host(client) AS client, subject, trace_id, status";

impl AuditDesk {
    /// Over the ledger's database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// One call, if it is on record.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn show(&self, id: Uuid) -> Result<Option<RecordedCall>, sqlx::Error> {
        let statement = format!("SELECT {COLUMNS} FROM api_audit WHERE id = $1");
        let row = sqlx::query(&statement).bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(call).transpose()
    }

    /// A page of calls, those before `before`.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn list(
        &self,
        filter: &Filter,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<CallList, sqlx::Error> {
        let limit = i64::from(limit.clamp(1, MAX_LIST));
        let until = filter.to.map_or(Uuid::max(), first_id);
        let statement = format!(
            "WITH last AS (
               SELECT (SELECT id FROM api_audit WHERE id < $1 AND id >= $2
                        ORDER BY id DESC OFFSET $3 LIMIT 1) AS id),
             found AS (
               SELECT {COLUMNS} FROM api_audit
                WHERE id < $1 AND id >= (SELECT coalesce(id, $2) FROM last)
                  AND ($4::text IS NULL OR subject = $4) AND ($5::inet IS NULL OR client = $5::inet)
                  AND ($6::text IS NULL OR starts_with(url, $6))
                  AND ($7::smallint IS NULL OR status = $7)
                ORDER BY id DESC LIMIT $8)
             SELECT last.id AS last_id, found.* FROM last LEFT JOIN found ON true
              ORDER BY found.id DESC"
        );
        let rows = sqlx::query(&statement)
            .bind(before.map_or(until, |before| before.min(until)))
            .bind(filter.from.map_or(Uuid::nil(), first_id))
            .bind(MAX_LOOK - 1)
            .bind(filter.subject.as_deref())
            .bind(filter.client.as_deref())
            .bind(filter.path.as_deref())
            .bind(filter.status.map(|status| i16::try_from(status).unwrap_or(i16::MAX)))
            // One more tells whether there is a next page.
            .bind(limit + 1)
            .fetch_all(&self.pool)
            .await?;
        page(&rows, usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

/// The calls of a page; each row tells also how far was looked.
fn page(rows: &[PgRow], limit: usize) -> Result<CallList, sqlx::Error> {
    let Some(first) = rows.first() else { return Ok(CallList { calls: vec![], next: None }) };
    // None if all that there is was looked at.
    let last: Option<Uuid> = first.try_get("last_id")?;
    let is_empty = first.try_get::<Option<Uuid>, _>("id")?.is_none();
    let found = if is_empty { &[] } else { rows };
    let calls = found.iter().take(limit).map(call).collect::<Result<Vec<_>, _>>()?;
    let next = match found.len() > limit {
        true => calls.last().map(|last| last.call.id),
        false => last,
    };
    Ok(CallList { calls, next })
}

/// The least id of that millisecond.
fn first_id(time: DateTime<Utc>) -> Uuid {
    // An id has whole milliseconds: one after the moment is not before it.
    let up = time + TimeDelta::microseconds(999);
    let seconds = u64::try_from(up.timestamp()).unwrap_or(0);
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, up.timestamp_subsec_nanos()));
    let mut bytes = id.into_bytes();
    for byte in bytes.iter_mut().skip(6) {
        *byte = 0;
    }
    Uuid::from_bytes(bytes)
}

fn call(row: &PgRow) -> Result<RecordedCall, sqlx::Error> {
    let call = Call {
        id: row.try_get("id")?,
        received_at: row.try_get("received_at")?,
        method: row.try_get("method")?,
        url: row.try_get("url")?,
        headers: row.try_get("headers")?,
        body: row.try_get("body")?,
        body_bytes: u64::try_from(row.try_get::<i64, _>("body_bytes")?).unwrap_or(0),
        client: row.try_get("client")?,
        subject: row.try_get("subject")?,
        trace_id: row.try_get("trace_id")?,
    };
    let status = u16::try_from(row.try_get::<i16, _>("status")?).unwrap_or(0);
    Ok(RecordedCall { call, status })
}
